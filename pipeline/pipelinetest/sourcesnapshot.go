package pipelinetest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// try is an attempt, and the place in the log before which none of its steps is taken.
type try struct {
	event.Attempt
	from int
}

// attemptStep takes the next step of a snapshot: BEGIN, a chunk, or END. A transaction
// goes between two steps; a table without a key has all of them in one place.
func (c *ScriptSource) attemptStep() bool {
	if c.cfg.Snapshots != nil && !c.cfg.Snapshots() {
		return false
	}
	next := slices.IndexFunc(c.tries, func(a *try) bool { return c.tables[a.Table].paused == nil })
	if next < 0 || c.at < c.tries[next].from || c.stream {
		return false
	}
	a := c.tries[next]
	t := c.tables[a.Table]
	c.stream = !t.now.Keyless
	if a.Begin == 0 {
		a.Begin = c.seq(c.counter)
		c.counter += 2
		c.emit(event.KindBegin, a.Begin, t.now, a)
		return true
	}
	rows, total := c.chunkRows(a)
	if len(rows) == 0 {
		seq := c.seq(c.counter)
		c.counter += 2
		c.tries = slices.Delete(c.tries, next, next+1)
		c.emit(event.KindEnd, seq, t.now, a)
		return true
	}
	a.Estimate = total
	etx := &event.Tx{ID: fmt.Sprintf("snap/%d/%d", a.Begin, a.Chunk), CommitTime: time.Unix(1_700_000_000, 0).UTC()}
	before := a.Attempt
	for i, r := range rows {
		c.out = append(c.out, event.Item{
			Kind: event.KindRow, Op: event.OpRead, Index: uint64(i), Seq: c.seq(c.counter), Table: t.now, Tx: etx, Attempt: &before,
			After: image(t.now.Schema, r),
		})
		c.counter += 2
		t.rows++
	}
	a.Chunk++
	a.Rows += uint64(len(rows))
	a.Cursor = cursor(t.now, rows, a.Rows)
	c.emit(event.KindChunkEnd, c.seq(c.counter-2), t.now, a)
	return true
}

func (c *ScriptSource) emit(k event.Kind, seq event.Seq, t *event.Table, a *try) {
	at, attempt := c.position(), a.Attempt
	c.out = append(c.out, event.Item{Kind: k, Seq: seq, Table: t, Attempt: &attempt, Commit: &at})
}

// cursor is the last key of a chunk, or how many rows of a table without one are done.
func cursor(t *event.Table, rows []Row, done uint64) []byte {
	if t.Keyless {
		return binary.BigEndian.AppendUint64(nil, done)
	}
	return binary.BigEndian.AppendUint64(nil, uint64(rows[len(rows)-1][0].(int64)))
}

func (c *ScriptSource) chunkRows(a *try) (rows []Row, total uint64) {
	c.s.mu.Lock()
	now := c.s.states[c.at][a.Table]
	c.s.mu.Unlock()
	all := slices.Clone(now.rows)
	if now.keyless {
		return all[min(int(a.Rows), len(all)):min(int(a.Rows)+c.cfg.ChunkRows, len(all))], uint64(len(all))
	}
	slices.SortFunc(all, func(x, y Row) int { return int(x[0].(int64) - y[0].(int64)) })
	if len(a.Cursor) == 8 {
		after := int64(binary.BigEndian.Uint64(a.Cursor))
		all = slices.DeleteFunc(all, func(r Row) bool { return r[0].(int64) <= after })
	}
	return all[:min(len(all), c.cfg.ChunkRows)], uint64(len(now.rows))
}
