package current

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"sort"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// maxSplit bounds into how many files a bucket is split at a time, as a power of two.
const maxSplit = 5

// output is the files that a bucket's rows go into.
type output struct {
	m     *merge
	r     bucket
	split int
	files []*outFile
	vals  []parquet.Value // of the row being written
	key   []byte
}

type outFile struct {
	bucket
	fw *file.Writer
	lo event.Seq
}

// between are the pass's entries whose keys are in r.
func (m *merge) between(r bucket) []*entry {
	from := sort.Search(len(m.sorted), func(i int) bool { return m.sorted[i].hash >= r.prefix })
	to := len(m.sorted)
	if end, ok := r.end(); ok {
		to = sort.Search(len(m.sorted), func(i int) bool { return m.sorted[i].hash >= end })
	}
	return m.sorted[from:to]
}

// rewrite writes g anew, if anything about it changes.
func (m *merge) rewrite(ctx context.Context, g *group) error {
	changed := m.between(g.bucket)
	if !m.touches(g, changed) {
		return nil
	}
	m.gone[g] = true
	o := &output{m: m, r: g.bucket, split: m.split(g, int64(len(changed)), m.fileRows())}
	defer o.discard()
	if err := m.write(ctx, o, g, g.bucket, changed); err != nil {
		return err
	}
	return o.finish(ctx, g.last())
}

// rewritePart writes those rows of g anew whose keys are in p, behind those of the pass
// before.
func (m *merge) rewritePart(ctx context.Context, g *group, p bucket) error {
	m.gone[g] = true
	if m.open == nil || m.open.r != g.bucket {
		if err := m.putAside(ctx, g); err != nil {
			return err
		}
		// Smaller files keep the next large merge from putting rows aside.
		m.open = &output{m: m, r: g.bucket, split: m.split(g, m.spill.count>>g.depth, m.fileRows()/4)}
	}
	if err := m.copyAside(m.open, p); err != nil {
		return err
	}
	if err := m.emitAll(m.open, m.between(p)); err != nil {
		return err
	}
	if err := m.open.flush(); err != nil { // what the rows refer to goes with the pass
		return err
	}
	return m.open.finish(ctx, p.last())
}

func (m *merge) write(ctx context.Context, o *output, g *group, r bucket, changed []*entry) error {
	if err := m.copyOld(ctx, g, r, o); err != nil {
		return err
	}
	return m.emitAll(o, changed)
}

func (m *merge) emitAll(o *output, changed []*entry) error {
	for _, e := range changed {
		if err := m.emit(o, e); err != nil {
			return err
		}
	}
	return nil
}

// touches reports whether any row of g may change.
func (m *merge) touches(g *group, changed []*entry) bool {
	if len(changed) > 0 || m.full || m.renew[g] {
		return true
	}
	return slices.ContainsFunc(g.files, func(a *delta.Add) bool { return m.lowest(a) < m.floor })
}

func (m *merge) fileRows() int64 { return int64(m.c.cfg.FileRows) }

// split is how often to halve g so that its files keep below a number of rows.
func (m *merge) split(g *group, changed, most int64) int {
	rows := changed
	for _, a := range g.files {
		n, _ := strconv.ParseInt(a.Tags[file.TagRows], 10, 64)
		rows += n
	}
	n := 0
	for n < maxSplit && g.depth+n < 32 && rows>>n > most {
		n++
	}
	return n
}

// copyOld copies the rows of g in r that no change concerns.
func (m *merge) copyOld(ctx context.Context, g *group, r bucket, o *output) error {
	if m.rekey || m.old == nil {
		return nil
	}
	for _, a := range g.files {
		err := m.scanOld(ctx, a, func(vals []parquet.Value, seq event.Seq) error {
			if vals == nil {
				return o.flush()
			}
			o.key = m.lay.appendKey(o.key[:0], vals)
			hash := xxhash.Sum64(o.key)
			if !r.has(hash) {
				return nil
			}
			if !m.stays(o.key, seq) {
				return nil
			}
			return o.row(hash, vals, seq)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stays reports whether a row of current/ is copied. Without keys a row that a change concerns
// is counted with it.
func (m *merge) stays(key []byte, seq event.Seq) bool {
	e := m.entries[string(key)]
	switch {
	case e == nil:
		return true
	case m.keyless:
		e.plus = append(e.plus, seq)
		return false
	case e.seq >= seq:
		return false
	}
	e.dead = true
	return true
}

// emit writes what a changed key has become.
func (m *merge) emit(o *output, e *entry) error {
	if m.keyless {
		return m.emitRows(o, e)
	}
	if e.dead {
		return nil
	}
	if t := m.side[e.key]; t != nil && len(t.minus) > 0 && t.minus[0] > e.seq {
		return nil // deleted by a change that another queue brought before
	}
	if e.del {
		if m.needed(e.seq) {
			m.newSide[e.key] = &sideRow{minus: []event.Seq{e.seq}}
		}
		return nil
	}
	delete(m.newSide, e.key)
	return o.cells(e.hash, e.row, e.seq)
}

// cells writes a row that is given as its cells.
func (o *output) cells(hash uint64, row []byte, seq event.Seq) error {
	o.vals = o.vals[:0]
	for i := range o.m.lay.Columns {
		v, rest, err := file.NextCell(o.m.lay.Columns[i].typ, row)
		if err != nil {
			return err
		}
		o.vals, row = append(o.vals, v), rest
	}
	return o.row(hash, o.vals, seq)
}

// emitRows writes a row of a table without key as often as the sum of its signs says.
// Insertions and deletions cancel out between two BEGINs of attempts only: when an
// attempt ends, what is below its BEGIN goes, and only that.
func (m *merge) emitRows(o *output, e *entry) error {
	shown, hidden, owed := m.job.facts.Ledger.Settle(e.plus, e.minus)
	if len(hidden) > 0 || len(owed) > 0 {
		m.newSide[e.key] = &sideRow{plus: hidden, minus: owed}
	}
	if len(shown) == 0 {
		return nil
	}
	vals, err := m.lay.decodeKey([]byte(e.key))
	if err != nil {
		return err
	}
	for _, seq := range shown {
		if err := o.row(e.hash, vals, seq); err != nil {
			return err
		}
	}
	return nil
}

// file is the output file for a hash.
func (o *output) file(hash uint64) (*outFile, error) {
	b := o.r
	for range o.split {
		b = b.half(hash >> (63 - b.depth) & 1)
	}
	for _, f := range o.files {
		if f.bucket == b {
			return f, nil
		}
	}
	fw, err := o.m.c.NewFile(o.m.schema, o.m.leaves)
	if err != nil {
		return nil, err
	}
	f := &outFile{bucket: b, fw: fw}
	o.files = append(o.files, f)
	return f, nil
}

// row writes one row. The values are handed on at the next flush at the latest.
func (o *output) row(hash uint64, vals []parquet.Value, seq event.Seq) error {
	f, err := o.file(hash)
	if err != nil {
		return err
	}
	for i, v := range vals {
		f.fw.Set(i, v)
	}
	f.fw.Set(len(vals), parquet.Int64Value(int64(seq)))
	if f.lo == 0 || seq < f.lo {
		f.lo = seq
	}
	if f.fw.EndRow(file.RowBytes(vals)) {
		return f.fw.FlushBatch()
	}
	return nil
}

func (o *output) flush() error {
	for _, f := range o.files {
		if err := f.fw.FlushBatch(); err != nil {
			return err
		}
	}
	return nil
}

// finish completes the files that get no row whose key's hash is above last.
func (o *output) finish(ctx context.Context, last uint64) error {
	m := o.m
	for i := 0; i < len(o.files); {
		f := o.files[i]
		if f.last() > last {
			i++
			continue
		}
		base := fmt.Sprintf("%d-%d-%d-%s.parquet", m.c.Claim.Generation, m.job.version, m.c.NextName(), f.text())
		name := path.Join(m.c.log.Table(), base)
		size, err := f.fw.Finish(ctx, m.c.Store, name)
		if err != nil {
			return err
		}
		o.files = slices.Delete(o.files, i, i+1)
		m.names = append(m.names, name)
		m.adds = append(m.adds, &delta.Add{
			Path: base, PartitionValues: map[string]string{}, Size: size, ModificationTime: m.c.Now().UnixMilli(),
			DataChange: true, Stats: f.fw.Statistics(),
			Tags: map[string]string{file.TagFormat: file.FormatNow, bucketTag: f.text(), file.TagRows: strconv.FormatInt(f.fw.Rows, 10),
				minSeqTag: strconv.FormatUint(uint64(f.lo), 10)},
		})
	}
	return nil
}

func (o *output) discard() {
	for _, f := range o.files {
		f.fw.Discard()
	}
	o.files = nil
}

// decodeKey is the row that appendKey made a key of; columns that take no part are NULL.
func (l *layout) decodeKey(key []byte) ([]parquet.Value, error) {
	vals := make([]parquet.Value, len(l.Columns))
	for i := range vals {
		vals[i] = parquet.NullValue()
	}
	var err error
	for _, k := range l.keyColumns() {
		c := &l.Columns[k]
		if c.Raw {
			if len(key) == 0 || key[0] != 2 {
				continue
			}
			key = key[1:]
		}
		if vals[k], key, err = file.NextCell(c.typ, key); err != nil {
			return nil, fmt.Errorf("column %s of a key: %w", c.Name, err)
		}
	}
	if len(key) != 0 {
		return nil, fmt.Errorf("%d bytes behind a key", len(key))
	}
	return vals, nil
}

// rekeyed is the side file under another layout. Where the key has other columns than
// before, what was known of old keys says nothing of new ones; the source makes a new
// snapshot due then, whose END puts everything right.
func (s side) rekeyed(from, to *layout) (side, error) {
	if (len(from.Key) == 0) != (len(to.Key) == 0) {
		return side{}, nil
	}
	out := side{}
	var a file.Arena
	for k, r := range s {
		vals, err := from.decodeKey([]byte(k))
		if err != nil {
			return nil, err
		}
		row, ok := to.fromLayout(from, vals, &a)
		if !ok {
			return side{}, nil
		}
		key := string(to.appendKey(nil, row))
		if out[key] == nil {
			out[key] = &sideRow{}
		}
		e := out[key]
		e.plus, e.minus = append(e.plus, r.plus...), append(e.minus, r.minus...)
		slices.SortFunc(e.minus, func(a, b event.Seq) int { return -cmp.Compare(a, b) })
	}
	return out, nil
}

// fromLayout is a row of another layout in this one; ok is false when a key column is
// missing there.
func (l *layout) fromLayout(from *layout, vals []parquet.Value, a *file.Arena) (row []parquet.Value, ok bool) {
	row = make([]parquet.Value, len(l.Columns))
	for i := range l.Columns {
		c := &l.Columns[i]
		row[i] = parquet.NullValue()
		j := slices.IndexFunc(from.Columns, func(o layoutColumn) bool { return o.ID == c.ID && o.Raw == c.Raw })
		switch {
		case j >= 0:
			row[i] = file.Convert(from.Columns[j].typ, c.typ, vals[j], a)
		case c.Fill != nil:
			row[i] = file.CellValue(c.typ, c.Fill)
		}
	}
	for _, k := range l.Key {
		c := &l.Columns[k]
		if !c.Raw && !slices.ContainsFunc(from.Key, func(j int) bool { return from.Columns[j].ID == c.ID }) {
			return nil, false
		}
	}
	return row, true
}
