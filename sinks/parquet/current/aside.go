package current

import (
	"context"

	"github.com/cespare/xxhash/v2"
	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
)

// putAside reads the rows of a group that several passes go over and puts them aside by the
// hashes of their keys: its files are then read once, and not by each pass as a whole.
func (m *merge) putAside(ctx context.Context, g *group) error {
	m.dropAside()
	if m.rekey || m.old == nil || len(g.files) == 0 {
		return nil
	}
	scratch, err := m.c.Scratch()
	if err != nil {
		return err
	}
	if m.aside, err = newSpill(scratch); err != nil {
		return err
	}
	var key, row []byte
	for _, a := range g.files {
		err := m.scanOld(ctx, a, func(vals []parquet.Value, seq event.Seq) error {
			if vals == nil {
				return nil
			}
			key, row = m.lay.appendKey(key[:0], vals), m.appendRow(row[:0], vals)
			return m.aside.add(xxhash.Sum64(key), key, seq, false, row)
		})
		if err != nil {
			return err
		}
	}
	return m.aside.full()
}

// copyAside copies the rows in r that were put aside and that no change concerns.
func (m *merge) copyAside(o *output, r bucket) error {
	if m.aside == nil {
		return nil
	}
	return m.aside.each(r, func(key []byte, seq event.Seq, _ bool, row []byte) error {
		hash := xxhash.Sum64(key)
		if !r.has(hash) || !m.stays(key, seq) {
			return nil
		}
		return o.cells(hash, row, seq)
	}, o.flush)
}

func (m *merge) dropAside() {
	if m.aside != nil {
		m.aside.remove()
		m.aside = nil
	}
}
