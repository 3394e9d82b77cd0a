package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
)

const (
	// leastLooks are taken whatever the time; steady looks in a row that find the same, on a
	// target that is as far as the source, are a difference.
	leastLooks = 3
	steady     = 2
	// filterKeys is up to how many candidates a scan keeps in memory, to pass over the rest.
	filterKeys = 100_000
	// batchKeys is how many keys the source is asked for at a time, keyBatchBytes how long
	// they may be together.
	batchKeys     = 200
	keyBatchBytes = 256 << 10
	mostPause     = 10 * time.Second
)

// lookAgain looks at the candidates until they agree, are found to differ, or the time is
// up. It returns those that do not agree.
func (c *check) lookAgain(ctx context.Context, candidates *spill) (*spill, error) {
	wrong, err := c.spill("wrong")
	if err != nil {
		return nil, err
	}
	until, rest, lasting := time.Now().Add(c.o.Wait), c.o.Pause, 0
	for n := 1; candidates.n > 0 || c.out.Problem != ""; n++ {
		c.tell("again", candidates.n)
		problem := c.out.Problem
		last := n >= leastLooks && time.Now().After(until)
		left, err := c.look(ctx, n, candidates, wrong, until, last)
		if err != nil {
			return nil, err
		}
		candidates = left
		if lasting++; problem != c.out.Problem || c.out.Behind != "" {
			lasting = 0
		}
		// What a target lacks that is as far as the source was does not come by waiting.
		if last || candidates.n == 0 && (c.out.Problem == "" || lasting >= steady) {
			break
		}
		if err := pause.For(ctx, max(rest, c.scan)); err != nil { // a source that is read as a whole rests as long
			return nil, err
		}
		rest = min(2*rest, max(mostPause, c.o.Pause))
	}
	return wrong, nil
}

// look reads the candidates on both sides once more. Those that are found to differ go to
// wrong; the others that do not agree are returned.
func (c *check) look(ctx context.Context, n int, candidates, wrong *spill, until time.Time, last bool) (*spill, error) {
	source, err := c.spill(fmt.Sprintf("source-%d", n))
	if err != nil {
		return nil, err
	}
	wanted, err := filter(candidates)
	if err != nil {
		return nil, err
	}
	if err := c.readCandidates(ctx, candidates, source, wanted); err != nil {
		return nil, fmt.Errorf("read %s from the source: %w", c.name, err)
	}
	hot := c.newHot(candidates)
	reached, err := c.reach(ctx, until, hot)
	if err != nil {
		return nil, err
	}
	target, err := c.readTarget(ctx, fmt.Sprintf("target-%d", n), wanted)
	if err != nil {
		return nil, fmt.Errorf("read %s from the target: %w", c.name, err)
	}
	if err := hot.poll(ctx, c); err != nil {
		return nil, fmt.Errorf("read %s from the source: %w", c.name, err)
	}
	if err := c.sameColumns(ctx); err != nil {
		return nil, fmt.Errorf("read %s from the source: %w", c.name, err)
	}
	left, err := c.spill(fmt.Sprintf("candidates-%d", n))
	if err != nil {
		return nil, err
	}
	var buffer []byte
	err = c.join.again(candidates, source, target.spill, func(k key, was *candidate, source, target value) error {
		if hot.had(k, target) {
			source = target
		}
		now := c.judge(was, source, target, reached)
		if now == nil {
			return nil
		}
		buffer = now.append(buffer[:0])
		if now.proven >= steady || last && now.same >= steady {
			return wrong.add(k, buffer)
		}
		if last {
			c.out.Unsettled++
			return nil
		}
		return left.add(k, buffer)
	})
	if err != nil {
		return nil, err
	}
	return left, c.drop(candidates, source, target.spill)
}

// sameColumns makes sure, where the sides' columns do not match, that the source still has those
// that it had: the target may have followed it.
func (c *check) sameColumns(ctx context.Context) error {
	if c.out.Problem == "" {
		return nil
	}
	return c.again(ctx, func() error {
		err := c.source.Read(ctx, c.name, c.rows.source, func([]pipeline.Cell) error { return errEnough })
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
}

// judge takes note of what was found of a key; nil says that it is settled.
func (c *check) judge(was *candidate, source, target value, reached bool) *candidate {
	c.out.SourceRows += source.n - was.source.n
	c.out.TargetRows += target.n - was.target.n
	c.sums[0] += source.sum - was.source.sum
	c.sums[1] += target.sum - was.target.sum
	if source == target || seeded.On(seeded.VerifySkipsTouchedKeys) && source != was.source {
		return nil
	}
	now := &candidate{source: source, target: target, blob: was.blob}
	if source == was.source && target == was.target {
		now.same = min(was.same+1, 100)
		if reached {
			now.proven = min(was.proven+1, 100)
		}
	}
	return now
}

// drop removes files that are not needed any more.
func (c *check) drop(spills ...*spill) error {
	var errs []error
	for _, s := range spills {
		for i, have := range c.spills {
			if have == s {
				c.spills = append(c.spills[:i], c.spills[i+1:]...)
				errs = append(errs, s.remove())
				break
			}
		}
	}
	return errors.Join(errs...)
}

// filter tells candidates from other keys; nil when there are too many to remember.
func filter(candidates *spill) (func(key) bool, error) {
	if candidates.n > filterKeys {
		return nil, nil
	}
	set := make(map[key]struct{}, candidates.n)
	err := candidates.all(func(k key, _ []byte) error {
		set[k] = struct{}{}
		return nil
	})
	return func(k key) bool { _, ok := set[k]; return ok }, err
}

// readCandidates reads the candidates from the source: by key, or, where that is not
// possible, among all rows.
func (c *check) readCandidates(ctx context.Context, candidates, out *spill, wanted func(key) bool) error {
	if candidates.n == 0 {
		return nil
	}
	ranges, ok := c.source.(pipeline.RangeReader)
	if ok && c.rows.keyed {
		err := c.readKeys(ctx, ranges, candidates, out)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	var sum uint64
	rows, began := 0, time.Now()
	err := c.again(ctx, func() error {
		rows = 0
		if err := out.back(0, 0); err != nil {
			return err
		}
		return c.source.Read(ctx, c.name, c.rows.source, func(cells []pipeline.Cell) error {
			rows++
			if wanted != nil {
				if k, _ := c.rows.hash(cells); !wanted(k) {
					return nil
				}
			}
			return c.put(out, &sum, cells)
		})
	})
	if c.scan = time.Since(began); err != nil {
		return err
	}
	return c.pace(ctx, "source", rows)
}

func (c *check) readKeys(ctx context.Context, ranges pipeline.RangeReader, candidates, out *spill) error {
	b := keyBatch{asked: map[key]bool{}}
	err := candidates.all(func(k key, payload []byte) error {
		found, err := parseCandidate(payload)
		if err != nil {
			return err
		}
		cells, err := parseCells(append([]byte(nil), found.blob...))
		if err != nil {
			return err
		}
		b.asked[k], b.keys, b.bytes = true, append(b.keys, cells), b.bytes+len(found.blob)
		if len(b.keys) < batchKeys && b.bytes < keyBatchBytes {
			return nil
		}
		return c.readBatch(ctx, ranges, &b, out)
	})
	if err != nil || len(b.keys) == 0 {
		return err
	}
	return c.readBatch(ctx, ranges, &b, out)
}

// keyBatch is keys that are read together.
type keyBatch struct {
	asked map[key]bool
	keys  [][]pipeline.Cell
	bytes int
}

// readBatch reads a batch and empties it. The source may know other keys as equal to one
// that was asked for (another case of its letters): those are not meant.
func (c *check) readBatch(ctx context.Context, ranges pipeline.RangeReader, b *keyBatch, out *spill) error {
	size, n, err := out.mark()
	if err != nil {
		return err
	}
	var sum uint64
	err = c.again(ctx, func() error {
		if err := out.back(size, n); err != nil {
			return err
		}
		return ranges.ReadKeys(ctx, c.name, b.keys, c.rows.source, func(cells []pipeline.Cell) error {
			if k, _ := c.rows.hash(cells); !b.asked[k] {
				return nil
			}
			return c.put(out, &sum, cells)
		})
	})
	if err != nil {
		return err
	}
	asked := len(b.keys)
	clear(b.asked)
	b.keys, b.bytes = nil, 0
	return c.pace(ctx, "source", asked)
}

// reach waits until the target has everything up to where the source is now; false when it
// can't be known before the time is up.
func (c *check) reach(ctx context.Context, until time.Time, hot *hot) (bool, error) {
	placed, ok := c.source.(pipeline.Placed)
	if !ok {
		c.out.Behind = unknownPlace
		return false, nil
	}
	place, err := placed.Place(ctx)
	if err != nil {
		return false, fmt.Errorf("the source's place: %w", err)
	}
	for {
		reached, how, err := c.reached(ctx, place)
		if err != nil {
			return false, fmt.Errorf("how far the target of %s is: %w", c.name, err)
		}
		if reached {
			c.out.Behind = ""
			return true, nil
		}
		c.out.Behind = how
		if !time.Now().Before(until) {
			return false, nil
		}
		if err := hot.poll(ctx, c); err != nil {
			return false, err
		}
		if err := pause.For(ctx, min(c.o.Pause, hot.pause())); err != nil {
			return false, err
		}
	}
}

const unknownPlace = "how far the target is can't be told: what differs may be on its way"

// reached asks whoever knows how far the target is. The clock of a log counts in seconds,
// so that a second is complete when the next has come.
func (c *check) reached(ctx context.Context, place pipeline.Place) (bool, string, error) {
	if c.o.Reached != nil {
		ok, err := c.o.Reached(ctx, place)
		if follows, is := c.target.(pipeline.LevelReader); is && ok && err == nil {
			ok, err = follows.Level(ctx, c.name)
		}
		if ok || err != nil {
			return ok, "", err
		}
	}
	var to time.Time
	if c.o.Complete != nil {
		to = c.o.Complete()
	}
	if target, ok := c.target.(pipeline.DatedReader); ok {
		said, err := target.CompleteTo(ctx, c.name)
		if err != nil {
			return false, "", err
		}
		if said.After(to) {
			to = said
		}
	}
	switch {
	case to.IsZero():
		return false, unknownPlace, nil
	case to.After(place.Time.Truncate(time.Second).Add(time.Second)):
		return true, "", nil
	}
	const onItsWay = "the target is known to be complete up to %s by the source's clock: what differs may be on its way"
	return false, fmt.Sprintf(onItsWay, to.UTC().Format(time.RFC3339)), nil
}
