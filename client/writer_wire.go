package client

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

func openRequest(writer string, term uint64, opener string) *remoting.Command {
	req := remoting.NewRequest(protocol.OpenWriter)
	req.Ext.Add("writer", writer)
	req.Ext.Add("term", strconv.FormatUint(term, 10))
	req.Ext.Add("opener", opener)
	return req
}

type openBody struct {
	Queues []struct {
		Topic   string `json:"topic"`
		QueueID int32  `json:"queueId"`
		Hi      uint64 `json:"hi,string"`
		To      string `json:"to"`
		Offset  int64  `json:"offset"`
		Max     int64  `json:"max"`
	} `json:"queues"`
	Halves []struct {
		ID            string `json:"id"`
		TransactionID string `json:"transactionId"`
		Topic         string `json:"topic"`
		QueueID       int32  `json:"queueId"`
		Lo            uint64 `json:"lo,string"`
		Hi            uint64 `json:"hi,string"`
		Prev          uint64 `json:"prev,string"`
		Term          uint64 `json:"term,string"`
		Size          int64  `json:"size"`
	} `json:"halves"`
	Base      *int64 `json:"base"`
	BaseTopic string `json:"baseTopic"`
}

func parseOpenAnswer(ans *remoting.Command, broker string) (WriterState, error) {
	st := WriterState{Term: answerNumber(ans, "term"), BaseOffset: -1}
	var b openBody
	if err := json.Unmarshal(ans.Body, &b); err != nil {
		return st, fmt.Errorf("%w: decode the answer: %w", ErrUncertain, err)
	}
	if b.Base != nil {
		st.BaseOffset, st.BaseTopic = *b.Base, b.BaseTopic
	}
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

type resolveItem struct {
	ID            string `json:"id"`
	TransactionID string `json:"transactionId"`
}

func resolveRequest(writer string, term uint64, commit, rollback []HalfRef) (*remoting.Command, error) {
	list := func(refs []HalfRef) []resolveItem {
		items := make([]resolveItem, len(refs))
		for i, r := range refs {
			items[i] = resolveItem(r)
		}
		return items
	}
	body, err := json.Marshal(struct {
		Commit   []resolveItem `json:"commit"`
		Rollback []resolveItem `json:"rollback"`
	}{list(commit), list(rollback)})
	if err != nil {
		return nil, err
	}
	req := remoting.NewRequest(protocol.Resolve)
	req.Ext.Add("writer", writer)
	req.Ext.Add("term", strconv.FormatUint(term, 10))
	req.Body = body
	return req, nil
}

// parseResolveAnswer checks that there is one result per half, in request order.
func parseResolveAnswer(ans *remoting.Command, commit, rollback []HalfRef) ([]ResolveResult, error) {
	var b struct {
		Results []struct {
			ID     string `json:"id"`
			Code   int    `json:"code"`
			Offset int64  `json:"offset"`
			Last   uint64 `json:"last,string"`
			Remark string `json:"remark"`
		} `json:"results"`
	}
	if err := json.Unmarshal(ans.Body, &b); err != nil {
		return nil, fmt.Errorf("%w: decode the answer: %w", ErrUncertain, err)
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
		out[i].Code, out[i].Err = resolveOutcome(r.Code, ok, r.Last, r.Remark)
	}
	return out, nil
}

func resolveOutcome(code int, ok ResolveCode, last uint64, remark string) (ResolveCode, error) {
	switch code {
	case protocol.Success:
		return ok, nil
	case protocol.Duplicate:
		return ResolveDuplicate, &DuplicateError{Last: last}
	case protocol.Gap:
		return ResolveGap, &GapError{Last: last}
	case protocol.Gone:
		return ResolveGone, ErrGone
	case protocol.Fenced:
		return ResolveFenced, ErrFenced
	}
	return ResolveFailed, &AnswerError{Code: code, Remark: remark}
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

// checkedHalf reads a check-back. Its id may be that of a copy that was carried forward;
// whoever is woken asks the broker for the truth.
func checkedHalf(req *remoting.Command) (Half, bool) {
	r, _, err := message.ParseRecord(req.Body)
	if err != nil {
		return Half{}, false
	}
	number := func(key string) uint64 {
		v, _ := r.Property(key)
		n, _ := strconv.ParseUint(v, 10, 64)
		return n
	}
	key, _ := r.Property(message.PropertyUniqueKey)
	tx, _ := req.Ext.Get("transactionId")
	broker, _ := req.Ext.Get("bname")
	at, _ := req.Ext.Get("commitLogOffset")
	offset, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		offset = r.PhysicalOffset
	}
	return Half{
		ID: halfID(key, offset), TransactionID: tx,
		Queue: message.Queue{Topic: string([]byte(r.Topic)), BrokerName: broker, QueueID: r.QueueID},
		Lo:    number(message.PropertyLo), Hi: number(message.PropertyHi), Prev: number(message.PropertyPrev),
		Term: number(message.PropertyWriterTerm), Size: int64(r.TotalSize),
	}, true
}

// producerHeartbeat is the body that makes a client a member of a producer group.
func producerHeartbeat(clientID, group string) []byte {
	type producer struct {
		GroupName string `json:"groupName"`
	}
	b, err := json.Marshal(struct {
		ClientID  string     `json:"clientID"`
		Producers []producer `json:"producerDataSet"`
		Consumers []struct{} `json:"consumerDataSet"`
	}{clientID, []producer{{group}}, []struct{}{}})
	if err != nil {
		panic("BUG: heartbeat: " + err.Error())
	}
	return b
}
