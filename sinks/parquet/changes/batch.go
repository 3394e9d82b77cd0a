package changes

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/letters"
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// batch is what was written since the last Flush: files in the making, and the ledger as
// it will be.
type batch struct {
	ledger   *ledger.Batch
	columns  file.Columns
	controls uint64
	base     *lake.Facts // that it was begun on
	plans    map[event.SchemaID]*plan
	open     []*dataFile
	added    []*delta.Add
	names    []string // of finished files in the store
	rows     int
	bytes    int64
	newest   time.Time
	// letters are what is put aside as it will be, aside what the commit says of it.
	letters *letters.Draft
	aside   *lettersFact
}

// dataFile is a file of changes/ in the making: rows of one queue, one day, one schema.
type dataFile struct {
	q      int
	day    day
	plan   *plan
	fw     *file.Writer
	lo, hi event.Seq
	arena  file.Arena
}

// maxOpen bounds the files that a table has open at a time.
const maxOpen = 16

func newBatch(f *lake.Facts, aside *letters.Draft) *batch {
	return &batch{
		letters: aside, ledger: f.Ledger.Begin(), columns: slices.Clip(f.Columns), controls: f.Controls, base: f,
		plans: map[event.SchemaID]*plan{},
	}
}

// facts are those that the batch's commit makes true.
func (b *batch) facts() *lake.Facts {
	return &lake.Facts{Ledger: b.ledger.Next(), Columns: b.columns, Controls: b.controls}
}

// changed says that they differ in more than marks.
func (b *batch) changed() bool {
	return b.ledger.Changed() || len(b.columns) != len(b.base.Columns) || b.controls != b.base.Controls
}

// openOr is whichever file is open for rows of queue q on the day, or one for rows of s.
func (t *Table) openOr(ctx context.Context, q int, at time.Time, s *event.Schema) (*dataFile, error) {
	if i := t.batch.openFor(q, dayOf(at)); i >= 0 {
		return t.batch.open[i], nil
	}
	p, err := t.planFor(s)
	if err != nil {
		return nil, err
	}
	return t.file(ctx, q, at, p)
}

// day is the number of a day since 1970-01-01, in UTC. Every transaction asks for its own.
type day int64

func dayOf(at time.Time) day {
	const long = 24 * 60 * 60
	s := at.Unix()
	n := s / long
	if s%long < 0 {
		n--
	}
	return day(n)
}

// String is the day as the files' directories have it.
func (d day) String() string { return time.Unix(int64(d)*24*60*60, 0).UTC().Format("2006-01-02") }

// openFor is the place of the open file of a queue and day, -1 for none.
func (b *batch) openFor(q int, on day) int {
	return slices.IndexFunc(b.open, func(d *dataFile) bool { return d.q == q && d.day == on })
}

// file is the open file for rows of queue q on the day that follow plan p.
func (t *Table) file(ctx context.Context, q int, at time.Time, p *plan) (*dataFile, error) {
	b, on := t.batch, dayOf(at)
	if i := b.openFor(q, on); i >= 0 {
		d := b.open[i]
		if d.plan == p {
			return d, nil
		}
		b.open = slices.Delete(b.open, i, i+1)
		if err := t.finish(ctx, d); err != nil {
			return nil, err
		}
	}
	if len(b.open) >= maxOpen {
		d := b.open[0]
		b.open = slices.Delete(b.open, 0, 1)
		if err := t.finish(ctx, d); err != nil {
			return nil, err
		}
	}
	fw, err := t.NewFile(p.pq, p.leaves)
	if err != nil {
		return nil, err
	}
	d := &dataFile{q: q, day: on, plan: p, fw: fw}
	b.open = append(b.open, d)
	return d, nil
}

// planFor is the plan for rows of s, with the table's columns grown by what it needs.
func (t *Table) planFor(s *event.Schema) (*plan, error) {
	b := t.batch
	var id event.SchemaID
	if s != nil {
		id = s.ID
	}
	if p, ok := b.plans[id]; ok {
		return p, nil
	}
	p, cols, err := newPlan(b.columns, s)
	if err != nil {
		return nil, fmt.Errorf("%w: table %s: %w", pipeline.ErrRecord, t.Claim.Table, err)
	}
	b.columns = cols
	b.plans[id] = p
	return p, nil
}

// needRaw adds the text columns that rows of p turned out to need, and returns the plan
// that has them.
func (t *Table) needRaw(p *plan, col int) (*plan, error) {
	cols, _, err := t.batch.columns.Ensure(&p.schema.Columns[col], true)
	if err != nil {
		return nil, err
	}
	t.batch.columns = cols
	clear(t.batch.plans)
	return t.planFor(p.schema)
}

// finish completes a file and notes what the commit will say of it.
func (t *Table) finish(ctx context.Context, d *dataFile) error {
	if d.fw.Rows == 0 { // all that it was begun for was put aside
		d.fw.Discard()
		return nil
	}
	on := d.day.String()
	dir := file.ColDate + "=" + on
	base := fmt.Sprintf("%d-%d-%d-%d.parquet", t.Claim.Generation, d.q, d.lo, d.hi)
	name := path.Join(t.log.Table(), dir, base)
	size, err := d.fw.Finish(ctx, t.Store, name)
	if err != nil {
		d.fw.Discard()
		return fmt.Errorf("file %s: %w", name, err)
	}
	b := t.batch
	b.names = append(b.names, name)
	b.added = append(b.added, &delta.Add{
		Path: path.Join(dir, base), PartitionValues: map[string]string{file.ColDate: on},
		Size: size, ModificationTime: t.Now().UnixMilli(), DataChange: true,
		Stats: d.fw.Statistics(), Tags: map[string]string{file.TagFormat: file.FormatNow, file.TagRows: strconv.FormatInt(d.fw.Rows, 10),
			file.TagColumns: file.Fingerprint(d.fw.Leaves)},
	})
	return nil
}

// FinishAll completes every open file.
func (t *Table) FinishAll(ctx context.Context) error {
	b := t.batch
	for len(b.open) > 0 {
		d := b.open[0]
		b.open = b.open[1:]
		if err := t.finish(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// discard removes the batch's files. None of them was committed, so a name that cannot be
// removed is an orphan and goes by age.
func (b *batch) discard(t *Table) {
	for _, d := range b.open {
		d.fw.Discard()
	}
	t.Remove(b.names)
}
