package processor

import (
	"strconv"

	"github.com/millrace/millrace/broker/groups"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// TxnProducers finds members of producer groups for package txn.
type TxnProducers struct{ *groups.Registry }

// Producer is one member of a group, another each time.
func (g TxnProducers) Producer(group string) (txn.Channel, bool) {
	c, ok := g.Registry.Producer(group)
	if !ok {
		return nil, false
	}
	return c.Channel, true
}

// putHalf stores a send that says "prepared" as a half message.
func (p *Processor) putHalf(c *sendCall) {
	err := p.Txn.PutHalf(&c.rec, c.Conn(), func(r store.PutResult) {
		if r.Err != nil {
			p.Metrics.PutErrors.Add(1)
			c.end(c.refused(p.gateError(r.Err)))
			return
		}
		p.Metrics.stored(message.TopicTransactionHalf, c.count, c.bytes)
		c.end(p.sendResponse(c.unique, c.rec.QueueID, r))
	})
	if err != nil {
		c.end(c.refused(p.gateError(err)))
	}
}

// endTransaction answers 37. Who sends it one-way gets no answer, but the same finality.
func (p *Processor) endTransaction(x call) (*remoting.Command, error) {
	var h protocol.EndTransactionHeader
	if err := h.Decode(x.Request()); err != nil {
		return nil, err
	}
	req, err := endRequest(x.Request(), &h)
	if err != nil {
		return nil, err
	}
	if h.CommitOrRollback == message.TransactionNone {
		return remoting.NewResponse(protocol.Success, "nothing is decided"), nil
	}
	p.Txn.End(req, func(o txn.Outcome) {
		code, remark := p.verdict(o, req.Commit)
		ans := remoting.NewResponse(code, remark)
		switch o.Verdict {
		case txn.Committed:
			ans.Ext.Set("offset", strconv.FormatInt(o.Offset, 10))
		case txn.Duplicate, txn.Gap:
			fields := protocol.RefusalHeader{Last: o.Last}
			fields.Encode(ans)
		}
		x.finish(ans)
	})
	return nil, nil
}

// endRequest reads an END. The half is named by where it was stored first and by its
// unique key, which is its transaction id; a client that was told no transaction id says
// it as the message's id. A writer adds its name and term.
func endRequest(cmd *remoting.Command, h *protocol.EndTransactionHeader) (txn.EndRequest, error) {
	req := txn.EndRequest{
		Ref:   txn.Ref{First: h.CommitLogOffset, Key: h.TransactionID, TransactionID: h.TransactionID},
		Group: h.ProducerGroup, QueueOffset: h.TranStateTableOffset,
	}
	if req.Key == "" {
		req.Key = h.MsgID
	}
	switch h.CommitOrRollback {
	case message.TransactionCommit:
		req.Commit = true
	case message.TransactionRollback, message.TransactionNone:
	default:
		return req, refuse(protocol.InvalidParameter, "commitOrRollback is %d; it is %d, %d or %d", h.CommitOrRollback,
			message.TransactionNone, message.TransactionCommit, message.TransactionRollback)
	}
	req.Writer, _ = cmd.Ext.Get("writer")
	if term, ok := cmd.Ext.Get("term"); ok {
		n, err := strconv.ParseUint(term, 10, 64)
		if err != nil {
			return req, refuse(protocol.InvalidParameter, "the header field term is %.40q, no number", term)
		}
		req.Term = n
	}
	return req, nil
}

// verdict is the response code of an outcome: success means that the half came to what
// was asked for.
func (p *Processor) verdict(o txn.Outcome, commit bool) (code int, remark string) {
	switch o.Verdict {
	case txn.Committed:
		if commit {
			return protocol.Success, ""
		}
		return protocol.TransactionShouldCommit, "the half message is committed already"
	case txn.RolledBack:
		if !commit {
			return protocol.Success, ""
		}
		return protocol.TransactionShouldRollback, "the half message is rolled back already"
	case txn.Gone:
		return protocol.Gone, "no half message has this place, key and transaction id, or it left the log long ago"
	}
	if err := o.Refusal(); err != nil {
		return refusalOf(p.gateError(err))
	}
	return protocol.SystemError, o.Verdict.String()
}
