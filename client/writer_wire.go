package client

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

func parseOpenAnswer(ans *remoting.Command, broker string) (WriterState, error) {
	var (
		h protocol.OpenWriterResponseHeader
		b = protocol.OpenWriterState{Base: -1}
	)
	if err := errors.Join(h.Decode(ans), protocol.DecodeBody(ans.Body, &b)); err != nil {
		return WriterState{}, fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	st := WriterState{Term: h.Term, BaseOffset: b.Base, BaseTopic: b.BaseTopic}
	for _, q := range b.Queues {
		st.Queues = append(st.Queues, WriterQueue{
			Queue: message.Queue{Topic: q.Topic, BrokerName: broker, QueueID: q.QueueID},
			Hi:    q.Hi, To: q.To, Offset: q.Offset, Max: q.Max,
		})
	}
	for _, h := range b.Halves {
		st.Halves = append(st.Halves, Half{
			ID: h.ID, TransactionID: h.TransactionID,
			Queue: message.Queue{Topic: h.Topic, BrokerName: broker, QueueID: h.QueueID},
			Lo:    h.Lo, Hi: h.Hi, Prev: h.Prev, Term: h.Term, Size: h.Size,
		})
	}
	return st, nil
}

func resolveRequest(writer string, term uint64, commit, rollback []HalfRef) (*remoting.Command, error) {
	list := func(refs []HalfRef) []protocol.HalfRef {
		items := make([]protocol.HalfRef, len(refs))
		for i, r := range refs {
			items[i] = protocol.HalfRef(r)
		}
		return items
	}
	body, err := protocol.EncodeBody(&protocol.ResolveRequest{Commit: list(commit), Rollback: list(rollback)})
	if err != nil {
		return nil, err
	}
	req := session.Request(protocol.Resolve, &protocol.ResolveHeader{Writer: writer, Term: term})
	req.Body = body
	return req, nil
}

// parseResolveAnswer checks that there is one result per half, in request order.
func parseResolveAnswer(ans *remoting.Command, commit, rollback []HalfRef) ([]ResolveResult, error) {
	var b protocol.ResolveResponse
	if err := protocol.DecodeBody(ans.Body, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	if len(b.Results) != len(commit)+len(rollback) {
		return nil, fmt.Errorf("%w: %d results for %d halves", ErrUncertain, len(b.Results), len(commit)+len(rollback))
	}
	out := make([]ResolveResult, len(b.Results))
	for i, r := range b.Results {
		want, ok := HalfRef{}, ResolveCommitted
		if i < len(commit) {
			want = commit[i]
		} else {
			want, ok = rollback[i-len(commit)], ResolveRolledBack
		}
		if r.ID != want.ID {
			return nil, fmt.Errorf("%w: result %d is of half %q, not of %q", ErrUncertain, i, r.ID, want.ID)
		}
		out[i] = ResolveResult{ID: r.ID, Offset: r.Offset, Last: r.Last}
		out[i].Code, out[i].Err = resolveOutcome(r, ok)
	}
	return out, nil
}

func resolveOutcome(r protocol.ResolveResult, ok ResolveCode) (ResolveCode, error) {
	if r.Code == protocol.Success {
		return ok, nil
	}
	err := refusal(r.Code, protocol.RefusalHeader{Last: r.Last}, "")
	switch r.Code {
	case protocol.TransactionShouldCommit:
		return ResolveCommitted, err
	case protocol.TransactionShouldRollback:
		return ResolveRolledBack, err
	case protocol.Duplicate:
		return ResolveDuplicate, err
	case protocol.Gap:
		return ResolveGap, err
	case protocol.Gone:
		return ResolveGone, err
	case protocol.Fenced:
		return ResolveFenced, err
	}
	return ResolveFailed, err
}

// linkFields are the properties of a link under a term.
func (w *Writer) linkFields(term uint64, l Link, half bool) []remoting.Field {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	f := make([]remoting.Field, 0, 9)
	f = append(f,
		remoting.Field{Key: message.PropertyWriter, Value: w.name},
		remoting.Field{Key: message.PropertyWriterTerm, Value: number(term)},
		remoting.Field{Key: message.PropertyLo, Value: number(l.Lo)},
		remoting.Field{Key: message.PropertyHi, Value: number(l.Hi)},
		remoting.Field{Key: message.PropertyPrev, Value: number(l.Prev)},
		remoting.Field{Key: message.PropertyFrom, Value: l.From},
		remoting.Field{Key: message.PropertyTo, Value: l.To},
	)
	if half {
		f = append(f,
			remoting.Field{Key: message.PropertyTransactionPrepared, Value: "true"},
			remoting.Field{Key: message.PropertyProducerGroup, Value: w.name},
		)
	}
	return f
}

// halfID is how brokers name a half: its unique key and where it was stored first.
func halfID(uniqueKey string, offset int64) string {
	return uniqueKey + "@" + strconv.FormatInt(offset, 10)
}

// halfRef reads a half's name from the answer to its send.
func halfRef(r SendResult) (HalfRef, error) {
	_, phys, err := message.ParseOffsetMsgID(r.OffsetMsgID)
	if err != nil {
		return HalfRef{}, fmt.Errorf("%w: the answer to a half names no place: %w", ErrUncertain, err)
	}
	tx := r.TransactionID
	if tx == "" {
		tx = r.MsgID
	}
	return HalfRef{ID: halfID(r.MsgID, phys), TransactionID: tx}, nil
}

// checkedHalf reads a check-back, whose body is not ours to keep. The half's id may be
// that of a copy that was carried forward; whoever is woken asks the broker for the truth.
func checkedHalf(req *remoting.Command) (Half, error) {
	var h protocol.CheckTransactionStateHeader
	r, _, err := message.ParseRecord(req.Body)
	if err = errors.Join(err, h.Decode(req)); err != nil {
		return Half{}, err
	}
	number := func(key string) uint64 {
		v, _ := r.Property(key)
		n, _ := strconv.ParseUint(v, 10, 64)
		return n
	}
	key, _ := r.Property(message.PropertyUniqueKey)
	return Half{
		ID: halfID(key, h.CommitLogOffset), TransactionID: h.TransactionID,
		Queue: message.Queue{Topic: strings.Clone(r.Topic), BrokerName: h.BrokerName, QueueID: r.QueueID},
		Lo:    number(message.PropertyLo), Hi: number(message.PropertyHi), Prev: number(message.PropertyPrev),
		Term: number(message.PropertyWriterTerm), Size: int64(r.TotalSize),
	}, nil
}

// producerHeartbeat is the body that makes a client a member of a producer group.
func producerHeartbeat(clientID, group string) []byte {
	b, err := protocol.EncodeBody(&protocol.HeartbeatData{ClientID: clientID,
		ProducerDataSet: []protocol.ProducerData{{GroupName: group}}})
	if err != nil {
		panic("BUG: heartbeat: " + err.Error())
	}
	return b
}
