package verify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/millrace/millrace/pipeline"
)

// Sample says that a part of a table is to be compared. A table that has no more rows than
// wanted is compared as a whole.
type Sample struct {
	Rows     int64   // how many, or
	Fraction float64 // which part, above 0 and up to 1
	// Seed chooses which. The same seed chooses the same places of a range of keys, and, of the
	// target, the same keys.
	Seed uint64
}

// ParseSample reads a number of rows, or a part in per cent.
func ParseSample(text string) (s Sample, err error) {
	const want = `is neither a number of rows above 0 ("100000") nor a part of a table ("1%%")`
	if part, ok := strings.CutSuffix(text, "%"); ok {
		percent, err := strconv.ParseFloat(part, 64)
		if s.Fraction = percent / 100; err != nil || !(s.Fraction > 0 && s.Fraction <= 1) {
			return s, fmt.Errorf("%q "+want, text)
		}
		return s, nil
	}
	if s.Rows, err = strconv.ParseInt(text, 10, 64); err != nil || s.Rows < 1 {
		return s, fmt.Errorf("%q "+want, text)
	}
	return s, nil
}

// Sampled is how much of a table was compared.
type Sampled struct {
	Keys  int64  `json:"keys"`
	About int64  `json:"of_about"` // rows of the source
	Seed  uint64 `json:"seed"`
}

func (s *Sampled) String() string {
	return fmt.Sprintf("sampled %d of about %d rows (seed %d)", s.Keys, max(s.About, s.Keys), s.Seed)
}

// sampling is a comparison of a part. Half of it are ranges of the source's key, which begin
// at random places: they find rows that the target lacks. The other half are keys of the
// target, chosen by their hash: they find rows that it has too many, and are spread over its
// rows whatever the keys are.
type sampling struct {
	ranges    pipeline.RangeReader
	keys      [][]pipeline.Cell // behind which a range begins; nil is the table's beginning
	rows      int               // of a range
	threshold uint64            // keys of the target whose mark is below it are chosen
	seed      uint64
	read      bitmap // keys that the source gave, and a few others
	out       *Sampled
}

// why says that a table gives no sample, to a reader of the outcome.
const (
	noPlaces = "the source's reader does not know where to look in a table: it is compared without --sample"
	noRanges = "its key gives no ranges (there is none, or it is over FLOAT, DOUBLE, ENUM, SET, prefixes, or bytes that are no character): " +
		"no part of it can be read by itself; it is compared without --sample"
)

// sampling prepares the comparison of a part; nil where it is to be one of the whole, and
// where the outcome says why it can be neither.
func (c *check) sampling(ctx context.Context) (*sampling, error) {
	reader, ok1 := c.source.(pipeline.SampleReader)
	ranges, ok2 := c.source.(pipeline.RangeReader)
	if !ok1 || !ok2 {
		c.out.Skipped = noPlaces
		return nil, nil
	}
	about, err := reader.RowsAbout(ctx, c.name)
	if err != nil {
		return nil, err
	}
	want := c.o.Sample.Rows
	if part := c.o.Sample.Fraction; part > 0 {
		want = int64(math.Ceil(part * float64(about)))
	}
	if want >= about {
		return nil, nil
	}
	s := &sampling{ranges: ranges, seed: c.o.Sample.Seed, out: &Sampled{About: about, Seed: c.o.Sample.Seed}}
	half := max(1, want/2)
	s.rows = max(1, min(int(math.Sqrt(float64(half))), c.o.ChunkRows))
	places := int((half + int64(s.rows) - 1) / int64(s.rows))
	rng := rand.New(rand.NewPCG(s.seed, 1))
	s.keys, err = reader.Spread(ctx, c.name, places, rng.Float64)
	if errors.Is(err, errors.ErrUnsupported) {
		c.out.Skipped = noRanges
		return nil, nil
	}
	// The beginning is no random place, but one that a table with a row has.
	s.keys = append([][]pipeline.Cell{nil}, s.keys...)
	s.threshold = uint64(float64(half) / float64(about) * math.MaxUint64)
	return s, err
}

// chosen says that a key of the target is one of the sample.
func (s *sampling) chosen(k key) bool { return mix(k[1]^s.seed) < s.threshold }

// wanted are the keys of the target that are of interest, and a few others.
func (s *sampling) wanted(k key) bool { return s.read.has(k) || s.chosen(k) }

// compare gives the keys of the sample on which the sides do not agree.
func (s *sampling) compare(ctx context.Context, c *check) (*spill, error) {
	c.out.Sample = s.out
	source, err := s.readSource(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("read %s from the source: %w", c.name, err)
	}
	target, err := c.readTarget(ctx, "target", s.wanted)
	if err != nil {
		return nil, fmt.Errorf("read %s from the target: %w", c.name, err)
	}
	candidates, err := c.spill("candidates")
	if err != nil {
		return nil, err
	}
	asked, err := c.spill("asked")
	if err != nil {
		return nil, err
	}
	c.sums = [2]uint64{}
	var buffer []byte
	err = c.join.first(source, target.spill, func(k key, source, target *value) bool {
		switch {
		case source.n == 0:
			return !s.chosen(k)
		case source.sum == uint64(source.n)*target.sum: // ranges may meet: a row that came twice counts once
			source.sum = target.sum
		}
		source.n = 1
		return s.count(c, *source, *target)
	}, func(k key, found *candidate) error {
		if buffer = found.append(buffer[:0]); found.source.n == 0 {
			return asked.add(k, buffer) // chosen among the target's: does the source have it?
		}
		return candidates.add(k, buffer)
	})
	if err != nil {
		return nil, err
	}
	had, err := c.spill("had")
	if err != nil {
		return nil, err
	}
	if err := c.readKeys(ctx, s.ranges, asked, had); err != nil {
		return nil, fmt.Errorf("read %s from the source: %w", c.name, err)
	}
	err = c.join.again(asked, had, target.spill, func(k key, was *candidate, source, target value) error {
		if s.count(c, source, target) {
			return nil
		}
		buffer = (&candidate{source: source, target: target, blob: was.blob}).append(buffer[:0])
		return candidates.add(k, buffer)
	})
	return candidates, err
}

// count takes a key into the outcome and reports whether both sides agree on it.
func (s *sampling) count(c *check, source, target value) bool {
	s.out.Keys++
	c.out.SourceRows += source.n
	c.out.TargetRows += target.n
	c.sums[0] += source.sum
	c.sums[1] += target.sum
	return source == target
}

// readSource puts the ranges' rows aside.
func (s *sampling) readSource(ctx context.Context, c *check) (*spill, error) {
	out, err := c.spill("source")
	if err != nil {
		return nil, err
	}
	hidden := s.passOver(c)
	for _, after := range s.keys {
		size, n, err := out.mark()
		if err != nil {
			return nil, err
		}
		err = c.again(ctx, func() error {
			*hidden = 0
			if err := out.back(size, n); err != nil {
				return err
			}
			err := s.ranges.ReadAfter(ctx, c.name, after, s.rows, c.rows.source, func(cells []pipeline.Cell) error {
				k, _ := c.rows.hash(cells)
				s.read.add(k)
				return c.put(out, &c.sums[0], cells)
			})
			if errors.Is(err, errSparse) {
				return nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		c.tell("source", out.n)
		if err := c.pace(ctx, "source", int(out.n-n)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// errSparse ends a range of which few rows are shown.
var errSparse = errors.New("BUG: a sparse range has ended, and nobody noticed")

// passOver has a range end when as many rows as it is long were read and not shown: where few
// are, it would else go on to the table's end for the rest. It counts them.
func (s *sampling) passOver(c *check) *int {
	hidden := new(int)
	if sparse, ok := c.source.(pipeline.SparseReader); ok {
		sparse.OnHidden(func(ctx context.Context, rows int) error {
			if *hidden += rows; *hidden >= s.rows {
				return errSparse
			}
			return ctx.Err()
		})
	}
	return hidden
}

// bitmap remembers keys in 8 MiB, however many: it may take others for one of them.
type bitmap []uint64

const bitmapBits = 26

func (b *bitmap) add(k key) {
	if *b == nil {
		*b = make(bitmap, 1<<(bitmapBits-6))
	}
	at := k[0] >> (64 - bitmapBits)
	(*b)[at/64] |= 1 << (at % 64)
}

func (b bitmap) has(k key) bool {
	at := k[0] >> (64 - bitmapBits)
	return b != nil && b[at/64]&(1<<(at%64)) != 0
}
