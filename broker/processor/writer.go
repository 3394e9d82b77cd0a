package processor

import (
	"errors"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/topics"
	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// maxResolve is how many halves one RESOLVE may name.
const maxResolve = 8192

// WriterTopics tells package writer which topics are declared to belong to a writer.
type WriterTopics struct{ *topics.Registry }

// Writer is the owner of a topic, "" when it has none.
func (t WriterTopics) Writer(topic string) string {
	if c, ok := t.Get(topic); ok {
		return c.Writer()
	}
	return ""
}

// Owned lists the topics of a writer.
func (t WriterTopics) Owned(name string) []writer.Owned {
	all, _ := t.All()
	var owned []writer.Owned
	for _, c := range all {
		if c.Writer() == name {
			owned = append(owned, writer.Owned{Topic: c.TopicName, Queues: c.Queues()})
		}
	}
	return owned
}

// writerRefusal is a refusal by the rules of owned queues: an error with header fields.
type writerRefusal struct {
	answer protocol.Error
	fields protocol.RefusalHeader
}

func (e *writerRefusal) Error() string { return e.answer.Error() }
func (e *writerRefusal) Unwrap() error { return &e.answer }

// describeRefusal adds the header fields that belong to an error.
func describeRefusal(ans *remoting.Command, err error) {
	var r *writerRefusal
	if errors.As(err, &r) {
		r.fields.Encode(ans)
	}
}

// gateFor is the gate that a send to an owned queue has to pass.
func (p *Processor) gateFor(rec *message.Record) (store.Gate, error) {
	gate, err := p.Writers.Gate(rec)
	if err != nil {
		return nil, p.gateError(err)
	}
	return gate, nil
}

// gateError counts a refusal by the rules of owned queues and says it in the protocol's
// words. Other errors pass unchanged.
func (p *Processor) gateError(err error) error {
	r := &writerRefusal{answer: protocol.Error{Remark: err.Error()}}
	var link *writer.LinkError
	var stale *writer.StaleError
	switch {
	case errors.As(err, &stale):
		r.answer.Code, r.fields.Known = protocol.Stale, stale.Known
	case errors.As(err, &link):
		r.answer.Code, r.fields.Last = protocol.Gap, link.Last
		if link.Duplicate {
			r.answer.Code = protocol.Duplicate
		}
	case errors.Is(err, writer.ErrFenced):
		r.answer.Code = protocol.Fenced
	case errors.Is(err, writer.ErrPendingFull), errors.Is(err, txn.ErrTooManyHalves), errors.Is(err, writer.ErrTooMany):
		r.answer.Code = protocol.FlowControl
	case errors.Is(err, txn.ErrNoQueue):
		r.answer.Code = protocol.TopicNotExist
	case errors.Is(err, writer.ErrIllegal), errors.Is(err, txn.ErrOwned):
		r.answer.Code = protocol.MessageIllegal
	default:
		return err
	}
	_ = p.Writers.Refused(err) // it counts
	return r
}

// openWriter answers 31001.
func (p *Processor) openWriter(x call) (*remoting.Command, error) {
	var h protocol.OpenWriterHeader
	if err := h.Decode(x.Request()); err != nil {
		return nil, err
	}
	o := writer.Opening{Writer: h.Writer, Term: h.Term, Opener: h.Opener}
	p.Txn.OpenWriter(o, x.Conn(), func(st writer.State, halves []txn.HalfState, err error) {
		if err != nil {
			x.fail(p.gateError(err))
			return
		}
		ans, err := openAnswer(st, halves)
		if err != nil {
			x.fail(err)
			return
		}
		x.finish(ans)
	})
	return nil, nil
}

func openAnswer(st writer.State, halves []txn.HalfState) (*remoting.Command, error) {
	body := protocol.OpenWriterState{Base: st.BaseOffset, BaseTopic: st.BaseTopic}
	for _, q := range st.Queues {
		body.Queues = append(body.Queues, protocol.WriterQueue{
			Topic: q.Topic, QueueID: q.QueueID, Hi: q.Hi, To: q.To, Offset: q.Offset, Max: q.Max})
	}
	for _, h := range halves {
		body.Halves = append(body.Halves, protocol.WriterHalf{
			ID: h.ID, TransactionID: h.TransactionID, Topic: h.To.Topic, QueueID: h.To.ID,
			Lo: h.Lo, Hi: h.Hi, Prev: h.Prev, Term: h.Term, Size: h.Size})
	}
	b, err := protocol.EncodeBody(&body)
	if err != nil {
		return nil, err
	}
	ans := remoting.NewResponse(protocol.Success, "")
	header := protocol.OpenWriterResponseHeader{Term: st.Term}
	header.Encode(ans)
	ans.Body = b
	return ans, nil
}

// resolveHalves answers 31002.
func (p *Processor) resolveHalves(x call) (*remoting.Command, error) {
	var h protocol.ResolveHeader
	var body protocol.ResolveRequest
	if err := errors.Join(h.Decode(x.Request()), protocol.DecodeBody(x.Request().Body, &body)); err != nil {
		return nil, refuse(protocol.InvalidParameter, "%v", err)
	}
	n := len(body.Commit) + len(body.Rollback)
	if n > maxResolve {
		return nil, refuse(protocol.InvalidParameter, "the request names %d half messages, the limit is %d", n, maxResolve)
	}
	req := txn.ResolveRequest{Writer: h.Writer, Term: h.Term, Commit: refs(body.Commit), Rollback: refs(body.Rollback)}
	p.Txn.Resolve(req, x.Conn(), func(outcomes []txn.Outcome, err error) {
		if err != nil {
			x.fail(p.gateError(err))
			return
		}
		ans, err := p.resolveAnswer(&body, outcomes)
		if err != nil {
			x.fail(err)
			return
		}
		x.finish(ans)
	})
	return nil, nil
}

// refs reads the names of halves. A name that is none finds nothing: its half is gone.
func refs(list []protocol.HalfRef) []txn.Ref {
	out := make([]txn.Ref, len(list))
	for i, r := range list {
		key, first, err := txn.ParseHalfID(r.ID)
		if err != nil || r.TransactionID == "" {
			key, first = "", -1
		}
		out[i] = txn.Ref{First: first, Key: key, TransactionID: r.TransactionID}
	}
	return out
}

func (p *Processor) resolveAnswer(req *protocol.ResolveRequest, outcomes []txn.Outcome) (*remoting.Command, error) {
	body := protocol.ResolveResponse{Results: make([]protocol.ResolveResult, 0, len(outcomes))}
	for i, o := range outcomes {
		commit := i < len(req.Commit)
		var id string
		if commit {
			id = req.Commit[i].ID
		} else {
			id = req.Rollback[i-len(req.Commit)].ID
		}
		code, _ := p.verdict(o, commit)
		body.Results = append(body.Results, protocol.ResolveResult{ID: id, Code: code, Offset: o.Offset, Last: o.Last})
	}
	b, err := protocol.EncodeBody(&body)
	if err != nil {
		return nil, err
	}
	ans := remoting.NewResponse(protocol.Success, "")
	ans.Body = b
	return ans, nil
}
