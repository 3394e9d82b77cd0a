package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Target is a sink's target in memory. It outlives the sinks that are opened on it, and
// notes what no sink may ever see: an identity twice (I9), a key's version that falls
// (I8), a link that does not follow the mark (I10), a row under a schema that its queue
// has left or not reached (I11). Its methods may be called concurrently.
type Target struct {
	// Fault, where set, is asked at each step; an error ends the step. At "committed" the
	// rows are in the target and only the answer is lost.
	Fault func(step string, table event.TableName) error

	// Refuses, where set, says of a row's texts by column that it cannot be taken.
	Refuses func(event.TableName, map[uint32]any) bool

	mu     sync.Mutex
	tables map[event.TableName]*targetTable
	wrong  []error
}

type targetTable struct {
	generation uint64
	marks      []pipeline.QueueMark
	schemas    map[pipeline.QueueID]event.SchemaID // in force in each queue
	known      map[event.SchemaID]*event.Schema
	changes    []targetChange
	seen       map[event.Identity]bool
	floor      event.Seq
	ends       map[event.Seq]map[pipeline.QueueID]bool
	newest     event.Seq // number of the schema shown
	schema     *event.Schema
	keyless    bool
}

type targetChange struct {
	seq event.Seq
	op  event.Op
	row map[uint32]any // by column
}

// NewTarget is an empty target.
func NewTarget() *Target { return &Target{tables: map[event.TableName]*targetTable{}} }

// Err is everything that was wrong so far.
func (t *Target) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.wrong...)
}

// Marks are a table's marks, as a claim would read them back.
func (t *Target) Marks(table event.TableName) []pipeline.QueueMark {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.tables[table]; x != nil {
		return slices.Clone(x.marks)
	}
	return nil
}

// Generation is the highest that claimed a table.
func (t *Target) Generation(table event.TableName) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.tables[table]; x != nil {
		return x.generation
	}
	return 0
}

// Forge puts another identity at each of a table's marks, as if the broker had given the
// numbers to other rows.
func (t *Target) Forge(table event.TableName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.tables[table].marks {
		t.tables[table].marks[i].ID = event.Identity{Tx: "forged"}
	}
}

// Sink opens the target.
func (t *Target) Sink() pipeline.Sink { return targetSink{t} }

func (t *Target) fault(step string, table event.TableName) error {
	if t.Fault == nil {
		return nil
	}
	return t.Fault(step, table)
}

type targetSink struct{ t *Target }

func (s targetSink) Preflight(context.Context) ([]pipeline.Problem, error) { return nil, nil }
func (s targetSink) Close() error                                          { return nil }

func (s targetSink) OpenTable(_ context.Context, claim pipeline.Claim) (pipeline.SinkTable, error) {
	if err := s.t.fault("claim", claim.Table); err != nil {
		return nil, err
	}
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	x := s.t.tables[claim.Table]
	if x == nil {
		x = &targetTable{
			schemas: map[pipeline.QueueID]event.SchemaID{}, known: map[event.SchemaID]*event.Schema{}, seen: map[event.Identity]bool{},
			ends: map[event.Seq]map[pipeline.QueueID]bool{}, keyless: claim.Keyless,
		}
		s.t.tables[claim.Table] = x
	}
	if x.generation > claim.Generation {
		return nil, fmt.Errorf("generation %d has %s: %w", x.generation, claim.Table, pipeline.ErrSuperseded)
	}
	x.generation = claim.Generation
	return &claimed{t: s.t, claim: claim, marks: slices.Clone(x.marks)}, nil
}

// claimed is one claim of a table: what was written and not flushed is its own.
type claimed struct {
	t       *Target
	claim   pipeline.Claim
	marks   []pipeline.QueueMark
	pending []pendingSlice
	rows    int
}

type pendingSlice struct {
	queue   pipeline.QueueID
	head    event.Slice // without rows
	schema  *event.Schema
	changes []targetChange
	ids     []event.Identity
}

func (c *claimed) Marks() []pipeline.QueueMark { return slices.Clone(c.marks) }

func (c *claimed) mark(q pipeline.QueueID) *pipeline.QueueMark {
	for i := range c.marks {
		if c.marks[i].Queue == q {
			return &c.marks[i]
		}
	}
	c.marks = append(c.marks, pipeline.QueueMark{Queue: q, Q: len(c.marks), Known: true})
	return &c.marks[len(c.marks)-1]
}

func (c *claimed) Write(ctx context.Context, q pipeline.QueueID, s *event.Slice) error {
	if err := c.t.fault("write", c.claim.Table); err != nil {
		return err
	}
	p := pendingSlice{queue: q, head: *s}
	p.head.Rows = nil
	if s.Schema != (event.SchemaID{}) && s.Kind != event.KindHeartbeat {
		var err error
		if p.schema, err = c.claim.Schemas.Schema(ctx, s.Schema); err != nil {
			return err
		}
	}
	m := c.mark(q)
	if s.Prev > m.Seq {
		return fmt.Errorf("I10: queue %d of %s: a message follows %d, the mark is %d", q.Queue, c.claim.Table, s.Prev, m.Seq)
	}
	for i := range s.Rows {
		r := &s.Rows[i]
		if r.Seq <= m.Seq {
			return fmt.Errorf("queue %d of %s: row %d is at or below the mark %d", q.Queue, c.claim.Table, r.Seq, m.Seq)
		}
		ch := targetChange{seq: r.Seq, op: r.Op}
		img := r.After
		if img == nil {
			img = r.Before
		}
		var err error
		if ch.row, err = rowOf(p.schema, img); err != nil {
			return fmt.Errorf("row %d of %s: %w", r.Seq, c.claim.Table, err)
		}
		if c.t.Refuses != nil && c.t.Refuses(c.claim.Table, ch.row) {
			return fmt.Errorf("%w: row %d of %s", pipeline.ErrRecord, r.Seq, c.claim.Table)
		}
		p.changes = append(p.changes, ch)
		p.ids = append(p.ids, event.Identity{Tx: s.Txs[r.Tx].ID, Index: r.Index, Part: r.Part})
	}
	m.Seq, m.ID = s.Hi, s.To
	c.rows += len(p.changes)
	c.pending = append(c.pending, p)
	return nil
}

func rowOf(s *event.Schema, img event.Image) (map[uint32]any, error) {
	values, err := event.Values(img, s, nil)
	if err != nil {
		return nil, err
	}
	row := map[uint32]any{}
	for i, v := range values {
		row[s.Columns[i].ID] = nil
		if !v.IsNull() {
			row[s.Columns[i].ID] = string(event.AppendValueText(nil, &s.Columns[i], v))
		}
	}
	return row, nil
}

func (c *claimed) Buffered() (int, int64) { return c.rows, int64(64 * c.rows) }

func (c *claimed) AdoptBegin(q pipeline.QueueID, prev event.Seq) error {
	m := c.mark(q)
	m.Seq, m.ID = prev, event.Identity{}
	return nil
}

func (c *claimed) Flush(context.Context) (pipeline.Flushed, error) {
	if err := c.t.fault("flush", c.claim.Table); err != nil {
		return pipeline.Flushed{}, err
	}
	if err := c.commit(); err != nil {
		return pipeline.Flushed{}, err
	}
	out := pipeline.Flushed{Rows: c.rows}
	c.pending, c.rows = nil, 0
	return out, c.t.fault("committed", c.claim.Table)
}

func (c *claimed) commit() error {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	x := c.t.tables[c.claim.Table]
	if x.generation != c.claim.Generation {
		return fmt.Errorf("generation %d has %s: %w", x.generation, c.claim.Table, pipeline.ErrSuperseded)
	}
	for i := range c.pending {
		c.t.wrong = append(c.t.wrong, x.apply(&c.pending[i])...)
	}
	x.marks = slices.Clone(c.marks)
	return nil
}

func (c *claimed) Maintain(context.Context) error { return c.t.fault("maintain", c.claim.Table) }
func (c *claimed) Close() error                   { return nil }

// sameSource reports whether two schemas are of one definition at the source: what leaves of
// it is another matter, which changes with the pipeline file and without a statement.
func sameSource(a, b *event.Schema) bool {
	of := func(s *event.Schema) event.SchemaID {
		if s.Source != nil {
			return s.Source.ID
		}
		return s.ID
	}
	return a != nil && b != nil && a.Projection != b.Projection && of(a) == of(b)
}

// apply takes a slice in, and says what is wrong with it.
func (x *targetTable) apply(p *pendingSlice) (wrong []error) {
	s := &p.head
	if p.schema != nil {
		x.known[p.schema.ID] = p.schema
	}
	switch s.Kind {
	case event.KindRow:
		if was, ok := x.schemas[p.queue]; ok && was != s.Schema && !sameSource(x.known[was], x.known[s.Schema]) {
			wrong = append(wrong, fmt.Errorf("I11: queue %d of %s: rows under schema %s, the queue is at %s", p.queue.Queue, s.Table, s.Schema, was))
		}
		x.schemas[p.queue] = s.Schema
		if x.schema == nil {
			x.schema = p.schema
		}
	case event.KindDDL, event.KindBegin:
		if s.Kind == event.KindDDL {
			x.schemas[p.queue] = s.Schema
		}
		if p.schema != nil && s.Mark.Seq > x.newest {
			x.newest, x.schema = s.Mark.Seq, p.schema
		}
	case event.KindTruncate:
		x.floor = max(x.floor, s.Mark.Seq)
	case event.KindEnd:
		if x.ends[s.Mark.Attempt] == nil {
			x.ends[s.Mark.Attempt] = map[pipeline.QueueID]bool{}
		}
		x.ends[s.Mark.Attempt][p.queue] = true
		if len(x.ends[s.Mark.Attempt]) == s.Mark.Queues {
			x.floor = max(x.floor, s.Mark.Attempt)
		}
	}
	for i, ch := range p.changes {
		if x.seen[p.ids[i]] {
			wrong = append(wrong, fmt.Errorf("I9: %s of %s is in the target twice", p.ids[i], s.Table))
		}
		x.seen[p.ids[i]] = true
		if last := x.lastOf(ch); !x.keyless && last > ch.seq {
			wrong = append(wrong, fmt.Errorf("I8: %s: version %d of row %v follows version %d", s.Table, ch.seq, ch.row[1], last))
		}
		x.changes = append(x.changes, ch)
	}
	return wrong
}

// lastOf is the number of the newest version of a change's key. Keys are one column, the
// first.
func (x *targetTable) lastOf(ch targetChange) (last event.Seq) {
	for _, c := range x.changes {
		if c.row[1] == ch.row[1] {
			last = max(last, c.seq)
		}
	}
	return last
}

// fill is what rows show that were written before a column was there.
func fill(c *event.Column) any {
	if c.HasDefault && c.Default != nil {
		return string(event.AppendValueText(nil, c, c.Default))
	}
	return nil
}

// Reader reads the tables as they are.
func (t *Target) Reader() pipeline.Reader { return targetReader{t} }

type targetReader struct{ t *Target }

func (r targetReader) Close() error { return nil }

func (r targetReader) Tables(context.Context) ([]event.TableName, error) {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	return slices.Collect(maps.Keys(r.t.tables)), nil
}

func (r targetReader) Read(_ context.Context, table event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	schema, rows, err := r.t.rows(table)
	if err != nil {
		return err
	}
	return readRows(schema, rows, columns, row)
}

// rows are a table's rows under the newest schema.
func (t *Target) rows(table event.TableName) (*event.Schema, []Row, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.tables[table]
	if x == nil || x.schema == nil {
		return nil, nil, fmt.Errorf("the target has no table %s", table)
	}
	changes := slices.Clone(x.changes)
	slices.SortFunc(changes, func(a, b targetChange) int { return int(int64(a.seq) - int64(b.seq)) })
	keyed, count, shown := map[any]Row{}, map[string]int{}, map[string]Row{}
	for _, ch := range changes {
		if ch.seq < x.floor {
			continue
		}
		r := x.show(ch)
		switch {
		case x.keyless:
			text := fmt.Sprintf("%q", r)
			shown[text] = r
			if count[text]++; ch.op == event.OpDelete {
				count[text] -= 2
			}
		case ch.op == event.OpDelete:
			delete(keyed, ch.row[1])
		default:
			keyed[ch.row[1]] = r
		}
	}
	rows := slices.Collect(maps.Values(keyed))
	for text, n := range count {
		for range n {
			rows = append(rows, shown[text])
		}
	}
	return x.schema, rows, nil
}

func (x *targetTable) show(ch targetChange) Row {
	r := make(Row, len(x.schema.Columns))
	for i := range r {
		col := &x.schema.Columns[i]
		v, ok := ch.row[col.ID]
		if !ok {
			v = fill(col)
		}
		if text, isText := v.(string); isText && col.Type == event.TypeInt {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				panic("BUG: " + err.Error())
			}
			v = n
		}
		r[i] = v
	}
	return r
}
