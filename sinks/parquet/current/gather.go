package current

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// load gathers what the new files say of the keys of p.
func (m *merge) load(ctx context.Context, p bucket) error {
	m.entries, m.sorted = map[string]*entry{}, nil // what the pass before held goes first
	note := func(hash uint64, key []byte, seq event.Seq, del bool, row []byte) error {
		m.note(hash, key, seq, del, row)
		return nil
	}
	err := ctx.Err()
	if err != nil {
		return err
	}
	if m.spill == nil {
		err = m.changes(ctx, note)
	} else {
		err = m.spill.each(p, func(key []byte, seq event.Seq, del bool, row []byte) error {
			if hash := xxhash.Sum64(key); p.has(hash) {
				return note(hash, key, seq, del, row)
			}
			return nil
		}, func() error { return nil })
	}
	if err != nil {
		return err
	}
	if m.keyless {
		m.loadSide(p)
	}
	m.sorted = make([]*entry, 0, len(m.entries))
	for _, e := range m.entries {
		m.sorted = append(m.sorted, e)
	}
	slices.SortFunc(m.sorted, func(a, b *entry) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		case a.key < b.key:
			return -1
		}
		return 1
	})
	return nil
}

// spillChanges puts the changes aside by their keys' hashes.
func (m *merge) spillChanges(ctx context.Context) error {
	scratch, err := m.c.Scratch()
	if err != nil {
		return err
	}
	if m.spill, err = newSpill(scratch); err != nil {
		return err
	}
	if err := m.changes(ctx, m.spill.add); err != nil {
		return err
	}
	return m.spill.full()
}

// changes reads the new files, and under another key the rows of current/ as well, and
// hands over each change with the row's cells, which deletions and tables without a key do
// not have. key and row are valid during the call.
func (m *merge) changes(ctx context.Context, change func(hash uint64, key []byte, seq event.Seq, del bool, row []byte) error) error {
	facts := m.job.facts
	find := func(name string) (uint32, bool, file.Type, bool) {
		for i := range facts.Columns {
			if c := &facts.Columns[i]; c.Name == name {
				return c.ID, c.Raw, c.FileType(), true
			}
		}
		return 0, false, file.Type{}, false
	}
	var key, row []byte
	hand := func(vals []parquet.Value, seq event.Seq, del bool) error {
		key, row = m.lay.appendKey(key[:0], vals), row[:0]
		if !del && !m.keyless {
			row = m.appendRow(row, vals)
		}
		return change(xxhash.Sum64(key), key, seq, del, row)
	}
	for _, a := range m.job.files {
		err := m.scan(ctx, file.PathOf(m.c.changes.Log().Table(), a), find,
			func(s *file.Reader) (func([]parquet.Value, parquet.Row) error, error) {
				seq, err1 := s.TechnicalAt(file.ColSeq, parquet.Int64)
				op, err2 := s.TechnicalAt(file.ColOp, parquet.ByteArray)
				q, err3 := s.TechnicalAt(file.ColQ, parquet.Int32)
				if err := errors.Join(err1, err2, err3); err != nil {
					return nil, err
				}
				return func(vals []parquet.Value, r parquet.Row) error {
					if vals == nil {
						return nil
					}
					o := event.Op(r[op].ByteArray()[0])
					if o == event.OpBelow {
						return nil // the floor says it
					}
					n := event.Seq(r[seq].Int64())
					if n < m.floor && !(seeded.On(seeded.FloorPerQueue) && int(r[q].Int32()) != facts.Ledger.FloorQ) {
						return nil
					}
					if seeded.On(seeded.ProgressByNumber) && slices.ContainsFunc(facts.Ledger.Queues, func(x ledger.Queue) bool {
						return x.ID != facts.Ledger.Queues[r[q].Int32()].ID && n <= x.Seq
					}) {
						return nil
					}
					return hand(vals, n, o == event.OpDelete)
				}, nil
			})
		if err != nil {
			return err
		}
	}
	if !m.rekey {
		return nil
	}
	for _, a := range m.groups[0].files { // under another key two rows may have become one
		err := m.scanOld(ctx, a, func(vals []parquet.Value, seq event.Seq) error {
			if vals == nil {
				return nil
			}
			return hand(vals, seq, false)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *merge) loadSide(p bucket) {
	for k, r := range m.side {
		if h := xxhash.Sum64String(k); p.has(h) {
			e := m.entry(h, []byte(k))
			e.plus, e.minus = append(e.plus, r.plus...), append(e.minus, r.minus...)
		}
	}
}

func (m *merge) entry(hash uint64, key []byte) *entry {
	e := m.entries[string(key)]
	if e == nil {
		e = &entry{hash: hash, key: string(key)}
		m.entries[e.key] = e
	}
	return e
}

// note takes in one change.
func (m *merge) note(hash uint64, key []byte, seq event.Seq, del bool, row []byte) {
	m.merged++
	e := m.entry(hash, key)
	if m.keyless {
		if del {
			e.minus = append(e.minus, seq)
		} else {
			e.plus = append(e.plus, seq)
		}
		return
	}
	if seq < e.seq {
		return
	}
	// Copied, so that no row keeps room that it does not need.
	e.seq, e.del, e.row = seq, del, append(e.row[:0], row...)
}

func (m *merge) appendRow(dst []byte, vals []parquet.Value) []byte {
	for i := range m.lay.Columns {
		dst = file.AppendCell(dst, m.lay.Columns[i].typ, vals[i])
	}
	return dst
}

// scan reads a file row by row in the layout's columns.
func (m *merge) scan(ctx context.Context, name string, find func(string) (uint32, bool, file.Type, bool),
	begin func(*file.Reader) (func([]parquet.Value, parquet.Row) error, error)) error {
	s, err := m.c.OpenFile(ctx, name)
	if err != nil {
		return err
	}
	defer s.Close()
	row, err := begin(s)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	src := m.lay.sources(s.Leaves, find)
	for i := range src {
		if src[i].leaf < 0 {
			continue
		}
		if src[i].read, err = s.ReadAs(src[i].leaf, src[i].typ); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	vals := make([]parquet.Value, len(src))
	var a file.Arena
	return s.Each(ctx, func(list []parquet.Row) (err error) {
		for _, r := range list {
			for i := range src {
				if src[i].leaf < 0 {
					vals[i] = src[i].fill
					continue
				}
				v := r[src[i].leaf]
				if src[i].read != nil && !v.IsNull() {
					if v, err = src[i].read(v, &a); err != nil {
						return fmt.Errorf("%s: column %s: %w", name, s.Leaves[src[i].leaf], err)
					}
				}
				vals[i] = file.Convert(src[i].typ, m.lay.Columns[i].typ, v, &a)
			}
			if err := row(vals, r); err != nil {
				return err
			}
		}
		if err := row(nil, nil); err != nil {
			return err
		}
		a.Reset()
		return nil
	})
}

// scanOld reads a file of current/. Rows below the floor are left out. row is called with
// nil values when those given before are about to become invalid.
func (m *merge) scanOld(ctx context.Context, a *delta.Add, row func(vals []parquet.Value, seq event.Seq) error) error {
	find := func(name string) (uint32, bool, file.Type, bool) {
		for i := range m.old.Columns {
			if c := &m.old.Columns[i]; c.Name == name {
				return c.ID, c.Raw, c.typ, true
			}
		}
		return 0, false, file.Type{}, false
	}
	return m.scan(ctx, file.PathOf(m.c.log.Table(), a), find, func(s *file.Reader) (func([]parquet.Value, parquet.Row) error, error) {
		at, err := s.TechnicalAt(file.ColSeq, parquet.Int64)
		if err != nil {
			return nil, err
		}
		return func(vals []parquet.Value, r parquet.Row) error {
			if vals == nil {
				return row(nil, 0)
			}
			if seq := event.Seq(r[at].Int64()); seq >= m.floor {
				return row(vals, seq)
			}
			return nil
		}, nil
	})
}
