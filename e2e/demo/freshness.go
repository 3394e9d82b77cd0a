package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// freshness measures how long a committed payment takes until the demo's own reader sees
// it: the wall clock when a version of the lake's table was found and read, less the
// paid_at that the workload wrote just before its commit. It measures changes/ and
// current/ apart.
type freshness struct {
	lake  lake
	stop  context.CancelFunc
	wg    sync.WaitGroup
	parts []*freshnessPart
}

type freshnessPart struct {
	name, reader string
	samples      []time.Duration
	err          error
}

const freshnessPoll = 50 * time.Millisecond

// measureFreshness begins; o is nil where there is no ClickHouse.
func measureFreshness(ctx context.Context, l lake, o *olap) *freshness {
	ctx, stop := context.WithCancel(ctx)
	f := &freshness{lake: l, stop: stop}
	begin := time.Now().UTC()
	for _, name := range []string{"changes", "current"} {
		part := &freshnessPart{name: name + "/", reader: "arrow-go"}
		f.parts = append(f.parts, part)
		f.wg.Go(func() { part.err = f.watch(ctx, part, name, begin) })
	}
	if o != nil {
		part := &freshnessPart{name: "ClickHouse", reader: "a SELECT"}
		f.parts = append(f.parts, part)
		f.wg.Go(func() { part.samples, part.err = o.ages(ctx, begin) })
	}
	return f
}

// report ends the measuring and says what was found.
func (f *freshness) report() []string {
	f.stop()
	f.wg.Wait()
	var lines []string
	for _, p := range f.parts {
		if p.err != nil {
			lines = append(lines, fmt.Sprintf("freshness of %s: not known: %v", p.name, p.err))
			continue
		}
		if len(p.samples) == 0 {
			lines = append(lines, fmt.Sprintf("freshness of %s: not known: no payment of that time became visible in it meanwhile", p.name))
			continue
		}
		slices.Sort(p.samples)
		at := func(q float64) time.Duration { return p.samples[int(q*float64(len(p.samples)-1))] }
		lines = append(lines, fmt.Sprintf("freshness of %s (source commit → read by %s): p50 %.2f s, p99 %.2f s over %d payments",
			p.name, p.reader, at(0.5).Seconds(), at(0.99).Seconds(), len(p.samples)))
	}
	return lines
}

// watch reads what every new version adds and takes the payments that are newer than any
// seen before.
func (f *freshness) watch(ctx context.Context, part *freshnessPart, name string, newest time.Time) error {
	table := f.lake.table(event.TableName{DB: "shop", Table: "payments"}, name)
	before, _, version, err := live(table, -1)
	if err != nil {
		return err
	}
	for {
		select {
		case <-time.After(freshnessPoll):
		case <-ctx.Done():
			return nil
		}
		files, _, now, err := live(table, -1)
		if now == version || err != nil { // a version that is being written is found whole at the next look
			continue
		}
		version = now
		top := newest
		for _, path := range files {
			if slices.Contains(before, path) {
				continue
			}
			err := readParquet(ctx, path, []string{"paid_at"}, func(cells []pipeline.Cell) error {
				if cells[0].Null { // no version of a payment
					return nil
				}
				paid, err := time.Parse(civil, string(cells[0].Text))
				if err != nil {
					return fmt.Errorf("paid_at of a payment: %w", err)
				}
				if !paid.After(newest) {
					return nil
				}
				part.samples = append(part.samples, time.Since(paid))
				if paid.After(top) {
					top = paid
				}
				return nil
			})
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
		newest, before = top, files
	}
}
