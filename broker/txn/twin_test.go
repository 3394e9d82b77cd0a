package txn_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/message"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random histories; 0 takes one from the clock")

// twin is the naive model: a list of what happened, and rules that read all of it anew
// for every question.
type twin struct {
	events  []event
	flushed int
}

type event struct {
	kind  string // open, half, final, rollback, send
	half  string
	queue int32
	term  uint64
	hi    uint64
}

func (m *twin) add(e event) { m.events = append(m.events, e) }

func (m *twin) term() (t uint64) {
	for _, e := range m.events {
		if e.kind == "open" {
			t = e.term
		}
	}
	return t
}

func (m *twin) last(queue int32) (hi uint64) {
	for _, e := range m.events {
		if (e.kind == "final" || e.kind == "send") && e.queue == queue && e.hi != 0 {
			hi = e.hi
		}
	}
	return hi
}

// fate is the event that decided a half, or that made it pending; "" when it is unknown.
func (m *twin) fate(half string) (kind string) {
	for _, e := range m.events {
		if e.half == half {
			kind = e.kind
		}
	}
	return kind
}

// offset is the place of a committed half in its queue.
func (m *twin) offset(half string, queue int32) (n int64) {
	for _, e := range m.events {
		if (e.kind == "final" || e.kind == "send") && e.queue == queue {
			if e.half == half {
				return n
			}
			n++
		}
	}
	return -1
}

func (m *twin) pending() (n int) {
	for _, e := range m.events {
		switch e.kind {
		case "half":
			n++
		case "final", "rollback":
			if e.half != "" {
				n--
			}
		}
	}
	return n
}

func (m *twin) flush() { m.flushed = len(m.events) }

func (m *twin) crash(keep int) {
	m.events = m.events[:min(m.flushed+keep, len(m.events))]
	m.flush()
}

// plan is what a half is meant for.
type plan struct {
	queue  int32
	lo, hi uint64
	prev   uint64
	free   bool // of an ordinary producer
}

// TestAgainstTwin plays random histories of two queues of one writer and a free one, with
// power cuts that lose any part of what is not durable, retention, snapshots and
// restarts, and compares every answer with the model's.
func TestAgainstTwin(t *testing.T) {
	seed := *seedFlag
	rounds := 300
	if seed != 0 {
		rounds = 1
	} else {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range rounds {
		s := seed + uint64(i)
		if !t.Run("", func(t *testing.T) { history(t, s) }) {
			t.Fatalf("replay with -seed %d", s)
		}
	}
}

type player struct {
	*world
	rng   *rand.Rand
	m     twin
	plans map[string]plan
	names []string
	seq   uint64
	held  []func() // checks of answers that wait for a flush
}

func history(t *testing.T, seed uint64) {
	w := newWorld(t)
	w.own("p-a", 2)
	p := &player{world: w, rng: rand.New(rand.NewPCG(seed, 7)), plans: map[string]plan{}, seq: 1}
	w.snaps = p.rng.IntN(2) == 0
	if p.rng.IntN(2) == 0 {
		w.cfg.Remembered = 2
	}
	w.start()
	for range 150 {
		p.step()
		if t.Failed() {
			return
		}
	}
	p.release()
	p.checkChains()
}

func (p *player) step() {
	switch n := p.rng.IntN(100); {
	case n < 5:
		p.stepOpen()
	case n < 30:
		p.stepHalf()
	case n < 40:
		p.stepSend()
	case n < 70:
		p.stepResolve()
	case n < 80:
		p.stepEnd()
	case n < 84:
		p.log.hold = true
	case n < 90:
		p.release()
	case n < 93:
		keep := p.rng.IntN(4)
		records := len(p.log.recs) - p.log.flushed
		if p.opsUnflushed() {
			keep = records // the model does not count operation records
		}
		p.held = nil
		p.m.crash(min(keep, records))
		p.crash(keep)
	case n < 95:
		p.release()
		if err := p.log.retain(p.log.next); err != nil {
			p.t.Fatalf("retention: %v", err)
		}
	case n < 97:
		p.txn.Snapshot()
	default:
		if !p.log.hold {
			p.txn.FlushOps()
		}
	}
	if got, want := p.txn.Pending(), p.m.pending(); got != want {
		p.t.Fatalf("%d halves are pending, the model has %d", got, want)
	}
}

// opsUnflushed tells whether records that the model does not know wait for a flush.
func (p *player) opsUnflushed() bool {
	return len(p.log.recs)-p.log.flushed != len(p.m.events)-p.m.flushed
}

func (p *player) release() {
	p.log.hold = false
	p.log.flush()
	p.m.flush()
	for _, check := range p.held {
		check()
	}
	p.held = nil
}

// expect runs check now, or when the log is flushed.
func (p *player) expect(check func()) {
	if p.log.hold {
		p.held = append(p.held, check)
		return
	}
	p.m.flush()
	check()
}

func (p *player) stepOpen() {
	term := p.m.term() + uint64(p.rng.IntN(3))
	res := p.open("p", term, fmt.Sprint("opener", p.seq))
	p.seq++
	if term <= p.m.term() {
		known := p.m.term()
		var stale *writer.StaleError
		if term == 0 {
			if !errors.Is(res.err, writer.ErrIllegal) {
				p.t.Fatalf("term 0: %v", res.err)
			}
		} else if !errors.As(res.err, &stale) || stale.Known != known {
			p.t.Fatalf("open %d: %v, want stale, known %d", term, res.err, known)
		}
		return
	}
	p.m.add(event{kind: "open", term: term})
	last := [2]uint64{p.m.last(0), p.m.last(1)}
	p.expect(func() {
		if res.err != nil {
			p.t.Fatalf("open %d: %v", term, res.err)
		}
		for _, q := range res.state.Queues {
			if q.Hi != last[q.QueueID] {
				p.t.Fatalf("opening is told last %d of queue %d, want %d", q.Hi, q.QueueID, last[q.QueueID])
			}
		}
	})
}

// link draws the place of a message: mostly the right one.
func (p *player) link() plan {
	q := int32(p.rng.IntN(2))
	prev := p.m.last(q)
	p.seq += uint64(1 + p.rng.IntN(3))
	switch p.rng.IntN(8) {
	case 0:
		return plan{queue: q, lo: p.seq, hi: p.seq, prev: p.seq - 1}
	case 1:
		if prev > 2 {
			return plan{queue: q, lo: prev - 1, hi: prev - 1, prev: prev - 2}
		}
	}
	return plan{queue: q, lo: p.seq, hi: p.seq, prev: prev}
}

func (p *player) drawTerm() uint64 {
	if p.rng.IntN(8) == 0 {
		return p.m.term() + 1 - uint64(p.rng.IntN(2))*2
	}
	return p.m.term()
}

func (p *player) stepHalf() {
	name := fmt.Sprint("h", len(p.names))
	if p.rng.IntN(4) == 0 {
		p.names = append(p.names, name)
		p.plans[name] = plan{free: true}
		res := p.half(name, "free", 0, nil, "g")
		p.m.add(event{kind: "half", half: name})
		p.expect(func() { p.must(res.Err, "free half") })
		return
	}
	term := p.drawTerm()
	l := p.link()
	if term == 0 {
		return
	}
	res := p.half(name, "p-a", l.queue, linkProps("p", term, l.lo, l.hi, l.prev), "")
	if term != p.m.term() {
		p.want(res.Err, writer.ErrFenced, "half")
		return
	}
	p.names = append(p.names, name)
	p.plans[name] = l
	p.m.add(event{kind: "half", half: name})
	p.expect(func() { p.must(res.Err, "half") })
}

func (p *player) stepSend() {
	term := p.drawTerm()
	l := p.link()
	if term == 0 {
		return
	}
	res := p.send("p-a", l.queue, linkProps("p", term, l.lo, l.hi, l.prev))
	var link *writer.LinkError
	last := p.m.last(l.queue)
	switch {
	case term != p.m.term():
		p.want(res.Err, writer.ErrFenced, "send")
	case l.hi <= last || l.prev != last:
		if !errors.As(res.Err, &link) || link.Duplicate != (l.hi <= last) || link.Last != last {
			p.t.Fatalf("send %d behind %d on last %d: %v", l.hi, l.prev, last, res.Err)
		}
	default:
		p.m.add(event{kind: "send", queue: l.queue, hi: l.hi})
		p.expect(func() { p.must(res.Err, "send") })
	}
}

// decide tells what the model answers, and lets it happen.
func (p *player) decide(name string, commit bool, term uint64) txn.Outcome {
	l := p.plans[name]
	queue := l.queue
	if l.free {
		queue = 9
	}
	switch p.m.fate(name) {
	case "":
		return txn.Outcome{Verdict: txn.Gone}
	case "final":
		return txn.Outcome{Verdict: txn.Committed, Offset: p.m.offset(name, queue)}
	case "rollback":
		return txn.Outcome{Verdict: txn.RolledBack}
	}
	if !commit {
		p.m.add(event{kind: "rollback", half: name})
		return txn.Outcome{Verdict: txn.RolledBack}
	}
	if last := p.m.last(queue); !l.free {
		if l.hi <= last {
			return txn.Outcome{Verdict: txn.Duplicate, Last: last}
		}
		if l.prev != last {
			return txn.Outcome{Verdict: txn.Gap, Last: last}
		}
	}
	p.m.add(event{kind: "final", half: name, queue: queue, hi: l.hi, term: term})
	return txn.Outcome{Verdict: txn.Committed, Offset: p.m.offset(name, queue)}
}

func (p *player) stepResolve() {
	term := p.drawTerm()
	var commit, rollback []string
	for range 1 + p.rng.IntN(4) {
		if len(p.names) == 0 {
			return
		}
		name := p.names[max(0, len(p.names)-1-p.rng.IntN(8))]
		if p.plans[name].free {
			continue
		}
		if p.rng.IntN(4) == 0 {
			rollback = append(rollback, name)
		} else {
			commit = append([]string{name}, commit...)
		}
	}
	if !p.readable(commit) {
		return
	}
	res := p.resolve("p", term, commit, rollback)
	if term != p.m.term() || term == 0 {
		p.want(res.err, writer.ErrFenced, "resolve")
		return
	}
	var want []txn.Outcome
	for _, n := range commit {
		want = append(want, p.decide(n, true, term))
	}
	for _, n := range rollback {
		want = append(want, p.decide(n, false, term))
	}
	names := append(append([]string{}, commit...), rollback...)
	p.expect(func() {
		if len(want) != len(res.outcomes) {
			p.t.Fatalf("%d outcomes of %d halves: %v", len(res.outcomes), len(want), res.err)
		}
		for i, o := range res.outcomes {
			p.same(names[i], o, want[i])
		}
	})
}

// readable tells whether the halves are durable: their owner cannot know them before.
func (p *player) readable(names []string) bool {
	for _, n := range names {
		if p.firstOf(n) >= p.log.FlushedPhysical() {
			return false
		}
	}
	return true
}

func (p *player) firstOf(n string) int64 { return p.world.names[n].first }

func (p *player) stepEnd() {
	if len(p.names) == 0 {
		return
	}
	name := p.names[max(0, len(p.names)-1-p.rng.IntN(8))]
	if !p.plans[name].free || !p.readable([]string{name}) {
		return
	}
	commit := p.rng.IntN(3) > 0
	res := p.end(name, commit, nil)
	want := p.decide(name, commit, 0)
	p.expect(func() { p.same(name, res.outcomes[0], want) })
}

// same compares outcomes. A half that was decided and left memory and log is gone.
func (p *player) same(name string, got, want txn.Outcome) {
	if got.Verdict == txn.Gone && (want.Verdict == txn.Committed || want.Verdict == txn.RolledBack) && p.firstOf(name) < p.log.min {
		return
	}
	if got.Verdict != want.Verdict || got.Offset != want.Offset || got.Last != want.Last {
		p.t.Fatalf("half %s: %s, the model says %s", name, describe(got), describe(want))
	}
}

func (p *player) must(err error, what string) {
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

func (p *player) want(err, target error, what string) {
	if !errors.Is(err, target) {
		p.t.Fatalf("%s: %v, want %v", what, err, target)
	}
}

// checkChains: in each queue what is left is an unbroken chain that the model knows.
func (p *player) checkChains() {
	for q := range int32(2) {
		var prev uint64
		p.log.each("p-a", q, func(rec message.Record) {
			l, err := writer.ParseLink(rec.Properties)
			p.must(err, "link")
			if prev != 0 && l.Prev != prev {
				p.t.Fatalf("queue %d: %d follows %d", q, l.Prev, prev)
			}
			prev = l.Hi
		})
		if n := p.log.queues[store.QueueID{Topic: "p-a", ID: q}]; prev != 0 && prev != p.m.last(q) {
			p.t.Fatalf("queue %d of %d messages ends with %d, the model with %d", q, n, prev, p.m.last(q))
		}
	}
}
