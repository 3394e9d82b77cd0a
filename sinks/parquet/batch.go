package parquet

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
)

// batch is what was written since the last Flush: files in the making, and the ledger as
// it will be.
type batch struct {
	facts        *tableFact
	factsChanged bool
	queues       []queueFact
	touched      map[int]bool
	plans        map[event.SchemaID]*plan
	open         []*dataFile
	added        []*delta.Add
	names        []string // of finished files, relative to the file system
	dirs         map[string]bool
	rows         int
	bytes        int64
	newest       time.Time
}

// dataFile is a file of changes/ in the making: rows of one queue, one day, one schema.
type dataFile struct {
	q      int
	day    string
	plan   *plan
	fw     *fileWriter
	lo, hi event.Seq
	arena  arena
}

// maxOpen bounds the files that a table has open at a time.
const maxOpen = 16

func newBatch(l *ledger) *batch {
	return &batch{
		facts: l.table.clone(), queues: slices.Clone(l.queues), touched: map[int]bool{},
		plans: map[event.SchemaID]*plan{}, dirs: map[string]bool{},
	}
}

// find is the ledger's entry of a queue as it will be, nil for one that the target has
// never seen.
func (b *batch) find(id pipeline.QueueID) *queueFact {
	for i := range b.queues {
		if f := &b.queues[i]; f.Broker == id.Broker && f.Topic == id.Topic && f.Queue == id.Queue {
			return f
		}
	}
	return nil
}

// queue is find; a queue that the target has never seen gets the next number, for ever.
func (b *batch) queue(id pipeline.QueueID) *queueFact {
	if f := b.find(id); f != nil {
		return f
	}
	b.queues = append(b.queues, queueFact{Broker: id.Broker, Topic: id.Topic, Queue: id.Queue, Q: len(b.queues)})
	return &b.queues[len(b.queues)-1]
}

// file is the open file for rows of queue q on the day that follow plan p; p nil takes
// whichever is open.
func (t *Table) file(q int, at time.Time, p *plan) (*dataFile, error) {
	b := t.batch
	day := at.UTC().Format("2006-01-02")
	for i, d := range b.open {
		if d.q == q && d.day == day {
			if p == nil || d.plan == p {
				return d, nil
			}
			b.open = slices.Delete(b.open, i, i+1)
			if err := t.finish(d); err != nil {
				return nil, err
			}
			break
		}
	}
	if p == nil {
		s, err := b.facts.eventSchema()
		if err != nil {
			return nil, err
		}
		if p, err = t.planFor(s); err != nil {
			return nil, err
		}
	}
	if len(b.open) >= maxOpen {
		d := b.open[0]
		b.open = slices.Delete(b.open, 0, 1)
		if err := t.finish(d); err != nil {
			return nil, err
		}
	}
	dir := path.Join(t.changes.Table(), colDate+"="+day)
	if err := vfs.MkdirAllSync(t.sink.fs, dir); err != nil {
		return nil, err
	}
	fw, err := newFileWriter(t.sink.fs, tempName(dir, t.token, t.nextTemp()), p.pq, p.leaves, codecOf(t.sink.cfg.Compression))
	if err != nil {
		return nil, err
	}
	d := &dataFile{q: q, day: day, plan: p, fw: fw}
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
	p, cols, err := newPlan(b.facts.Columns, s)
	if err != nil {
		return nil, fmt.Errorf("%w: table %s: %w", pipeline.ErrRecord, t.claim.Table, err)
	}
	t.setColumns(cols)
	b.plans[id] = p
	return p, nil
}

func (t *Table) setColumns(cols columns) {
	if len(cols) != len(t.batch.facts.Columns) {
		t.batch.facts.Columns, t.batch.factsChanged = cols, true
	}
}

// needRaw adds the text columns that rows of p turned out to need, and returns the plan
// that has them.
func (t *Table) needRaw(p *plan, col int) (*plan, error) {
	cols, _, err := t.batch.facts.Columns.ensure(&p.schema.Columns[col], true)
	if err != nil {
		return nil, err
	}
	t.setColumns(cols)
	clear(t.batch.plans)
	return t.planFor(p.schema)
}

// finish completes a file and notes what the commit will say of it.
func (t *Table) finish(d *dataFile) error {
	dir := colDate + "=" + d.day
	base := fmt.Sprintf("%d-%d-%d-%d.parquet", t.claim.Generation, d.q, d.lo, d.hi)
	name := path.Join(t.changes.Table(), dir, base)
	size, err := d.fw.finish(name)
	if err != nil {
		d.fw.discard()
		return fmt.Errorf("file %s: %w", name, err)
	}
	b := t.batch
	b.names = append(b.names, name)
	b.dirs[path.Dir(name)] = true
	b.added = append(b.added, &delta.Add{
		Path: path.Join(dir, base), PartitionValues: map[string]string{colDate: d.day},
		Size: size, ModificationTime: t.sink.now().UnixMilli(), DataChange: true,
		Stats: d.fw.statistics(), Tags: map[string]string{formatTag: formatNow, rowsTag: strconv.FormatInt(d.fw.rows, 10), columnsTag: columnsText(d.fw.leaves)},
	})
	return nil
}

// finishAll completes every open file and makes their names durable.
func (t *Table) finishAll() error {
	b := t.batch
	for len(b.open) > 0 {
		d := b.open[0]
		b.open = b.open[1:]
		if err := t.finish(d); err != nil {
			return err
		}
	}
	for dir := range b.dirs {
		if err := t.sink.fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// discard removes the batch's files. None of them was committed, so a name that cannot be
// removed is an orphan and goes by age.
func (b *batch) discard(t *Table) {
	for _, d := range b.open {
		d.fw.discard()
	}
	for _, n := range b.names {
		t.sink.fs.Remove(n)
	}
}
