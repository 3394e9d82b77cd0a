package bus

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// script is a source's log: transactions over a few tables, the same for whoever reads
// it. The numbers of its rows come from the log alone (S10), so that any reader mints
// the same ones.
type script struct {
	tables []event.TableName
	queues map[event.TableName]int
	txs    []scriptTx
	// after[i] is what a table holds before transaction i.
	schemas map[event.TableName][]*event.Schema // versions; a DDL goes to the next
}

type scriptTx struct {
	id       string
	rows     []scriptRow
	ddl      *event.TableName // a transaction of one DDL
	truncate *event.TableName
}

type scriptRow struct {
	table event.TableName
	op    event.Op
	key   int64
	text  string
	part  uint8
	index uint64
}

func scriptSchema(t event.TableName, version int) *event.Schema {
	cols := []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Native: "int"}, {ID: 2, Name: "v", Type: event.TypeText, Native: "text"}}
	for i := range version {
		cols = append(cols, event.Column{ID: uint32(3 + i), Name: fmt.Sprintf("c%d", i), Type: event.TypeInt, Native: "int", Nullable: true})
	}
	return event.NewSchema(t, cols, []int{0})
}

// newScript makes a log of n transactions.
func newScript(r *rand.Rand, n int) *script {
	s := &script{
		tables: []event.TableName{{DB: "shop", Table: "a"}, {DB: "shop", Table: "b"}},
		queues: map[event.TableName]int{}, schemas: map[event.TableName][]*event.Schema{},
	}
	s.queues[s.tables[0]], s.queues[s.tables[1]] = 2, 3
	live := map[event.TableName]map[int64]bool{}
	for _, t := range s.tables {
		live[t] = map[int64]bool{}
		for v := range 4 {
			s.schemas[t] = append(s.schemas[t], scriptSchema(t, v))
		}
	}
	ddls := map[event.TableName]int{}
	for i := range n {
		tx := scriptTx{id: fmt.Sprintf("0-1-%d", i+1)}
		t := s.tables[r.IntN(2)]
		switch roll := r.IntN(30); {
		case roll == 0 && ddls[t] < 3:
			ddls[t]++
			tx.ddl = &t
		case roll == 1:
			tx.truncate = &t
			clear(live[t])
		default:
			rows := 1 + r.IntN(4)
			if roll == 2 {
				rows = 40 // more than a group
			}
			index := map[event.TableName]uint64{}
			for range rows {
				t := s.tables[r.IntN(2)]
				key := int64(r.IntN(12))
				row := scriptRow{table: t, op: event.OpCreate, key: key, text: fmt.Sprintf("%d/%d", i, index[t]), index: index[t]}
				if live[t][key] {
					row.op = event.OpUpdate
					if r.IntN(3) == 0 {
						row.op = event.OpDelete
					}
				}
				live[t][key] = row.op != event.OpDelete
				if !live[t][key] {
					delete(live[t], key)
				}
				index[t]++
				tx.rows = append(tx.rows, row)
			}
		}
		s.txs = append(s.txs, tx)
	}
	return s
}

func scriptImage(schema *event.Schema, key int64, text string) event.Image {
	b := event.NewImageBuilder(schema)
	b.Start(nil)
	b.AppendInt(key)
	b.AppendText(text)
	for range len(schema.Columns) - 2 {
		b.AppendNull()
	}
	_, img, err := b.Finish()
	if err != nil {
		panic(err)
	}
	return img
}

// contents is what the tables hold behind the first n transactions.
func (s *script) contents(n int) map[event.TableName]map[int64]string {
	out := map[event.TableName]map[int64]string{}
	for _, t := range s.tables {
		out[t] = map[int64]string{}
	}
	for _, tx := range s.txs[:n] {
		if tx.truncate != nil {
			clear(out[*tx.truncate])
		}
		for _, row := range tx.rows {
			if row.op == event.OpDelete {
				delete(out[row.table], row.key)
			} else {
				out[row.table][row.key] = row.text
			}
		}
	}
	return out
}

// scriptSource reads a script behind a Resume.
type scriptSource struct {
	s       *script
	epoch   uint16
	tx      int // transaction at the reader
	counter uint64
	done    event.Seq
	reserve []event.Reservation
	tries   []event.Attempt
	tables  map[event.TableName]*event.Table
	version map[event.TableName]int
	asked   int // the source's end when attempts were asked for
	chunk   int // rows per chunk
}

func openScript(s *script, r pipeline.Resume, chunk int) *scriptSource {
	src := &scriptSource{
		s: s, epoch: r.Epoch, tx: int(r.Position.Pos), counter: max(r.Position.Counter, 2),
		reserve: slices.Clone(r.Reserved), tries: slices.Clone(r.Attempts), tables: map[event.TableName]*event.Table{},
		version: map[event.TableName]int{}, asked: len(s.txs) / 2, chunk: chunk,
	}
	if r.Position.Done != 0 { // the counter goes on under a higher epoch
		src.done = event.MakeSeq(r.Epoch, r.Position.Done.Counter())
	}
	known := map[event.TableName]bool{}
	for t := range r.Schemas {
		known[t] = true
	}
	for _, a := range r.Attempts {
		known[a.Table] = true
	}
	for _, t := range s.tables {
		for _, tx := range s.txs[:src.tx] {
			if tx.ddl != nil && *tx.ddl == t {
				src.version[t]++
			}
		}
		src.setTable(t)
		if !known[t] {
			src.tries = append(src.tries, event.Attempt{Table: t, Cause: "new table"})
		}
	}
	return src
}

func (c *scriptSource) setTable(t event.TableName) {
	c.tables[t] = &event.Table{Name: t, Schema: c.s.schemas[t][c.version[t]], KeyColumns: []int{0}, Queues: c.s.queues[t]}
}

func (c *scriptSource) declared() (out []*event.Table) {
	for _, t := range c.s.tables {
		out = append(out, c.tables[t])
	}
	return out
}

func (c *scriptSource) position() event.Position {
	return event.Position{Server: "s", File: "log", Pos: uint64(c.tx), Epoch: c.epoch, Counter: c.counter}
}

// skipReserved passes numbers that chunks and barriers took before.
func (c *scriptSource) skipReserved() {
	for len(c.reserve) > 0 && c.reserve[0].At <= c.counter {
		if c.reserve[0].At == c.counter {
			c.counter += c.reserve[0].Count
		}
		c.reserve = c.reserve[1:]
	}
}

// next are the items up to the next boundary; nil at the end.
func (c *scriptSource) next() []event.Item {
	c.skipReserved()
	if c.done == 0 {
		if items := c.attemptStep(); items != nil {
			return items
		}
	}
	if c.tx == len(c.s.txs) {
		return nil
	}
	return c.transaction()
}

func (c *scriptSource) seq(n uint64) event.Seq { return event.MakeSeq(c.epoch, n) }

func (c *scriptSource) transaction() []event.Item {
	tx := &c.s.txs[c.tx]
	start := c.position()
	etx := &event.Tx{ID: tx.id, CommitTime: time.Unix(int64(1700000000+c.tx), 0).UTC(), Start: start}
	var items []event.Item
	add := func(it event.Item) {
		if it.Seq > c.done {
			items = append(items, it)
		}
	}
	n := c.counter
	switch {
	case tx.ddl != nil:
		old := c.tables[*tx.ddl].Schema
		c.version[*tx.ddl]++
		c.setTable(*tx.ddl)
		t := c.tables[*tx.ddl]
		add(event.Item{Kind: event.KindDDL, Seq: c.seq(n), Table: t, Tx: etx, DDL: &event.DDL{SQL: "alter table", Old: old, New: t.Schema}})
	case tx.truncate != nil:
		add(event.Item{Kind: event.KindTruncate, Seq: c.seq(n), Table: c.tables[*tx.truncate], Tx: etx})
	}
	if tx.ddl != nil || tx.truncate != nil {
		n += 2
	}
	for _, row := range tx.rows {
		t := c.tables[row.table]
		it := event.Item{Kind: event.KindRow, Op: row.op, Index: row.index, Seq: c.seq(n), Table: t, Tx: etx}
		if row.op != event.OpDelete {
			it.After = scriptImage(t.Schema, row.key, row.text)
		}
		if row.op != event.OpCreate {
			it.Before = scriptImage(t.Schema, row.key, "old")
		}
		add(it)
		n += 2
	}
	end := n
	c.counter, c.tx, c.done = n+2, c.tx+1, 0
	at := c.position()
	return append(items, event.Item{Kind: event.KindCommit, Seq: c.seq(end), Tx: etx, Commit: &at})
}

// attemptStep is the next step of a snapshot, once the reader is where the source's end
// was when it was asked for.
func (c *scriptSource) attemptStep() []event.Item {
	if c.tx < c.asked || len(c.tries) == 0 {
		return nil
	}
	a := &c.tries[0]
	t := c.tables[a.Table]
	if a.Begin == 0 {
		a.Begin = c.seq(c.counter)
		c.counter += 2
		at, copied := c.position(), *a
		return []event.Item{{Kind: event.KindBegin, Seq: a.Begin, Table: t, Attempt: &copied, Commit: &at}}
	}
	rows := c.s.contents(c.tx)[a.Table]
	var keys []int64
	for k := range rows {
		if after := string(a.Cursor); fmt.Sprintf("%04d", k) > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if len(keys) == 0 {
		seq := c.seq(c.counter)
		c.counter += 2
		at, copied := c.position(), *a
		c.tries = c.tries[1:]
		return []event.Item{{Kind: event.KindEnd, Seq: seq, Table: t, Attempt: &copied, Commit: &at}}
	}
	keys = keys[:min(len(keys), c.chunk)]
	tx := &event.Tx{ID: fmt.Sprintf("snap/%d/%d", a.Begin, a.Chunk), CommitTime: time.Unix(1700000000, 0).UTC()}
	copied := *a
	var items []event.Item
	for i, k := range keys {
		items = append(items, event.Item{
			Kind: event.KindRow, Op: event.OpRead, Index: uint64(i), Seq: c.seq(c.counter), Table: t, Tx: tx, Attempt: &copied,
			After: scriptImage(t.Schema, k, rows[k]),
		})
		c.counter += 2
	}
	a.Chunk++
	a.Cursor = []byte(fmt.Sprintf("%04d", keys[len(keys)-1]))
	at, after := c.position(), *a
	return append(items, event.Item{Kind: event.KindChunkEnd, Seq: c.seq(c.counter - 2), Table: t, Attempt: &after, Commit: &at})
}

func TestScriptIsTheSameForEveryReader(t *testing.T) {
	s := newScript(rand.New(rand.NewPCG(1, 1)), 30)
	text := func() string {
		var b strings.Builder
		src := openScript(s, pipeline.Resume{Epoch: 1}, 3)
		src.tries = nil
		for items := src.next(); items != nil; items = src.next() {
			for _, it := range items {
				if it.Kind == event.KindRow {
					fmt.Fprintln(&b, it.Seq, it.Identity())
				}
			}
		}
		return b.String()
	}
	if a, b := text(), text(); a != b || a == "" {
		t.Error("two readers, two logs")
	}
}
