package txn

import (
	"cmp"
	"hash/maphash"
	"slices"

	"github.com/millrace/millrace/internal/seeded"
)

// index is what is known of halves: those that are pending, those whose resolution is not
// yet durable, and the most recent of those that are done with. It does no I/O. The caller
// serializes.
type index struct {
	halves map[int64]*half // by first
	// ring holds the pending ones from the oldest to the newest; its head is no half.
	ring half
	// settling holds the decided ones whose resolution is not yet known to be durable.
	settling half
	mine     map[string]map[int64]*half // the pending ones of each writer
	// ordinary counts the pending halves that belong to no writer, count all.
	ordinary, count int

	done     map[int64]done
	queue    []int64 // of done, in order; from head on
	head     int
	remember int
	seed     maphash.Seed
}

// done is what is remembered of a half that nobody waits for any more.
type done struct {
	key       uint64 // hash of its unique key
	offset    int64
	resPhys   int64
	committed bool
}

func newIndex(remember int) *index {
	x := &index{
		halves:   map[int64]*half{},
		mine:     map[string]map[int64]*half{},
		done:     map[int64]done{},
		remember: remember,
		seed:     maphash.MakeSeed(),
	}
	x.ring.older, x.ring.newer = &x.ring, &x.ring
	x.settling.older, x.settling.newer = &x.settling, &x.settling
	return x
}

// link puts n behind at.
func link(n, at *half) {
	n.older, n.newer = at, at.newer
	at.newer.older, at.newer = n, n
}

// unlink takes n out of its ring.
func unlink(n *half) {
	n.older.newer, n.newer.older = n.newer, n.older
	n.older, n.newer = nil, nil
}

// add makes h pending. It must be new.
func (x *index) add(h *half) {
	x.halves[h.first] = h
	link(h, x.ring.older)
	x.count++
	w := h.owner()
	if w == "" {
		x.ordinary++
		return
	}
	m := x.mine[w]
	if m == nil {
		m = map[int64]*half{}
		x.mine[w] = m
	}
	m[h.first] = h
}

// known tells whether the half that was first stored at first was ever seen.
func (x *index) known(first int64) bool {
	if x.halves[first] != nil {
		return true
	}
	_, ok := x.done[first]
	return ok
}

// decide takes h out of the pending ones. It stays known, unsettled.
func (x *index) decide(h *half, p phase, offset, phys int64) {
	if h.phase != pending {
		panic("BUG: a half is decided twice")
	}
	h.phase, h.offset, h.resPhys = p, offset, phys
	unlink(h)
	link(h, x.settling.older)
	x.count--
	if w := h.owner(); w == "" {
		x.ordinary--
	} else {
		delete(x.mine[w], h.first)
		if len(x.mine[w]) == 0 {
			delete(x.mine, w)
		}
	}
}

// settle says that h's resolution is durable, and returns who waits for that. What is
// remembered beyond the limit is forgotten, if its resolution lies below dispatched: then
// the log's own index finds it.
func (x *index) settle(h *half, dispatched int64) []func(Outcome) {
	if h.phase == pending {
		panic("BUG: a pending half is settled")
	}
	if h.settled {
		return nil
	}
	h.settled = true
	unlink(h)
	if !seeded.On(seeded.EndTwice) {
		delete(x.halves, h.first)
	}
	x.done[h.first] = done{key: x.hash(h.key), offset: h.offset, resPhys: h.resPhys, committed: h.phase == committed}
	x.queue = append(x.queue, h.first)
	for len(x.done) > x.remember {
		first := x.queue[x.head]
		if x.done[first].resPhys >= dispatched {
			break
		}
		delete(x.done, first)
		x.head++
	}
	if x.head > len(x.queue)/2 && x.head > 64 {
		x.queue = append(x.queue[:0], x.queue[x.head:]...)
		x.head = 0
	}
	waiting := h.waiting
	h.waiting = nil
	return waiting
}

func (x *index) hash(key string) uint64 { return maphash.String(x.seed, key) }

// remembered is the outcome of a half that is done with.
func (x *index) remembered(first int64, key string) (Outcome, bool) {
	d, ok := x.done[first]
	switch {
	case !ok:
		return Outcome{}, false
	case d.key != x.hash(key):
		return Outcome{Verdict: Gone}, true
	case d.committed:
		return Outcome{Verdict: Committed, Offset: d.offset}, true
	}
	return Outcome{Verdict: RolledBack}, true
}

// of lists a writer's pending halves in the order in which they were first stored.
func (x *index) of(writer string) []*half {
	list := make([]*half, 0, len(x.mine[writer]))
	for _, h := range x.mine[writer] {
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b *half) int { return cmp.Compare(a.first, b.first) })
	return list
}

// inDoubt lists the decided halves that lie below phys and whose resolution is not known
// to be durable.
func (x *index) inDoubt(phys int64) []*half {
	var list []*half
	for h := x.settling.newer; h != &x.settling; h = h.newer {
		if h.phys < phys {
			list = append(list, h)
		}
	}
	return list
}

// settledBelow lists the halves whose resolutions lie below flushed and nobody has settled.
func (x *index) settledBelow(flushed int64) []*half {
	var list []*half
	for h := x.settling.newer; h != &x.settling; h = h.newer {
		if h.resPhys < flushed {
			list = append(list, h)
		}
	}
	return list
}

// walk looks at the pending halves from the cursor on, at most n, and moves the cursor. A
// cursor is a half with first -1 that startWalk puts into the ring.
func (x *index) walk(cursor *half, n int, look func(*half)) (more bool) {
	at := cursor.newer
	for ; n > 0 && at != &x.ring; n-- {
		if at.first >= 0 {
			look(at)
		}
		at = at.newer
	}
	unlink(cursor)
	if at == &x.ring {
		return false
	}
	link(cursor, at.older)
	return true
}

func (x *index) startWalk() *half {
	cursor := &half{first: -1}
	link(cursor, &x.ring)
	return cursor
}
