package clickhouse

import "github.com/millrace/millrace/sinks/clickhouse/column"

// undo is what a block held before a row, so that one that the target can't hold leaves
// nothing behind: a row may be in several stores, and of two halves.
type undo struct {
	rows, txs int
	bytes     int64
	cols      []column.Mark
	raws      map[int]rawTexts
	kept      rawTexts // when rows went
}

// note takes note of what the block holds.
func (b *block) note(u *undo) {
	u.rows, u.txs, u.bytes, u.cols, u.raws = b.rows(), len(b.txs), b.bytes, u.cols[:0], nil
	u.kept = b.keep.rawTexts
	for _, s := range []*side{b.now, b.before} {
		if s == nil {
			continue
		}
		for _, c := range s.cols {
			u.cols = append(u.cols, c.Mark())
		}
	}
	if len(b.raws) > 0 {
		u.raws = make(map[int]rawTexts, len(b.raws))
		for i, r := range b.raws {
			u.raws[i] = *r
		}
	}
}

// undo has the block hold what it held then.
func (b *block) undo(u *undo) {
	b.seq, b.mark, b.q, b.ts = b.seq[:u.rows], b.mark[:u.rows], b.q[:u.rows], b.ts[:u.rows]
	b.txs, b.bytes = b.txs[:u.txs], u.bytes
	b.keep.rawTexts = u.kept
	b.below = b.below[:min(u.rows, len(b.below))]
	at := 0
	for _, s := range []*side{b.now, b.before} {
		if s == nil {
			continue
		}
		for _, c := range s.cols {
			c.Undo(u.cols[at])
			at++
		}
	}
	for i := range b.raws {
		r, there := u.raws[i]
		if !there {
			delete(b.raws, i)
			continue
		}
		*b.raws[i] = r
	}
}
