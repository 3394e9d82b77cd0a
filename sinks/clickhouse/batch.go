package clickhouse

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/letters"
)

// batch is what was written since the last Flush, as the steps in which it becomes visible:
// one, and one more behind each TRUNCATE.
type batch struct {
	steps  []*step
	newest time.Time // latest commit of its rows
}

// step is what becomes visible together.
type step struct {
	led    *ledger.Batch
	stores []store
	signs  *store // of mode signed
	blocks []*block
	// added are columns and tables that stores has and the target lacks.
	added map[int][]int // columns by store number; nil makes the table
	rows  int
	// carries are what its ENDs leave behind of rows that were kept though they went.
	carries []carrying
	// landed are the highest numbers of a changelog's rows that were there already, by queue.
	landed map[int]event.Seq
	// letters are what is put aside as it will be.
	letters *letters.Draft
}

// block is rows of one definition in one store.
type block struct {
	store  int // index in the step's stores, or signsAt
	layout ddl.Layout
	schema *event.Schema
	now    *side
	before *side // of a changelog
	// old are the source columns of the store's key, where the definition has another one.
	old   []int
	raws  map[int]*rawTexts // by source column
	keep  keeping
	seq   []uint64
	mark  []uint8 // _del, _sign or _op
	q     []uint16
	ts    []int64
	txs   []byte   // of a changelog
	below []uint64 // of a changelog
	bytes int64
	// given says that its values were given up to the driver.
	given bool
	// told are the numbers of its rows that say what was deleted below a number.
	told []uint64
}

// side is a row's image in a block: as it is, or as it was before the change.
type side struct {
	places []int // of each source column in the store's
	cols   []*column.Buffer
}

// technicalRow is a row's part that every layout has.
func (b *block) technicalRow(seq uint64, mark uint8, q uint16, ts int64) {
	b.seq, b.mark, b.q, b.ts = append(b.seq, seq), append(b.mark, mark), append(b.q, q), append(b.ts, ts)
}

// appendText appends a text as the Native format has it.
func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (t *Table) reset() {
	t.types.Names = namesOf(t.rec.Stores, t.types.Chosen)
	st := newStep(t.led, t.rec.Stores, t.rec.signs(), t.letters.Begin(t.letterBounds()))
	for i := range st.stores {
		if slices.Contains(t.absent, st.stores[i].Number) {
			st.added[i] = nil
		}
	}
	if st.signs != nil && slices.Contains(t.absent, signsNumber) {
		st.added[signsAt] = nil
	}
	t.batch = &batch{steps: []*step{st}}
}

func newStep(led *ledger.Table, stores []store, signs *store, aside *letters.Draft) *step {
	s := &step{led: led.Begin(), added: map[int][]int{}, landed: map[int]event.Seq{}, letters: aside}
	for i := range stores {
		s.stores = append(s.stores, stores[i].clone())
	}
	if signs != nil {
		c := signs.clone()
		s.signs = &c
	}
	return s
}

// at is a store by its place.
func (st *step) at(i int) *store {
	if i == signsAt {
		return st.signs
	}
	return &st.stores[i]
}

func (b *batch) last() *step { return b.steps[len(b.steps)-1] }

func (b *batch) size() (rows int, bytes int64) {
	for _, s := range b.steps {
		rows += s.rows
		for _, bl := range s.blocks {
			bytes += bl.bytes
		}
	}
	return rows, bytes
}

// empty says that nothing was written.
func (b *batch) empty() bool {
	return !slices.ContainsFunc(b.steps, func(s *step) bool { return !s.empty() || s.led.Changed() })
}

// empty says that a step writes nothing.
func (s *step) empty() bool { return s.led.Empty() && len(s.blocks) == 0 && !s.letters.Changed() }

// renumber has the steps behind one write where its tables were made: other tables had their names.
func (b *batch) renumber(done *step) {
	for _, st := range b.steps[slices.Index(b.steps, done)+1:] {
		for i := range st.stores {
			s := &st.stores[i]
			if i < len(done.stores) {
				s.Number, s.Kept = done.stores[i].Number, done.stores[i].Kept
			} else { // begun since
				s.Number = max(s.Number, st.stores[i-1].Number+1)
			}
		}
		if st.signs != nil && done.signs != nil {
			st.signs.Number = done.signs.Number
		}
	}
}

// next begins another step behind the last one.
func (b *batch) next(bounds pipeline.LetterBounds) {
	s := b.last()
	b.steps = append(b.steps, newStep(s.led.Next(), s.stores, s.signs, s.letters.Book().Begin(bounds)))
}

func (b *block) rows() int { return len(b.seq) }

// rawTexts are values of a column that few rows have: the texts of those that another one can't
// hold, or when a row went.
type rawTexts struct {
	nulls, raw []byte
	rows       int
}

// pad brings them up to so many rows; a NULL takes size bytes.
func (r *rawTexts) pad(rows, size int) {
	for ; r.rows < rows; r.rows++ {
		r.nulls, r.raw = append(r.nulls, 1), append(r.raw, make([]byte, size)...)
	}
}

// keepText takes the text of a value of the row that is being written.
func (b *block) keepText(i int, v event.Value) {
	r := b.raws[i]
	if r == nil {
		r = &rawTexts{}
		if b.raws == nil {
			b.raws = map[int]*rawTexts{}
		}
		b.raws[i] = r
	}
	r.pad(b.rows(), 1)
	text := event.AppendValueText(nil, &b.schema.Columns[i], v)
	r.nulls, r.rows = append(r.nulls, 0), r.rows+1
	r.raw = append(binary.AppendUvarint(r.raw, uint64(len(text))), text...)
}
