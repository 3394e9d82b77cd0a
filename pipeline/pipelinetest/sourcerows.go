package pipelinetest

import (
	"slices"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// transaction reads the next transaction. At the log's end the next planned one comes;
// when there is none, it returns what to wait for.
func (c *ScriptSource) transaction() (wait <-chan struct{}) {
	s := c.s
	s.mu.Lock()
	if c.at == s.shown && s.shown < len(s.txs) {
		s.showLocked(s.shown + 1)
	}
	if c.at == s.shown {
		defer s.mu.Unlock()
		return s.waiting
	}
	t, after := s.txs[c.at], s.states[c.at+1]
	s.mu.Unlock()
	etx := &event.Tx{ID: t.id, CommitTime: time.Unix(int64(1_700_000_000+c.at), 0).UTC(), Start: c.position()}
	n := c.counter
	n = c.statement(&t, etx, after, n)
	index := map[event.TableName]uint64{}
	for i := range t.changes {
		ch := &t.changes[i]
		c.change(ch, etx, index[ch.table], n)
		index[ch.table]++
		n += 2
	}
	end := c.seq(n)
	c.end = end
	c.counter, c.at, c.done, c.stream = n+2, c.at+1, 0, false
	at := c.position()
	c.out = append(c.out, event.Item{Kind: event.KindCommit, Seq: end, Tx: etx, Commit: &at})
	return nil
}

func (c *ScriptSource) add(it event.Item) {
	t := c.tables[it.Table.Name]
	if it.Seq <= c.done || t.paused != nil {
		return
	}
	if it.Kind == event.KindRow {
		t.rows++
	}
	c.out = append(c.out, it)
}

// statement hands over a definition or a TRUNCATE.
func (c *ScriptSource) statement(t *tx, etx *event.Tx, after map[event.TableName]*content, n uint64) uint64 {
	switch {
	case t.ddl != nil:
		if table := c.tables[*t.ddl]; table != nil {
			c.definition(table, etx, after[*t.ddl], n)
		}
	case t.truncate != nil:
		if table := c.tables[*t.truncate]; table != nil {
			c.add(event.Item{Kind: event.KindTruncate, Seq: c.seq(n), Table: table.now, Tx: etx})
		}
	default:
		return n
	}
	return n + 2
}

// definition hands over a changed definition. One of the key begins an attempt in progress
// anew.
func (c *ScriptSource) definition(table *sourceTable, etx *event.Tx, after *content, n uint64) {
	old, due := table.now, ""
	table.now = c.table(after)
	if !slices.Equal(old.Schema.PrimaryKey, table.now.Schema.PrimaryKey) {
		due = "the key changed"
		for i, a := range c.tries {
			if a.Table == table.now.Name {
				c.tries[i] = &try{Attempt: event.Attempt{Table: a.Table, Cause: due}, from: c.s.end()}
			}
		}
	}
	c.add(event.Item{Kind: event.KindDDL, Seq: c.seq(n), Table: table.now, Tx: etx,
		DDL: &event.DDL{SQL: "ALTER TABLE", Old: old.Schema, New: table.now.Schema, Due: due}})
}

// moved reports whether a change takes a row to another key.
func moved(t *event.Table, ch *Change) bool {
	for _, k := range append(slices.Clone(t.KeyColumns), t.Schema.PrimaryKey...) {
		if ch.Before[k] != ch.After[k] {
			return true
		}
	}
	return false
}

// change hands over one row. A changed key, and an update of a table without one, is two.
func (c *ScriptSource) change(ch *Change, etx *event.Tx, index, n uint64) {
	if c.tables[ch.table] == nil {
		return
	}
	t := c.tables[ch.table].now
	it := event.Item{Kind: event.KindRow, Index: index, Seq: c.seq(n), Table: t, Tx: etx}
	if ch.Before != nil {
		it.Before = image(t.Schema, ch.Before)
	}
	if ch.After != nil {
		it.After = image(t.Schema, ch.After)
	}
	switch {
	case ch.Before == nil:
		it.Op = event.OpCreate
	case ch.After == nil:
		it.Op = event.OpDelete
	case t.Keyless || moved(t, ch):
		d, cr := it, it
		d.Op, d.After = event.OpDelete, nil
		cr.Op, cr.Before, cr.Part, cr.Seq = event.OpCreate, nil, 1, c.seq(n+1)
		c.add(d)
		c.add(cr)
		return
	default:
		it.Op = event.OpUpdate
	}
	c.add(it)
}

func image(s *event.Schema, r Row) event.Image {
	b := event.NewImageBuilder(s)
	b.Start(nil)
	for _, v := range r {
		switch x := v.(type) {
		case nil:
			b.AppendNull()
		case int64:
			b.AppendInt(x)
		case string:
			b.AppendText(x)
		}
	}
	_, img, err := b.Finish()
	if err != nil {
		panic("BUG: script: " + err.Error())
	}
	return img
}
