package parquet

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
)

// load gathers what the new files say of the keys of p.
func (m *merge) load(ctx context.Context, p bucket) error {
	m.entries, m.sorted = map[string]*entry{}, nil // what the pass before held goes first
	facts := m.job.facts
	find := func(name string) (uint32, bool, colType, bool) {
		for i := range facts.Columns {
			if c := &facts.Columns[i]; c.Name == name {
				return c.ID, c.Raw, c.colType(), true
			}
		}
		return 0, false, colType{}, false
	}
	for _, a := range m.job.files {
		err := m.scan(ctx, path.Join(m.c.t.changes.Table(), a.Path), find, func(s *scanner) (func([]parquet.Value, parquet.Row) error, error) {
			seq, op, q := s.leaf(colSeq), s.leaf(colOp), s.leaf(colQ)
			if seq < 0 || op < 0 || q < 0 {
				return nil, errors.New("a technical column is missing")
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
				if n < m.floor && !(seeded.On("floor-per-queue") && int(r[q].Int32()) != facts.FloorQ) {
					return nil
				}
				m.change(p, vals, n, o == event.OpDelete)
				return nil
			}, nil
		})
		if err != nil {
			return err
		}
	}
	if m.rekey {
		if err := m.loadOld(ctx, p); err != nil {
			return err
		}
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

// loadOld takes the rows of current/ as changes: under another key two of them may have
// become one.
func (m *merge) loadOld(ctx context.Context, p bucket) error {
	for _, a := range m.groups[0].files {
		err := m.scanOld(ctx, a, func(vals []parquet.Value, seq event.Seq) error {
			if vals == nil {
				return nil
			}
			m.change(p, vals, seq, false)
			return nil
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

// change notes one change if its key is in p.
func (m *merge) change(p bucket, vals []parquet.Value, seq event.Seq, del bool) {
	var stack [256]byte
	key := m.lay.appendKey(stack[:0], vals)
	hash := xxhash.Sum64(key)
	if !p.has(hash) {
		return
	}
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
	e.seq, e.del, e.row = seq, del, e.row[:0]
	if !del { // copied, so that no row keeps room that it does not need
		m.scratch = m.appendRow(m.scratch[:0], vals)
		e.row = append(e.row, m.scratch...)
	}
}

func (m *merge) appendRow(dst []byte, vals []parquet.Value) []byte {
	for i := range m.lay.Columns {
		dst = appendCell(dst, m.lay.Columns[i].typ, vals[i])
	}
	return dst
}

// scan reads a file row by row in the layout's columns.
func (m *merge) scan(ctx context.Context, name string, find func(string) (uint32, bool, colType, bool), begin func(*scanner) (func([]parquet.Value, parquet.Row) error, error)) error {
	s, err := openScanner(m.c.t.sink.fs, name)
	if err != nil {
		return err
	}
	defer s.close()
	row, err := begin(s)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	src := m.lay.sources(s.leaves, find)
	vals := make([]parquet.Value, len(src))
	var a arena
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		list, err := s.next()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if list == nil {
			return nil
		}
		for _, r := range list {
			for i := range src {
				if src[i].leaf < 0 {
					vals[i] = src[i].fill
				} else {
					vals[i] = convert(src[i].typ, m.lay.Columns[i].typ, r[src[i].leaf], &a)
				}
			}
			if err := row(vals, r); err != nil {
				return err
			}
		}
		if err := row(nil, nil); err != nil {
			return err
		}
		a.reset()
	}
}

// scanOld reads a file of current/. Rows below the floor are left out. row is called with
// nil values when those given before are about to become invalid.
func (m *merge) scanOld(ctx context.Context, a *delta.Add, row func(vals []parquet.Value, seq event.Seq) error) error {
	find := func(name string) (uint32, bool, colType, bool) {
		for i := range m.old.Columns {
			if c := &m.old.Columns[i]; c.Name == name {
				return c.ID, c.Raw, c.typ, true
			}
		}
		return 0, false, colType{}, false
	}
	return m.scan(ctx, path.Join(m.c.log.Table(), a.Path), find, func(s *scanner) (func([]parquet.Value, parquet.Row) error, error) {
		at := s.leaf(colSeq)
		if at < 0 {
			return nil, errors.New("a technical column is missing")
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
