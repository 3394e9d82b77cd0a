package bus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

// group is a publish group: being built, then in flight.
type group struct {
	rec    *checkpoint.Group
	begun  time.Time
	wait   time.Duration // how long it gathers
	timed  bool          // flushLoop was told that it has become urgent: it may have waited for a position's time
	bytes  int
	queues []*queueState // touched
	// sealed says that only the commit of its transaction may still be added.
	sealed bool
	// within says that it ends inside a transaction unless a commit comes: seq and the
	// identity of the last item added.
	within  *event.Tx
	withSeq event.Seq
	withID  event.Identity
	// start is the first transaction in it.
	start *event.Tx
	// first and last number that its chunk or barrier takes.
	first, last event.Seq
	changed     bool // something beside rows and positions
	// idle says that it tells nothing but that the position holds for a later time: it goes
	// the way of the others and is not recorded.
	idle bool
	// lasts is what the queues hold once it is visible; nil in most groups.
	lasts *lasts

	// In flight.
	size    int64
	pending atomic.Int32
	acked   chan struct{}
	refs    []client.HalfRef
}

// group is the group being built, of this kind; a group of another kind is closed by the
// caller before.
func (p *Publisher) group(kind checkpoint.GroupKind) *group {
	if p.cur == nil {
		p.cur = &group{
			begun: time.Now(), wait: p.cfg.GroupInterval, acked: make(chan struct{}),
			rec: &checkpoint.Group{Kind: kind, From: p.pos, To: p.pos},
		}
		p.wake()
	}
	if p.cur.rec.Kind == checkpoint.KindRows && len(p.cur.queues) == 0 {
		p.cur.rec.Kind = kind
	}
	return p.cur
}

// wake has flushLoop look at the group after an interval.
func (p *Publisher) wake() {
	select {
	case p.opened <- struct{}{}:
	default:
	}
}

// kindOf closes what can't share a group with an item of this kind.
func (p *Publisher) groupFor(ctx context.Context, kind checkpoint.GroupKind) (*group, error) {
	if g := p.cur; g != nil && (g.sealed || g.rec.Kind != kind && (len(g.queues) > 0 || g.rec.Kind != checkpoint.KindRows)) {
		if err := p.closeGroup(ctx); err != nil {
			return nil, err
		}
	}
	return p.group(kind), nil
}

func (g *group) touches(s *tableState) bool {
	return slices.ContainsFunc(g.queues, func(q *queueState) bool { return q.table == s })
}

// urgent says that somebody waits for what it holds: not only a position.
func (g *group) urgent() bool { return len(g.queues) > 0 || g.changed || g.first != 0 }

func (g *group) addTable(t checkpoint.Table) {
	g.changed = true
	g.rec.Tables = slices.DeleteFunc(g.rec.Tables, func(x checkpoint.Table) bool { return x.Name == t.Name })
	g.rec.Tables = append(g.rec.Tables, t)
	g.rec.Dropped = slices.DeleteFunc(g.rec.Dropped, func(x checkpoint.TableName) bool { return x == t.Name }) // it is there again
}

// addDropped takes a table away, and what the group knew of it.
func (g *group) addDropped(t checkpoint.TableName) {
	g.changed = true
	g.rec.Tables = slices.DeleteFunc(g.rec.Tables, func(x checkpoint.Table) bool { return x.Name == t })
	g.rec.Dropped = append(g.rec.Dropped, t)
}

func (g *group) addPause(x checkpoint.Paused) {
	g.changed = true
	g.rec.Paused = append(g.rec.Paused, x)
	g.rec.Resumed = slices.DeleteFunc(g.rec.Resumed, func(t checkpoint.TableName) bool { return t == x.Table })
}

func (g *group) addAttempt(a checkpoint.Attempt) {
	g.changed = true
	g.rec.Attempts = slices.DeleteFunc(g.rec.Attempts, func(x checkpoint.Attempt) bool { return x.Table == a.Table })
	g.rec.Attempts = append(g.rec.Attempts, a)
}

// touch makes a queue part of the group. It closes the group first when that is full.
func (p *Publisher) touch(ctx context.Context, kind checkpoint.GroupKind, q *queueState) (*group, error) {
	if q.inGroup {
		return p.cur, nil
	}
	if p.cur != nil && len(p.cur.queues) >= maxHalves {
		if err := p.closeGroup(ctx); err != nil {
			return nil, err
		}
	}
	g := p.group(kind)
	p.join(g, q)
	return g, nil
}

// join makes a queue part of a group; its slice is empty yet.
func (p *Publisher) join(g *group, q *queueState) {
	q.inGroup, q.prev, q.from, q.txAt = true, q.last, event.Identity{}, -1
	if q.table.table.Schema != nil {
		q.schema = q.table.table.Schema.ID
	}
	g.queues = append(g.queues, q)
}

// closeGroup ends the group being built and sends its halves. It waits for room.
func (p *Publisher) closeGroup(ctx context.Context) error {
	g := p.cur
	if g == nil {
		return nil
	}
	if p.life.Err() != nil {
		return context.Cause(p.life) // and not what is wrong with a group that was given up half way
	}
	p.finishRecord(g)
	if !g.urgent() && event.Position(g.rec.To).SamePlace(event.Position(g.rec.From)) {
		if g.rec.To.Time <= g.rec.From.Time {
			p.cur = nil
			return nil
		}
		g.idle = time.Since(p.lastPos) < p.cfg.HeartbeatInterval
	}
	out, err := p.encode(g)
	if err != nil {
		return err
	}
	p.markLasts(g)
	g.size = min(max(g.size, 1<<10), p.cfg.WindowBytes)
	if err := p.room.Acquire(ctx, g.size); err != nil {
		err = why(ctx, err)
		p.fail(err) // the group's builders are empty: nobody may close it again
		return err
	}
	p.cur, p.pos = nil, g.rec.To
	if !g.idle {
		p.lastPos = time.Now()
	}
	g.pending.Store(int32(len(out)) + 1)
	g.refs = make([]client.HalfRef, len(out))
	for i := range out {
		p.sendHalf(g, i, &out[i])
	}
	g.ack()
	select {
	case p.closed <- g:
		return nil
	case <-ctx.Done():
		return why(ctx, ctx.Err())
	}
}

// ack counts one acknowledgement; the last one lets the record be appended.
func (g *group) ack() {
	if g.pending.Add(-1) == 0 {
		close(g.acked)
	}
}

// finishRecord sets what is known when a group ends.
func (p *Publisher) finishRecord(g *group) {
	r := g.rec
	if g.within != nil {
		r.To = checkpoint.Position(g.within.Start)
		r.To.Done, r.To.DoneID = g.withSeq, g.withID
		r.To.DoneID.Tx = strings.Clone(r.To.DoneID.Tx)
		if p.tx.open && p.tx.tx.ID == g.within.ID { // where its position tells more by now it is another value
			r.OpenTx = p.openCounts()
		}
	}
	if r.From == (checkpoint.Position{}) { // the first group of all
		r.From = r.To
		if g.start != nil {
			r.From = checkpoint.Position(g.start.Start)
		}
	}
	if g.first != 0 {
		r.Reserved = append(r.Reserved, reservation(g.first, g.last))
		if len(r.Attempts) == 0 && r.Kind == checkpoint.KindChunk { // cut: the chunk is read anew under another name
			if len(g.queues) > 0 {
				t := g.queues[0].table
				t.attempt.Chunk++
				r.Attempts = append(r.Attempts, t.attempt)
			}
		}
	}
	for q := range p.trims {
		if q.trim != nil {
			r.Trim = append(r.Trim, checkpoint.Trim{Queue: q.key, From: q.trim.from, Upto: q.trim.upto})
		}
	}
	slices.SortFunc(r.Trim, func(a, b checkpoint.Trim) int { return strings.Compare(a.Queue.String(), b.Queue.String()) })
}

func reservation(first, last event.Seq) checkpoint.Reservation {
	return checkpoint.Reservation{Epoch: first.Epoch(), At: first.Counter(), Count: uint64(last-first) + 2}
}

// openCounts are the present transaction's rows so far.
func (p *Publisher) openCounts() *checkpoint.OpenTx {
	o := &checkpoint.OpenTx{ID: p.tx.tx.ID}
	for _, t := range p.tx.tables {
		o.Tables = append(o.Tables, checkpoint.TableCount{Table: checkpoint.TableName(t.table.Name), Rows: t.txRows})
	}
	for _, q := range p.tx.queues {
		o.Queues = append(o.Queues, checkpoint.QueueCount{Queue: q.key, Rows: q.txRows})
	}
	return o
}

// outgoing is one half to send.
type outgoing struct {
	q    message.Queue
	m    message.Message
	link client.Link
}

// encode turns the builders of the group's queues into messages and empties them.
func (p *Publisher) encode(g *group) ([]outgoing, error) {
	out := make([]outgoing, 0, len(g.queues))
	for _, q := range g.queues {
		head := event.Slice{Table: q.table.table.Name, Schema: q.schema, Hi: q.last, Prev: q.prev, From: q.from, To: q.to}
		body, err := p.body(), error(nil)
		tag, keys := "dml", ""
		if q.mark != nil {
			q.mark.Prev, head = q.prev, *q.mark
			body, err = event.AppendSlice(body, q.mark)
			head.Prev, tag = q.prev, markTag(head.Kind)
		} else {
			keys = q.keys()
			body, err = q.b.Append(body, &head)
		}
		q.inGroup, q.mark, q.txAt = false, nil, -1
		q.b.Reset()
		if err != nil {
			return nil, p.wrap("encode a slice", err)
		}
		g.size += int64(len(body))
		props := map[string]string{message.PropertyTags: tag}
		if keys != "" {
			props[message.PropertyKeys] = keys
		}
		out = append(out, outgoing{
			q: q.q, m: message.Message{Topic: q.q.Topic, Body: body, Properties: props},
			link: client.Link{Lo: uint64(head.Lo), Hi: uint64(head.Hi), Prev: uint64(head.Prev), From: head.From.String(), To: head.To.String()},
		})
		g.rec.Halves = append(g.rec.Halves, checkpoint.Half{Queue: q.key, Lo: head.Lo, Hi: head.Hi, Prev: head.Prev, To: head.To})
	}
	return out, nil
}

func markTag(k event.Kind) string {
	switch k {
	case event.KindDDL, event.KindTruncate:
		return "ddl"
	case event.KindHeartbeat:
		return "beat"
	}
	return "mark"
}

// keys is the KEYS property of a slice of one row: the key as text, or its hash where the
// text is long or could be taken for several keys.
func (q *queueState) keys() string {
	if q.b.Rows() != 1 || q.table.table.Schema == nil {
		return ""
	}
	t := q.table.table
	text := keyText(t, q.b.LastImage())
	if text != "" && len(text) <= 64 && !strings.ContainsAny(text, " \x01\x02") {
		return text
	}
	hash, err := event.KeyHash(q.b.LastImage(), t.Schema, t.KeyColumns)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%016x", hash)
}

// body is a buffer for a message body; it comes back when the message is acknowledged.
func (p *Publisher) body() []byte {
	if b, ok := p.bodies.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

// sendHalf sends one half; its acknowledgement is counted, its failure ends the
// publisher.
func (p *Publisher) sendHalf(g *group, i int, o *outgoing) {
	p.stats.halves.Add(1)
	p.stats.bytes.Add(uint64(len(o.m.Body)))
	p.d.writer.SendHalfAsync(o.q, &o.m, o.link, func(ref client.HalfRef, err error) {
		if err != nil {
			p.fail(p.wrap("send a half", err))
			return
		}
		g.refs[i] = ref
		body := o.m.Body
		p.bodies.Put(&body)
		g.ack()
	})
}
