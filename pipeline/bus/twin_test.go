package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/message"
)

// twin is a broker in memory that keeps the rules of owned queues (B1 to B8) as its
// writers see them. It cannot prove what a real broker does when it restarts, flushes,
// carries halves forward or removes old files: it has no log, so that whatever it took is
// there until a test says that it is lost.
type twin struct {
	mu      sync.Mutex
	writers map[string]*twinWriter
	topics  map[string]admin.TopicConfig
	queues  map[message.Queue]*twinQueue
	halves  map[string]*twinHalf
	order   []string // ids of halves, as they came
	serial  int
	offsets map[string]int64
	late    []func() // requests of dead connections that are still on the way
}

type twinWriter struct {
	term   uint64
	opener string
	base   int64
}

type twinQueue struct {
	messages []twinMessage
	least    int64
}

type twinMessage struct {
	link client.Link
	m    message.Message
	term uint64
}

type twinHalf struct {
	ref     client.HalfRef
	q       message.Queue
	m       twinMessage
	writer  string
	state   string // pending | committed | rolled back
	offset  int64
	settled bool
}

func newTwin() *twin {
	return &twin{
		writers: map[string]*twinWriter{}, topics: map[string]admin.TopicConfig{}, queues: map[message.Queue]*twinQueue{},
		halves: map[string]*twinHalf{}, offsets: map[string]int64{},
	}
}

func (t *twin) writerLocked(name string) *twinWriter {
	if t.writers[name] == nil {
		t.writers[name] = &twinWriter{base: -1}
	}
	return t.writers[name]
}

func (t *twin) queueLocked(q message.Queue) *twinQueue {
	if t.queues[q] == nil {
		t.queues[q] = &twinQueue{}
	}
	return t.queues[q]
}

// unknownLocked is the refusal of a queue whose topic is not there.
func (t *twin) unknownLocked(q message.Queue) error {
	if _, there := t.topics[q.Topic]; !there && t.queues[q] == nil {
		return fmt.Errorf("%w: %s", client.ErrTopicNotFound, q.Topic)
	}
	return nil
}

func (q *twinQueue) last() (hi uint64, to string) {
	if len(q.messages) == 0 {
		return 0, ""
	}
	l := q.messages[len(q.messages)-1].link
	return l.Hi, l.To
}

// admitLocked is B2.
func (q *twinQueue) admit(l client.Link) error {
	last, _ := q.last()
	switch {
	case l.Prev == last:
		return nil
	case l.Hi <= last:
		return &client.DuplicateError{Last: last}
	default:
		return &client.GapError{Last: last}
	}
}

// twinConn is one writer's connection. Its hook sees every request before it is carried
// out and after; errCrash makes the connection dead.
type twinConn struct {
	t    *twin
	name string
	hook func(step string, after bool) error

	mu    sync.Mutex
	dead  bool
	terms map[string]uint64
}

var (
	errCrash = errors.New("crash")
	errLate  = errors.New("crash; the request arrives later")
	errOnce  = errors.New("a fault; the connection lives on")
)

// do carries out one request between the hook's two calls.
func do[T any](c *twinConn, step string, f func() (T, error)) (r T, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return r, client.ErrUncertain
	}
	if c.hook != nil {
		if err := c.hook(step, false); err != nil {
			if errors.Is(err, errOnce) {
				return r, errors.Join(err, client.ErrNotSent)
			}
			c.dead = true
			if errors.Is(err, errLate) {
				c.t.mu.Lock()
				c.t.late = append(c.t.late, func() { _, _ = f() })
				c.t.mu.Unlock()
			}
			return r, errors.Join(err, client.ErrUncertain)
		}
	}
	r, err = f()
	if c.hook != nil {
		if herr := c.hook(step, true); herr != nil {
			c.dead = !errors.Is(herr, errOnce)
			return r, errors.Join(herr, client.ErrUncertain)
		}
	}
	return r, err
}

// arrive carries out what dead connections had on the way.
func (t *twin) arrive() {
	t.mu.Lock()
	late := t.late
	t.late = nil
	t.mu.Unlock()
	for _, f := range late {
		f()
	}
}

func (c *twinConn) Open(_ context.Context, broker string, term uint64, opener string) (client.WriterState, error) {
	return do(c, "open", func() (client.WriterState, error) {
		t := c.t
		t.mu.Lock()
		defer t.mu.Unlock()
		w := t.writerLocked(c.name)
		if term < w.term || term == w.term && opener != w.opener {
			return client.WriterState{}, &client.StaleError{Known: w.term}
		}
		w.term, w.opener = term, opener
		c.terms[broker] = term
		return t.stateLocked(c.name, broker, term), nil
	})
}

func (t *twin) stateLocked(name, broker string, term uint64) client.WriterState {
	st := client.WriterState{Term: term, BaseOffset: -1}
	for q, s := range t.queues {
		if t.topics[q.Topic].Attributes[admin.AttributeWriter] != name {
			continue
		}
		hi, to := s.last()
		st.Queues = append(st.Queues, client.WriterQueue{Queue: q, Hi: hi, To: to, Max: int64(len(s.messages))})
		for i := len(s.messages) - 1; i >= int(s.least); i-- {
			if _, ok := s.messages[i].m.Properties[message.PropertyBase]; ok {
				st.BaseOffset, st.BaseTopic = int64(i), q.Topic
				break
			}
		}
	}
	for _, id := range t.order {
		if h := t.halves[id]; h != nil && h.writer == name && h.state == "pending" {
			st.Halves = append(st.Halves, client.Half{
				ID: h.ref.ID, TransactionID: h.ref.TransactionID, Queue: h.q, Lo: h.m.link.Lo, Hi: h.m.link.Hi, Prev: h.m.link.Prev, Term: h.m.term,
			})
		}
	}
	return st
}

func clone(m *message.Message) message.Message {
	n := *m
	n.Body = append([]byte(nil), m.Body...)
	return n
}

func (c *twinConn) Send(_ context.Context, q message.Queue, m *message.Message, link client.Link) (client.SendResult, error) {
	term, msg := c.terms[q.BrokerName], clone(m)
	return do(c, "send "+q.Topic, func() (client.SendResult, error) {
		t := c.t
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.writerLocked(c.name).term != term {
			return client.SendResult{}, client.ErrFenced
		}
		s := t.queueLocked(q)
		if err := s.admit(link); err != nil {
			return client.SendResult{}, err
		}
		s.messages = append(s.messages, twinMessage{link: link, m: msg, term: term})
		return client.SendResult{Queue: q, QueueOffset: int64(len(s.messages) - 1)}, nil
	})
}

func (c *twinConn) SendHalfAsync(q message.Queue, m *message.Message, link client.Link, done func(client.HalfRef, error)) {
	term, msg := c.terms[q.BrokerName], clone(m)
	done(do(c, "half", func() (client.HalfRef, error) {
		t := c.t
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.writerLocked(c.name).term != term {
			return client.HalfRef{}, client.ErrFenced
		}
		t.serial++
		ref := client.HalfRef{ID: "h" + strconv.Itoa(t.serial), TransactionID: "t" + strconv.Itoa(t.serial)}
		t.halves[ref.ID] = &twinHalf{ref: ref, q: q, m: twinMessage{link: link, m: msg, term: term}, writer: c.name, state: "pending"}
		t.order = append(t.order, ref.ID)
		return ref, nil
	}))
}

func (c *twinConn) Resolve(_ context.Context, broker string, commit, rollback []client.HalfRef) ([]client.ResolveResult, error) {
	term := c.terms[broker]
	return do(c, "resolve", func() (out []client.ResolveResult, err error) {
		t := c.t
		t.mu.Lock()
		defer t.mu.Unlock()
		w := t.writerLocked(c.name)
		if w.term != term {
			return nil, client.ErrFenced
		}
		for _, ref := range commit {
			out = append(out, t.commitLocked(ref, term))
		}
		for _, ref := range rollback {
			out = append(out, t.rollbackLocked(ref))
		}
		return out, nil
	})
}

func (t *twin) commitLocked(ref client.HalfRef, term uint64) client.ResolveResult {
	r := client.ResolveResult{ID: ref.ID}
	h := t.halves[ref.ID]
	if h == nil || h.ref != ref {
		r.Code, r.Err = client.ResolveGone, client.ErrGone
		return r
	}
	switch h.state {
	case "committed":
		r.Code, r.Offset = client.ResolveCommitted, h.offset
		return r
	case "rolled back":
		r.Code = client.ResolveRolledBack
		return r
	}
	s := t.queueLocked(h.q)
	if err := s.admit(h.m.link); err != nil {
		r.Code, r.Err = client.ResolveGap, err
		if errors.As(err, new(*client.DuplicateError)) {
			r.Code = client.ResolveDuplicate
		}
		return r
	}
	h.m.term = term
	s.messages = append(s.messages, h.m)
	h.state, h.offset = "committed", int64(len(s.messages)-1)
	r.Code, r.Offset = client.ResolveCommitted, h.offset
	return r
}

func (t *twin) rollbackLocked(ref client.HalfRef) client.ResolveResult {
	r := client.ResolveResult{ID: ref.ID, Code: client.ResolveRolledBack}
	h := t.halves[ref.ID]
	switch {
	case h == nil || h.ref != ref:
		r.Code, r.Err = client.ResolveGone, client.ErrGone
	case h.state == "committed":
		r.Code, r.Offset = client.ResolveCommitted, h.offset
	default:
		h.state = "rolled back"
	}
	return r
}

// CreateTopic, and reading: the twin is its own admin and reader.
func (t *twin) CreateTopic(_ context.Context, c admin.TopicConfig, broker string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if was, ok := t.topics[c.Name]; ok && was.Attributes[admin.AttributeWriter] != c.Attributes[admin.AttributeWriter] {
		return fmt.Errorf("topic %s is owned by another writer", c.Name)
	}
	t.topics[c.Name] = c
	for i := range c.Queues {
		t.queueLocked(message.Queue{Topic: c.Name, BrokerName: broker, QueueID: int32(i)})
	}
	return nil
}

func (t *twin) Pull(_ context.Context, q message.Queue, offset int64, o client.PullOptions) (client.PullResult, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.queueLocked(q)
	end := int64(len(s.messages))
	switch {
	case offset < s.least:
		return client.PullResult{}, &client.OffsetBelowError{Queue: q, Offset: offset, Min: s.least}
	case offset > end:
		return client.PullResult{}, &client.OffsetAboveError{Queue: q, Offset: offset, Max: end}
	}
	r := client.PullResult{Next: offset, Min: s.least, Max: end}
	for ; r.Next < end && len(r.Messages) < max(o.MaxMsgs, 1); r.Next++ {
		m := s.messages[r.Next].m
		r.Messages = append(r.Messages, client.ReceivedMessage{BrokerName: q.BrokerName, Record: message.Record{
			Topic: q.Topic, QueueID: q.QueueID, QueueOffset: r.Next, Body: m.Body,
		}})
	}
	return r, nil
}

func (t *twin) Min(_ context.Context, q message.Queue) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.unknownLocked(q); err != nil {
		return 0, err
	}
	return t.queueLocked(q).least, nil
}

func (t *twin) Max(_ context.Context, q message.Queue) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.unknownLocked(q); err != nil {
		return 0, err
	}
	return int64(len(t.queueLocked(q).messages)), nil
}

func (t *twin) CommittedOffset(_ context.Context, q message.Queue) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.offsets[queueText(q)]
	if !ok {
		return 0, client.ErrNoOffset
	}
	return n, nil
}

func (t *twin) CommitOffset(_ context.Context, q message.Queue, offset int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.offsets[queueText(q)] = offset
	return nil
}

// pending are the undecided halves of terms below one.
func (t *twin) pendingBelow(term uint64) (ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range t.order {
		if h := t.halves[id]; h.state == "pending" && h.m.term < term {
			ids = append(ids, id)
		}
	}
	return ids
}

// lose takes the last n messages of a queue away. Their halves are gone, or undecided
// again when revive is set, as after a broker that lost the end of its log.
func (t *twin) lose(q message.Queue, n int, revive bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.queueLocked(q)
	keep := max(len(s.messages)-n, 0)
	s.messages = s.messages[:keep]
	for _, h := range t.halves {
		if h.q == q && h.state == "committed" && h.offset >= int64(keep) {
			if revive {
				h.state = "pending"
			} else {
				h.state = "gone"
				delete(t.halves, h.ref.ID)
			}
		}
	}
	t.order = slices.DeleteFunc(t.order, func(id string) bool { return t.halves[id] == nil })
}

// ownedTopic is a topic of one queue that a writer owns.
func ownedTopic(name, writer string) admin.TopicConfig {
	return admin.TopicConfig{Name: name, Queues: 1, Attributes: map[string]string{admin.AttributeWriter: writer}}
}
