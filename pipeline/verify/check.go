package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Options bound a comparison. The zero value looks at nothing again.
type Options struct {
	// Dir is where rows are put aside; "" is a directory of the system's that is removed.
	Dir string
	// Sample compares a part of the table; nil the whole. A part is not taken up again: Resume
	// and Save are for whole tables.
	Sample *Sample
	// Wait is how long keys that seem to differ are looked at again; at least three looks
	// are taken. 0 takes none: whatever differs at first is said to.
	Wait time.Duration
	// Pause is between two looks (1 s).
	Pause time.Duration
	// Reached reports whether the target's log has everything up to a place of the source;
	// where it can't tell, or is nil, the target's reader is asked.
	Reached func(ctx context.Context, place pipeline.Place) (bool, error)
	// Complete is the time, by the source's clock, up to which the target's table is known to
	// be complete besides what its reader says; nil knows nothing.
	Complete func() time.Time
	// Pace is told of rows that were read and waits as long as it likes; nil does not.
	Pace func(ctx context.Context, side string, rows int) error
	// ChunkRows is how many rows of the source are read at a time (8192).
	ChunkRows int
	// Resume goes on where a comparison in the same Dir was when Save was last called.
	Resume *Cursor
	Save   func(Cursor) error
	// SaveEvery is the least time between two calls of Save.
	SaveEvery time.Duration
	// Room is asked now and then whether more may be put aside; an error ends the comparison.
	Room func() error
	// Progress is told what is done, now and then.
	Progress func(Progress)
	// PartBytes is the memory of a part (16 MiB).
	PartBytes int64
}

// Progress is how far a comparison is.
type Progress struct {
	What string // source, target, compare, again
	Rows int64
}

// Cursor is where the reading of a source was. What it speaks of is on disk.
type Cursor struct {
	Begun   time.Time             `json:"begun"`
	Columns []pipeline.ReadColumn `json:"columns"`
	After   []pipeline.Cell       `json:"after,omitempty"`
	Done    bool                  `json:"done,omitempty"`
	Size    int64                 `json:"size"`
	Rows    int64                 `json:"rows"`
	Sum     uint64                `json:"sum"`
}

// Compare reads a table on both sides, as they are. An error means that a side could not
// be read; a difference is no error, nor is a table that the target does not have.
func Compare(ctx context.Context, source, target pipeline.Reader, name event.TableName) (Table, error) {
	return Check(ctx, source, target, name, Options{})
}

// Check compares a table on both sides while they change. An error means that a side could
// not be read, or that the source's columns changed meanwhile (ErrChanged); a source that lost
// the table is an outcome.
func Check(ctx context.Context, source, target pipeline.Reader, name event.TableName, o Options) (out Table, err error) {
	c := &check{source: source, target: target, name: name, o: o, out: Table{Name: name.String()}}
	if c.o.ChunkRows < 1 {
		c.o.ChunkRows = 8192
	}
	if c.o.Pause <= 0 {
		c.o.Pause = time.Second
	}
	if c.o.PartBytes < 1 {
		c.o.PartBytes = maxPartBytes
	}
	if c.o.Dir == "" {
		if c.o.Dir, err = os.MkdirTemp("", "millrace-verify-"); err != nil {
			return c.out, fmt.Errorf("room for the comparison: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.o.Dir)) }()
	}
	c.join = joiner{dir: c.o.Dir, most: c.o.PartBytes}
	defer func() {
		for _, s := range c.spills {
			err = errors.Join(err, s.close())
		}
	}()
	err = c.run(ctx)
	if errors.Is(err, pipeline.ErrNoTable) { // of the source: what a target lacks is an outcome
		return Table{Name: c.out.Name, Orphaned: gone}, nil
	}
	if err != nil {
		return c.out, err
	}
	c.out.SourceChecksum, c.out.TargetChecksum = fmt.Sprintf("%016x", c.sums[0]), fmt.Sprintf("%016x", c.sums[1])
	return c.out, nil
}

// gone is said of a table that the source lost.
const gone = "the source does not have the table, or no longer: nothing of it was compared"

type check struct {
	source, target pipeline.Reader
	name           event.TableName
	o              Options
	rows           rows
	join           joiner
	out            Table
	sums           [2]uint64
	spills         []*spill
	found          found
	cursor         Cursor        // of the source's reading
	scan           time.Duration // how long the last reading of the whole source took to look again
	saved          time.Time
	// aside are the changes that the target says are put aside, by the key of their rows.
	aside map[key]unheld
}

func (c *check) run(ctx context.Context) error {
	if sparse, ok := c.source.(pipeline.SparseReader); ok {
		sparse.OnHidden(func(ctx context.Context, rows int) error {
			if rows == 0 {
				return ctx.Err()
			}
			return c.pace(ctx, "source", rows)
		})
	}
	candidates, err := c.compare(ctx)
	if err != nil || c.out.Skipped != "" {
		return err
	}
	if err := c.readAside(ctx); err != nil {
		return err
	}
	if c.o.Wait > 0 {
		c.out.LookedAgain = candidates.n
		if candidates, err = c.lookAgain(ctx, candidates); err != nil {
			return err
		}
	}
	if err := c.readAside(ctx); err != nil {
		return err
	}
	if err := c.found.take(c, candidates); err != nil {
		return err
	}
	return c.found.explain(ctx, c)
}

// compare reads both sides once and gives the keys on which they do not agree.
func (c *check) compare(ctx context.Context) (*spill, error) {
	if c.o.Sample != nil {
		s, err := c.sampling(ctx)
		if err != nil {
			return nil, fmt.Errorf("a sample of %s: %w", c.name, err)
		}
		if s != nil {
			return s.compare(ctx, c)
		}
		if c.out.Skipped != "" {
			return nil, nil
		}
	}
	source, err := c.readSource(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s from the source: %w", c.name, err)
	}
	target, err := c.readTarget(ctx, "target", nil)
	if err != nil {
		return nil, fmt.Errorf("read %s from the target: %w", c.name, err)
	}
	c.out.TargetRows, c.sums[1] = target.n, target.sum
	c.tell("compare", 0)
	candidates, err := c.spill("candidates")
	if err != nil {
		return nil, err
	}
	var buffer []byte
	err = c.join.first(source, target.spill, agree, func(k key, found *candidate) error {
		buffer = found.append(buffer[:0])
		return candidates.add(k, buffer)
	})
	return candidates, err
}

// spill makes a file in the room.
func (c *check) spill(name string) (*spill, error) {
	s, err := newSpill(filepath.Join(c.o.Dir, name), 0)
	if err == nil {
		c.spills = append(c.spills, s)
	}
	return s, err
}

func (c *check) tell(what string, rows int64) {
	if c.o.Progress != nil {
		c.o.Progress(Progress{what, rows})
	}
}

func (c *check) pace(ctx context.Context, side string, rows int) error {
	if c.o.Room != nil {
		if err := c.o.Room(); err != nil {
			return err
		}
	}
	if c.o.Pace != nil {
		return c.o.Pace(ctx, side, rows)
	}
	return ctx.Err()
}
