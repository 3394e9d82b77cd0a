package letters

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Rule says what changes of one row have to do with each other.
type Rule uint8

// The rules.
const (
	// Versions: the newest change of a row counts, by its key.
	Versions Rule = iota
	// Counts: rows have no key; a deletion takes back one insertion of an equal row.
	Counts
	// Changes: each change is one of its own, as in a changelog.
	Changes
)

// Refusal is why a column of the target can't hold a value.
type Refusal struct {
	Column string
	Cause  error
}

func (r *Refusal) Error() string { return r.Cause.Error() }

// Unwrap is the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// ErrFull says that no more may be put aside.
var ErrFull = errors.New("dead_letter allows no more to be put aside")

// Book is which letters there are of one table, without their content. Once a Draft has handed
// it out nothing writes to it any more.
type Book struct {
	entries map[event.Seq]entry
	of      map[ID][]event.Seq
	bytes   int64
	// taken says of deletions above the marks which letter they have taken back already, takers
	// the opposite.
	taken, takers map[event.Seq]event.Seq
}

type entry struct {
	id    ID
	bytes int64
}

// NewBook is a book without letters.
func NewBook() *Book {
	return &Book{entries: map[event.Seq]entry{}, of: map[ID][]event.Seq{}, taken: map[event.Seq]event.Seq{}, takers: map[event.Seq]event.Seq{}}
}

// Add notes a letter that was read back.
func (b *Book) Add(seq event.Seq, id ID, bytes int64) {
	b.remove(seq)
	b.entries[seq] = entry{id, bytes}
	b.of[id] = append(b.of[id], seq)
	b.bytes += bytes
}

// Remove forgets a letter that was read back and has gone since.
func (b *Book) Remove(seq event.Seq) { b.remove(seq) }

// Taken notes that a deletion has taken a letter back, where the target may say so before its
// marks have passed the deletion: it may be given again, and the letter before it.
func (b *Book) Taken(seq, by event.Seq) { b.taken[by], b.takers[seq] = seq, by }

func (b *Book) remove(seq event.Seq) bool {
	e, ok := b.entries[seq]
	if !ok {
		return false
	}
	delete(b.entries, seq)
	b.bytes -= e.bytes
	if b.of[e.id] = slices.DeleteFunc(b.of[e.id], func(s event.Seq) bool { return s == seq }); len(b.of[e.id]) == 0 {
		delete(b.of, e.id)
	}
	return true
}

// Aside is how much is put aside.
func (b *Book) Aside() pipeline.PutAside {
	return pipeline.PutAside{Rows: len(b.entries), Bytes: b.bytes}
}

// Empty says that nothing is.
func (b *Book) Empty() bool { return len(b.entries) == 0 }

// Has says that a change is put aside.
func (b *Book) Has(seq event.Seq) bool { _, ok := b.entries[seq]; return ok }

// Known are the numbers of letters, and of those that a deletion above the marks took back.
func (b *Book) Known() []event.Seq {
	known := slices.AppendSeq(slices.Collect(maps.Keys(b.entries)), maps.Keys(b.takers))
	slices.Sort(known)
	return slices.Compact(known)
}

func (b *Book) clone() *Book {
	c := &Book{entries: maps.Clone(b.entries), of: make(map[ID][]event.Seq, len(b.of)), bytes: b.bytes, taken: b.taken, takers: b.takers}
	for id, seqs := range b.of {
		c.of[id] = slices.Clone(seqs)
	}
	return c
}

// Draft is a book as it will be when what was written since the last commit is committed. One
// goroutine uses it.
type Draft struct {
	base, next *Book
	bounds     pipeline.LetterBounds
	put        map[event.Seq]*Letter
	gone       map[event.Seq]event.Seq // and the deletion that took it back
}

// Gone is a letter that is none any more; By is the deletion that took it back, 0 for none.
type Gone struct{ Seq, By event.Seq }

// Begin begins a draft on what a book says.
func (b *Book) Begin(bounds pipeline.LetterBounds) *Draft {
	return &Draft{base: b, next: b, bounds: bounds}
}

// Book is the book as it will be.
func (d *Draft) Book() *Book { return d.next }

// Open says that letters may be made at all.
func (d *Draft) Open() bool { return d.bounds.Rows > 0 }

// Changed says that something is to be stored.
func (d *Draft) Changed() bool { return len(d.put)+len(d.gone) > 0 }

// Changes are the letters that came and the numbers of those that went, by number.
func (d *Draft) Changes() (put []*Letter, gone []Gone) {
	for _, seq := range slices.Sorted(maps.Keys(d.put)) {
		put = append(put, d.put[seq])
	}
	for _, seq := range slices.Sorted(maps.Keys(d.gone)) {
		gone = append(gone, Gone{seq, d.gone[seq]})
	}
	return put, gone
}

// write has the draft's book be its own.
func (d *Draft) write() {
	if d.next == d.base {
		d.next, d.put, d.gone = d.base.clone(), map[event.Seq]*Letter{}, map[event.Seq]event.Seq{}
	}
}

// Put puts a change aside. An older one of its row that is put aside gives way, a newer one
// stays alone; after ErrFull nothing has changed. A change that is put aside already, because
// it was given again, is what it was.
func (d *Draft) Put(l *Letter, rule Rule) error {
	older, size := []event.Seq(nil), l.Bytes
	rows, bytes := len(d.next.entries)+1, d.next.bytes+size
	for _, seq := range d.next.of[l.ID] {
		switch {
		case seq == l.Seq || rule == Versions && seq < l.Seq:
			older = append(older, seq)
			rows, bytes = rows-1, bytes-d.next.entries[seq].bytes
		case rule == Versions:
			return nil
		}
	}
	if rows > d.bounds.Rows || bytes > d.bounds.Bytes {
		at := d.next.Aside()
		return fmt.Errorf("%w: %d changes with %d bytes are put aside, and %d and %d are the most; "+
			"`millrace pipeline letters` (list, replay, drop) makes room", ErrFull, at.Rows, at.Bytes, d.bounds.Rows, d.bounds.Bytes)
	}
	d.write()
	for _, seq := range older {
		d.Remove(seq)
	}
	d.next.Add(l.Seq, l.ID, size)
	d.put[l.Seq] = l
	delete(d.gone, l.Seq)
	return nil
}

// Applied says that the target was given a change of a row: what is put aside of the row and
// is not newer counts no more.
func (d *Draft) Applied(id ID, seq event.Seq) {
	for _, s := range slices.Clone(d.next.of[id]) {
		if s <= seq {
			d.Remove(s)
		}
	}
}

// TakeBack takes back one letter of an equal row that is older than seq, for a deletion of it
// that the target can't hold or need not: the newest. It reports whether there was one, or
// that this deletion has taken one back before it was given again.
func (d *Draft) TakeBack(id ID, seq event.Seq) bool {
	of, again := d.next.taken[seq]
	for _, s := range d.next.of[id] {
		if !again && s < seq {
			of = max(of, s)
		}
	}
	if d.Remove(of); d.base.Has(of) {
		d.gone[of] = seq
	}
	return of > 0
}

// Landed says that the target has the row of a change that was put aside once: it is no letter,
// and a deletion that took it back and is given again is written like any other.
func (d *Draft) Landed(seq event.Seq) {
	d.Remove(seq)
	by, ok := d.next.takers[seq]
	if !ok {
		return
	}
	d.write()
	d.next.taken, d.next.takers = maps.Clone(d.next.taken), maps.Clone(d.next.takers)
	delete(d.next.taken, by)
	delete(d.next.takers, seq)
}

// Below says that what is below a number is gone.
func (d *Draft) Below(floor event.Seq) {
	if d.next.Empty() {
		return
	}
	for seq := range maps.Clone(d.next.entries) {
		if seq < floor {
			d.Remove(seq)
		}
	}
}

// Remove ends a letter, and reports whether there was one.
func (d *Draft) Remove(seq event.Seq) bool {
	if !d.next.Has(seq) {
		return false
	}
	d.write()
	d.next.remove(seq)
	if delete(d.put, seq); d.base.Has(seq) {
		d.gone[seq] = 0
	}
	return true
}

// Choose are the numbers of the letters among seqs that there are, or of all, rising.
func (b *Book) Choose(seqs []event.Seq) []event.Seq {
	if len(seqs) == 0 {
		return slices.Sorted(maps.Keys(b.entries))
	}
	seqs = slices.DeleteFunc(slices.Clone(seqs), func(s event.Seq) bool { return !b.Has(s) })
	slices.Sort(seqs)
	return slices.Compact(seqs)
}
