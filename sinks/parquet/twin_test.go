package parquet

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/parquet/current"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// world is a source table that makes a history of messages for its queues, and the naive
// twin that says what a target must show after any part of them.
type world struct {
	t       testing.TB
	rng     *rand.Rand
	keyless bool
	schemas schemas
	schema  *event.Schema
	nextID  uint32
	seq     event.Seq
	tx      int
	queues  [][]*event.Slice
	rows    map[string]map[uint32]string // live rows of the source, by key text (keyless: by a running number)
	born    int
	fills   map[uint32]string // what rows show that were written before the column
	began   event.Seq
	pending []func() // steps of the attempt in progress
}

func newWorld(t testing.TB, seed uint64, queues int, keyless bool) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), keyless: keyless, schemas: schemas{}, nextID: 3, seq: 1,
		queues: make([][]*event.Slice, queues), rows: map[string]map[uint32]string{}, fills: map[uint32]string{}}
	s := event.Schema{Name: tableName, Columns: []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4},
		{ID: 2, Name: "a", Type: event.TypeInt, Precision: 4, Nullable: true},
	}}
	if !keyless {
		s.PrimaryKey = []int{0}
	}
	w.schema = w.schemas.add(t, s)
	return w
}

func (w *world) next() event.Seq { w.seq += 2; return w.seq }

func (w *world) prev(q int) event.Seq {
	if n := len(w.queues[q]); n > 0 {
		return w.queues[q][n-1].Hi
	}
	return 0
}

func (w *world) send(q int, s *event.Slice) { w.queues[q] = append(w.queues[q], s) }

func (w *world) sendAll(k event.Kind, s *event.Schema, m event.Mark) {
	m.Queues = len(w.queues)
	for q := range w.queues {
		w.send(q, mark(k, s, w.prev(q), m))
	}
}

func (w *world) queueOf(row map[uint32]string) int {
	if !w.keyless {
		n, _ := strconv.Atoi(row[1])
		return n % len(w.queues)
	}
	sum := 0
	for _, id := range slices.Sorted(maps.Keys(row)) {
		for _, c := range row[id] {
			sum += int(c)
		}
	}
	return sum % len(w.queues)
}

func (w *world) encode(row map[uint32]string) event.Image {
	vals := make([]any, len(w.schema.Columns))
	for i := range w.schema.Columns {
		c := &w.schema.Columns[i]
		v, ok := row[c.ID]
		switch {
		case !ok:
		case c.Type == event.TypeInt:
			n, err := strconv.Atoi(v)
			if err != nil {
				panic("BUG: " + v)
			}
			vals[i] = n
		default:
			vals[i] = v
		}
	}
	return image(w.t, w.schema, vals...)
}

// emit sends one row change as a message of its own.
func (w *world) emit(op event.Op, before, after map[uint32]string) {
	row := after
	if op == event.OpDelete {
		row = before
	}
	q := w.queueOf(row)
	w.tx++
	r := event.Row{Op: op, Seq: w.next()}
	if op == event.OpDelete {
		r.Before = w.encode(before)
	} else {
		r.After = w.encode(after)
	}
	w.send(q, rows(w.schema, w.prev(q), fmt.Sprintf("tx:%d", w.tx), r))
}

func (w *world) randomRow(id string) map[uint32]string {
	row := map[uint32]string{1: id}
	for i := range w.schema.Columns {
		if c := &w.schema.Columns[i]; c.ID != 1 && w.rng.IntN(4) > 0 {
			row[c.ID] = strconv.Itoa(w.rng.IntN(3))
		}
	}
	return row
}

func (w *world) insert() {
	key := strconv.Itoa(w.rng.IntN(12))
	row := w.randomRow(key)
	if w.keyless {
		w.born++
		w.rows[fmt.Sprint("#", w.born)] = row
	} else {
		if w.rows[key] != nil {
			return
		}
		w.rows[key] = row
	}
	w.emit(event.OpCreate, nil, row)
}

func (w *world) some() string {
	if len(w.rows) == 0 {
		return ""
	}
	keys := slices.Sorted(maps.Keys(w.rows))
	return keys[w.rng.IntN(len(keys))]
}

func (w *world) delete() {
	if k := w.some(); k != "" {
		w.emit(event.OpDelete, w.rows[k], nil)
		delete(w.rows, k)
	}
}

func (w *world) update() {
	k := w.some()
	if k == "" {
		return
	}
	before, after := w.rows[k], w.randomRow(w.rows[k][1])
	w.rows[k] = after
	if w.keyless {
		w.emit(event.OpDelete, before, nil)
		w.emit(event.OpCreate, nil, after)
		return
	}
	w.emit(event.OpUpdate, before, after)
}

func (w *world) truncate() {
	clear(w.rows)
	w.sendAll(event.KindTruncate, nil, event.Mark{Seq: w.next()})
	w.pending = nil // the attempt's chunk would be discarded; a new one begins
	w.began = 0
}

// ddl adds, drops or renames a column, or changes its type.
func (w *world) ddl() {
	old := w.schema
	s := *old
	s.Columns = slices.Clone(old.Columns)
	n := len(s.Columns)
	switch w.rng.IntN(4) {
	case 0:
		w.nextID++
		c := event.Column{ID: w.nextID, Name: fmt.Sprintf("c%d", w.rng.IntN(3)), Type: event.TypeText, Nullable: true}
		if s.ColumnByName(c.Name) >= 0 {
			return
		}
		if w.rng.IntN(2) == 0 {
			c.HasDefault, c.Default = true, []byte("web")
			w.fills[c.ID] = "web"
			for _, r := range w.rows {
				r[c.ID] = "web"
			}
		}
		s.Columns = append(s.Columns, c)
	case 1:
		if n > 2 {
			s.Columns = slices.Delete(s.Columns, n-1, n)
		}
	case 2:
		if name := fmt.Sprintf("c%d", w.rng.IntN(3)); n > 2 && s.ColumnByName(name) < 0 {
			s.Columns[n-1].Name = name
		}
	case 3:
		s.Columns[1].Type = event.TypeText
	}
	w.schema = w.schemas.add(w.t, s)
	w.sendAll(event.KindDDL, w.schema, event.Mark{Seq: w.next(), Old: old.ID})
	w.pending, w.began = nil, 0
}

// attempt begins a snapshot: rows are lost and deleted without a trace before it, and its
// END puts that right.
func (w *world) attempt() {
	for range w.rng.IntN(3) {
		delete(w.rows, w.some())
	}
	w.began = w.next()
	w.sendAll(event.KindBegin, w.schema, event.Mark{Seq: w.began, Attempt: w.began})
	began, chunk := w.began, 0
	var list []string
	for _, k := range slices.Sorted(maps.Keys(w.rows)) {
		list = append(list, k)
	}
	read := map[string]map[uint32]string{}
	for _, k := range list {
		read[k] = w.rows[k]
	}
	w.pending = nil
	if w.keyless { // one consistent snapshot: its rows as they were at BEGIN
		for _, k := range list {
			row := read[k]
			w.pending = append(w.pending, func() { w.emit(event.OpRead, nil, row) })
		}
	} else {
		for _, k := range list {
			w.pending = append(w.pending, func() {
				chunk++
				if row := w.rows[k]; row != nil { // read now: never older than the stream
					w.emit(event.OpRead, nil, row)
				}
			})
		}
	}
	w.pending = append(w.pending, func() {
		w.sendAll(event.KindEnd, nil, event.Mark{Seq: w.next(), Attempt: began})
		w.began = 0
	})
}

func (w *world) step() {
	if len(w.pending) > 0 && w.rng.IntN(2) == 0 {
		f := w.pending[0]
		w.pending = w.pending[1:]
		f()
		return
	}
	switch n := w.rng.IntN(100); {
	case n < 35:
		w.insert()
	case n < 65:
		w.update()
	case n < 88:
		w.delete()
	case n < 90:
		w.truncate()
	case n < 94:
		w.ddl()
	case n < 97:
		if w.began == 0 {
			w.attempt()
		}
	default:
		q := w.rng.IntN(len(w.queues))
		w.send(q, mark(event.KindHeartbeat, nil, w.prev(q), event.Mark{Seq: w.next(), Queues: len(w.queues)}))
	}
}

// settle ends the attempt in progress, and makes one where the history holds rows that
// were lost.
func (w *world) settle() {
	if w.began == 0 {
		w.attempt()
	}
	for len(w.pending) > 0 {
		f := w.pending[0]
		w.pending = w.pending[1:]
		f()
	}
}

// view is what current/ must show when the first upTo[q] messages of each queue are in
// the target: rows as text, sorted.
func (w *world) view(upTo []int) []string {
	var floor, newest event.Seq
	schema := (*event.Schema)(nil)
	ends := map[event.Seq]int{}
	type change struct {
		seq event.Seq
		op  event.Op
		row map[uint32]string
	}
	var all []change
	for q := range w.queues {
		for _, s := range w.queues[q][:upTo[q]] {
			switch s.Kind {
			case event.KindTruncate:
				floor = max(floor, s.Mark.Seq)
			case event.KindEnd:
				if ends[s.Mark.Attempt]++; ends[s.Mark.Attempt] == len(w.queues) {
					floor = max(floor, s.Mark.Attempt)
				}
			case event.KindDDL, event.KindBegin:
				if s.Mark.Seq > newest {
					newest, schema = s.Mark.Seq, w.schemas[s.Schema]
				}
			case event.KindRow:
				if schema == nil {
					schema = w.schemas[s.Schema]
				}
				for _, r := range s.Rows {
					all = append(all, change{r.Seq, r.Op, w.decode(s.Schema, imageIn(&r))})
				}
			}
		}
	}
	if schema == nil {
		return nil
	}
	slices.SortFunc(all, func(a, b change) int { return cmp.Compare(a.seq, b.seq) })
	keyed := map[string]map[uint32]string{}
	sums := map[string]int{}
	for _, c := range all {
		if c.seq < floor {
			continue
		}
		switch {
		case w.keyless && c.op == event.OpDelete:
			sums[w.show(schema, c.row)]--
		case w.keyless:
			sums[w.show(schema, c.row)]++
		case c.op == event.OpDelete:
			delete(keyed, c.row[1])
		default:
			keyed[c.row[1]] = c.row
		}
	}
	var list []string
	for _, r := range keyed {
		list = append(list, w.show(schema, r))
	}
	for r, n := range sums {
		for range n {
			list = append(list, r)
		}
	}
	slices.Sort(list)
	return list
}

// decode is a row by column identity; columns that its schema lacks show their fill.
func (w *world) decode(id event.SchemaID, img event.Image) map[uint32]string {
	s := w.schemas[id]
	vals, err := event.Values(img, s, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	row := maps.Clone(w.fills)
	for i, v := range vals {
		delete(row, s.Columns[i].ID)
		if v != nil {
			row[s.Columns[i].ID] = string(event.AppendValueText(nil, &s.Columns[i], v))
		}
	}
	return row
}

func (w *world) show(s *event.Schema, row map[uint32]string) string {
	var parts []string
	for i := range s.Columns {
		if v, ok := row[s.Columns[i].ID]; ok {
			parts = append(parts, s.Columns[i].Name+"="+v)
		}
	}
	return strings.Join(parts, " ")
}

// shown is what current/ shows, in the same form.
func shown(t testing.TB, fsys vfs.FS, dir string, schema *event.Schema) []string {
	t.Helper()
	var list []string
	sources := sourceNames(t, fsys, path.Join(dir, "current"))
	for _, r := range readTable(t, fsys, path.Join(dir, "current")) {
		var parts []string
		named := map[string]string{}
		for k, v := range r {
			named[sources[k]] = v
		}
		r = named
		for i := range schema.Columns {
			name := schema.Columns[i].Name
			if v, ok := r[name]; ok {
				parts = append(parts, name+"="+v)
				delete(r, name)
			}
		}
		delete(r, file.ColSeq)
		for k, v := range r {
			parts = append(parts, "?"+k+"="+v)
		}
		list = append(list, strings.Join(parts, " "))
	}
	slices.Sort(list)
	return list
}

// newestSchema is the schema that current/ shows at a point of the history.
func (w *world) newestSchema(upTo []int) *event.Schema {
	var newest event.Seq
	var schema *event.Schema
	for q := range w.queues {
		for _, s := range w.queues[q][:upTo[q]] {
			if (s.Kind == event.KindDDL || s.Kind == event.KindBegin) && s.Mark.Seq > newest {
				newest, schema = s.Mark.Seq, w.schemas[s.Schema]
			} else if s.Kind == event.KindRow && schema == nil {
				schema = w.schemas[s.Schema]
			}
		}
	}
	return schema
}

// identities checks that changes/ holds each row up to the marks exactly once.
func (w *world) identities(fsys vfs.FS, dir string, upTo []int) {
	w.t.Helper()
	want := map[string]int{}
	for q := range w.queues {
		for _, s := range w.queues[q][:upTo[q]] {
			for _, r := range s.Rows {
				want[fmt.Sprintf("%d %s", r.Seq, event.Identity{Tx: s.Txs[r.Tx].ID, Index: r.Index, Part: r.Part})]++
			}
		}
	}
	got := map[string]int{}
	for _, r := range readTable(w.t, fsys, path.Join(dir, "changes")) {
		if r[file.ColOp] != "x" {
			got[r[file.ColSeq]+" "+r[file.ColSrc]]++
		}
	}
	for id, n := range got {
		if n != want[id] {
			w.t.Fatalf("changes/ holds %s %d times, not %d", id, n, want[id])
		}
	}
	for id := range want {
		if got[id] == 0 {
			w.t.Fatalf("changes/ lacks %s", id)
		}
	}
}

// seeds are the seeds that a random test runs: MILLRACE_SEED, or n from a fixed start.
func seeds(t testing.TB, n int) []uint64 {
	if s := os.Getenv("MILLRACE_SEED"); s != "" {
		return []uint64{must[uint64](t)(strconv.ParseUint(s, 10, 64))}
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = uint64(i + 1)
	}
	return list
}

// deliverer brings messages to a table as a runner would, from the marks.
type deliverer struct {
	w       *world
	table   *Table
	at      []int // messages given to the table
	flushed []int
}

// seek finds each queue's place by the marks that the table read back.
func (d *deliverer) seek() {
	d.at = make([]int, len(d.w.queues))
	for _, m := range d.table.Marks() {
		q := m.Queue.Queue
		for d.at[q] < len(d.w.queues[q]) && d.w.queues[q][d.at[q]].Hi <= m.Seq {
			d.at[q]++
		}
	}
	d.flushed = slices.Clone(d.at)
}

func (d *deliverer) write(q, n int) error {
	for range n {
		if d.at[q] >= len(d.w.queues[q]) {
			return nil
		}
		if err := d.table.Write(context.Background(), queueID(q), d.w.queues[q][d.at[q]]); err != nil {
			return err
		}
		d.at[q]++
	}
	return nil
}

func (d *deliverer) flush() error {
	if _, err := d.table.Flush(context.Background()); err != nil {
		return err
	}
	d.flushed = slices.Clone(d.at)
	return nil
}

func twinConfig() Config {
	c := testConfig("lake")
	c.Current.Interval = current.Interval(time.Nanosecond)
	c.Current.FileRows = 4
	c.Keep.Removed = 0
	return c
}

func TestHistoriesShowWhatTheTwinShows(t *testing.T) {
	for _, keyless := range []bool{false, true} {
		for _, seed := range seeds(t, 20) {
			t.Run(fmt.Sprintf("keyless=%v/seed=%d", keyless, seed), func(t *testing.T) { runHistory(t, seed, keyless) })
		}
	}
}

// pack packs every run of small files there is.
func pack(t *Table) error {
	return t.changes.Pack(context.Background(), 3)
}

func runHistory(t *testing.T, seed uint64, keyless bool) {
	w := newWorld(t, seed, 1+int(seed%3), keyless)
	rng := rand.New(rand.NewPCG(seed, 2))
	mem := vfs.NewMem()
	cfg := twinConfig()
	if rng.IntN(2) == 0 {
		cfg.Current.Memory = 2 << 10 // several passes
	}
	sink := testSink(t, mem, testConfig("lake"))
	configure(sink, cfg) // less memory than a pipeline file may say
	gen := uint64(1)
	d := &deliverer{w: w, table: open(t, sink, claim(w.schemas, gen))}
	d.seek()
	dir := d.table.Dir
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	compare := func() {
		t.Helper()
		fail(d.table.current.MergeNow())
		want, schema := w.view(d.flushed), w.newestSchema(d.flushed)
		if schema == nil {
			return
		}
		if got := shown(t, mem, dir, schema); !slices.Equal(got, want) {
			t.Fatalf("seed %d: current/ shows\n  %s\nnot\n  %s", seed, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
	}
	for range 60 {
		for range 1 + rng.IntN(6) {
			w.step()
		}
		switch rng.IntN(10) {
		case 0:
			gen++
			d.table.Close()
			d.table = open(t, sink, claim(w.schemas, gen))
			d.seek()
		case 1, 2:
			fail(d.flush())
			compare()
		case 3:
			fail(d.flush())
			fail(d.table.changes.Checkpoint(context.Background(), keepOf(d.table)))
			fail(d.table.changes.Vacuum(context.Background()))
		case 4:
			fail(pack(d.table))
		default:
			fail(d.write(rng.IntN(len(w.queues)), 1+rng.IntN(8)))
		}
	}
	w.settle()
	for q := range w.queues {
		fail(d.write(q, len(w.queues[q])))
	}
	fail(d.flush())
	compare()
	w.identities(mem, dir, d.flushed)
	var source []string
	for _, r := range w.rows {
		source = append(source, w.show(w.schema, r))
	}
	slices.Sort(source)
	if want := w.view(d.flushed); !slices.Equal(source, want) {
		t.Fatalf("seed %d: the twin is wrong: source\n  %s\ntwin\n  %s", seed, strings.Join(source, "\n  "), strings.Join(want, "\n  "))
	}
}

func imageIn(r *event.Row) event.Image {
	if r.Op == event.OpDelete {
		return r.Before
	}
	return r.After
}
