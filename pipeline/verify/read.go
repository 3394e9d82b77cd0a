package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/pipeline"
)

// readSource puts the source's rows aside: by ranges of its key where that is possible.
func (c *check) readSource(ctx context.Context) (*spill, error) {
	s, err := c.takeUp()
	if err != nil || c.cursor.Done {
		return s, err
	}
	ranges, ok := c.source.(pipeline.RangeReader)
	if ok {
		err = c.readRanges(ctx, ranges, s)
	}
	if !ok || errors.Is(err, errors.ErrUnsupported) {
		if err := s.back(0, 0); err != nil {
			return nil, err
		}
		err = c.readWhole(ctx, s)
	}
	if err != nil {
		return nil, err
	}
	c.cursor.Done, c.saved = true, time.Time{}
	return s, c.save(s)
}

// takeUp goes on with what an earlier comparison has put aside, or begins.
func (c *check) takeUp() (*spill, error) {
	c.cursor = Cursor{Begun: time.Now().UTC()}
	if r := c.o.Resume; r != nil {
		s, err := reopenSpill(filepath.Join(c.o.Dir, "source"), r.Size)
		if err == nil {
			c.spills = append(c.spills, s)
			c.cursor, s.n = *r, r.Rows
			c.out.SourceRows, c.sums[0] = r.Rows, r.Sum
			return s, c.rows.source(r.Columns)
		}
	}
	return c.spill("source")
}

// save makes the cursor one that a restart goes on from.
func (c *check) save(s *spill) error {
	if c.o.Save == nil || time.Since(c.saved) < c.o.SaveEvery {
		return nil
	}
	c.saved = time.Now()
	size, n, err := s.mark()
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		return err
	}
	c.cursor.Size, c.cursor.Rows, c.cursor.Sum, c.cursor.Columns = size, n, c.sums[0], c.rows.columns
	return c.o.Save(c.cursor)
}

// tries is how often a reading is begun again that failed.
const tries = 3

func (c *check) readRanges(ctx context.Context, ranges pipeline.RangeReader, s *spill) error {
	for {
		size, n, err := s.mark()
		if err != nil {
			return err
		}
		sum, after, got := c.sums[0], c.cursor.After, 0
		err = c.again(ctx, func() error {
			c.sums[0], got = sum, 0
			if err := s.back(size, n); err != nil {
				return err
			}
			var last []pipeline.Cell
			err := ranges.ReadAfter(ctx, c.name, after, c.o.ChunkRows, c.rows.source, func(cells []pipeline.Cell) error {
				got++
				if got == c.o.ChunkRows {
					last = c.rows.keyOf(cells)
				}
				return c.put(s, &c.sums[0], cells)
			})
			c.cursor.After = last
			return err
		})
		c.out.SourceRows = s.n
		if err != nil || got < c.o.ChunkRows {
			return err
		}
		c.tell("source", s.n)
		if err := c.save(s); err != nil {
			return err
		}
		if err := c.pace(ctx, "source", got); err != nil {
			return err
		}
	}
}

// readWhole reads the source in one statement: it is as short as it can be, and whoever
// wants few rows a second waits afterwards.
func (c *check) readWhole(ctx context.Context, s *spill) error {
	err := c.again(ctx, func() error {
		c.sums[0] = 0
		if err := s.back(0, 0); err != nil {
			return err
		}
		return c.source.Read(ctx, c.name, c.rows.source, func(cells []pipeline.Cell) error {
			if s.n%tellRows == 0 {
				c.tell("source", s.n)
			}
			return c.put(s, &c.sums[0], cells)
		})
	})
	c.out.SourceRows = s.n
	if err != nil {
		return err
	}
	return c.pace(ctx, "source", int(s.n))
}

// again calls fn until it succeeds or has failed often enough: once for whoever does not
// wait.
func (c *check) again(ctx context.Context, fn func() error) (err error) {
	for try := 1; ; try++ {
		err = fn()
		final := errors.Is(err, ErrChanged) || errors.Is(err, errors.ErrUnsupported) || ctx.Err() != nil
		if err == nil || final || try == tries || c.o.Wait <= 0 {
			return err
		}
		if err := pause.For(ctx, time.Duration(try)*c.o.Pause/4); err != nil {
			return err
		}
	}
}

// put puts a row aside, in the order of the source's columns.
func (c *check) put(s *spill, sum *uint64, cells []pipeline.Cell) error {
	k, h := c.rows.hash(cells)
	*sum += h
	var hash [8]byte
	binary.LittleEndian.PutUint64(hash[:], h)
	return s.add(k, hash[:], c.rows.keyCells(cells))
}

// tellRows is how many rows pass between two words.
const tellRows = 8192

// targetRows is what was read of a target.
type targetRows struct {
	*spill
	sum uint64
}

// readTarget puts the target's rows aside, of which some may be wanted only. A table that
// the target does not have is an empty one, and said.
func (c *check) readTarget(ctx context.Context, name string, wanted func(key) bool) (targetRows, error) {
	s, err := c.spill(name)
	if err != nil {
		return targetRows{}, err
	}
	out, hurry := targetRows{spill: s}, false
	err = c.again(ctx, func() error {
		c.out.Problem, out.sum = "", 0
		if err := s.back(0, 0); err != nil {
			return err
		}
		read := 0
		err := c.target.Read(ctx, c.name, func(columns []pipeline.ReadColumn) error {
			c.out.Problem = columnsProblem(c.rows.target(columns))
			return nil
		}, func(cells []pipeline.Cell) error {
			if read++; read%tellRows == 0 {
				c.tell(name, int64(read))
				if err := c.paceTarget(ctx, hurry); err != nil {
					return err
				}
			}
			cells = c.rows.arrange(cells)
			if wanted != nil {
				if k, _ := c.rows.hash(cells); !wanted(k) {
					return nil
				}
			}
			return c.put(s, &out.sum, cells)
		})
		if errors.Is(err, pipeline.ErrNoTable) {
			c.out.Problem = "the target does not have the table: see its state with millrace pipeline status"
			return nil
		}
		hurry = true // what was replaced meanwhile may be gone: the next time it must be faster
		return err
	})
	return out, err
}

// columnsProblem says which columns one side alone has; "" when there are none.
func columnsProblem(missing, extra []string) string {
	var said []string
	if len(missing) > 0 {
		said = append(said, "the target lacks the columns "+strings.Join(missing, ", "))
	}
	if len(extra) > 0 {
		said = append(said, "the target has the columns "+strings.Join(extra, ", ")+", which the source does not have")
	}
	return strings.Join(said, "; ")
}

func (c *check) paceTarget(ctx context.Context, hurry bool) error {
	if hurry {
		return ctx.Err()
	}
	return c.pace(ctx, "target", tellRows)
}

// keyOf copies a row's key.
func (r *rows) keyOf(cells []pipeline.Cell) []pipeline.Cell {
	key, err := parseCells(append([]byte{}, r.keyCells(cells)...))
	if err != nil {
		panic("BUG: a key that was just written: " + err.Error())
	}
	return key
}
