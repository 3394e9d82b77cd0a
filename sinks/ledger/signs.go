package ledger

import (
	"slices"

	"github.com/millrace/millrace/pipeline/event"
)

// Sign is what a change counts in a table without a key (C7): 1 for a row that comes, -1 for
// one that goes. An update is no such change: it comes as its two halves.
func Sign(op event.Op) int {
	switch op {
	case event.OpCreate, event.OpRead:
		return 1
	case event.OpDelete:
		return -1
	}
	return 0
}

// Settle decides which insertions of one row of a table without a key are shown: as many as
// insertions outnumber deletions at or above the floor. Hidden insertions, and deletions that
// are owed one, stay on record, because a floor at one of the open BEGINs may tell them
// apart later. It sorts plus and minus, and what it returns refers to them.
func (t *Table) Settle(plus, minus []event.Seq) (shown, hidden, owed []event.Seq) {
	slices.Sort(plus)
	slices.Sort(minus)
	bounds := append(append([]event.Seq{t.Floor}, t.Open...), ^event.Seq(0))
	slices.Sort(bounds)
	cut := func(list []event.Seq, lo, hi event.Seq) []event.Seq {
		i, _ := slices.BinarySearch(list, lo)
		j, _ := slices.BinarySearch(list, hi)
		return list[i:max(i, j)]
	}
	for i := 0; i+1 < len(bounds); i++ {
		lo := max(bounds[i], t.Floor)
		p, d := cut(plus, lo, bounds[i+1]), cut(minus, lo, bounds[i+1])
		n := min(len(p), len(d))
		shown = append(shown, p[:len(p)-n]...)
		owed = append(owed, d[n:]...)
	}
	n := min(len(shown), len(owed))
	return shown[:len(shown)-n], shown[len(shown)-n:], owed
}
