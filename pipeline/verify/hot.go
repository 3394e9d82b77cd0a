package verify

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/millrace/millrace/pipeline"
)

// hotKeys is up to how many candidates are watched, hotValues how many values of each are
// remembered.
const (
	hotKeys   = 2000
	hotValues = 64
)

// hot watches the source's rows of candidates while the target is waited for and read. A row
// that changes several times a second is never caught equal on both sides at once, because a
// target is always a little behind; but what the target shows has to be one of the values
// that the source had since the look began.
type hot struct {
	ranges pipeline.RangeReader
	keys   map[key][]pipeline.Cell
	values map[key][]value
}

// newHot is nil where nothing can be watched; a nil one knows nothing.
func (c *check) newHot(candidates *spill) *hot {
	ranges, ok := c.source.(pipeline.RangeReader)
	if !ok || !c.rows.keyed || candidates.n == 0 || candidates.n > hotKeys {
		return nil
	}
	h := &hot{ranges: ranges, keys: map[key][]pipeline.Cell{}, values: map[key][]value{}}
	err := candidates.all(func(k key, payload []byte) error {
		found, err := parseCandidate(payload)
		if err == nil {
			h.keys[k], err = parseCells(append([]byte(nil), found.blob...))
		}
		return err
	})
	if err != nil {
		return nil // the look itself says it
	}
	return h
}

// pause is how long to wait between two glances.
func (h *hot) pause() time.Duration {
	if h == nil {
		return time.Second
	}
	return 100 * time.Millisecond
}

// poll takes note of what the source has now.
func (h *hot) poll(ctx context.Context, c *check) error {
	if h == nil {
		return nil
	}
	var batch [][]pipeline.Cell
	now, bytes := map[key]value{}, 0
	for k, cells := range h.keys {
		for _, cell := range cells {
			bytes += len(cell.Text)
		}
		now[k] = value{}
		if batch = append(batch, cells); len(batch) < batchKeys && bytes < keyBatchBytes {
			continue
		}
		if err := h.read(ctx, c, batch, now); err != nil {
			return err
		}
		batch, bytes, now = nil, 0, map[key]value{}
	}
	if len(batch) == 0 {
		return nil
	}
	return h.read(ctx, c, batch, now)
}

func (h *hot) read(ctx context.Context, c *check, batch [][]pipeline.Cell, now map[key]value) error {
	err := c.again(ctx, func() error {
		for k := range now {
			now[k] = value{}
		}
		return h.ranges.ReadKeys(ctx, c.name, batch, c.rows.source, func(cells []pipeline.Cell) error {
			k, hash := c.rows.hash(cells)
			if have, asked := now[k]; asked {
				now[k] = have.plus(hash)
			}
			return nil
		})
	})
	if errors.Is(err, errors.ErrUnsupported) {
		clear(h.keys)
		return nil
	}
	if err != nil {
		return err
	}
	for k, v := range now {
		if known := h.values[k]; len(known) < hotValues && !slices.Contains(known, v) {
			h.values[k] = append(known, v)
		}
	}
	return c.pace(ctx, "source", len(batch))
}

// had reports whether the source had a value since the look began.
func (h *hot) had(k key, v value) bool { return h != nil && slices.Contains(h.values[k], v) }
