package bus

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the randomized runs; 0 = a new one each time")

func seed(t *testing.T) uint64 {
	s := *seedFlag
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("seed %d (give it with -seed)", s)
	return s
}

// rig publishes a script through publishers that crash.
type rig struct {
	twin  *twin
	s     *script
	cfg   PublisherConfig
	chunk int
	// hook is asked at every step of every publisher; n counts openings.
	hook func(opening int, step string, after bool) error
	// between runs after an opening ended and before the next.
	between func(opening int)
	checks  chan client.Half
	minted  map[event.Identity]event.Seq
	resumes []pipeline.Resume
	log     *slog.Logger
}

func newRig(s *script, cfg PublisherConfig) *rig {
	cfg.Pipeline, cfg.Broker = "p", "b"
	cfg.BaseInterval, cfg.PositionInterval = time.Hour, time.Hour
	return &rig{twin: newTwin(), s: s, cfg: cfg, chunk: 3, minted: map[event.Identity]event.Seq{}, log: slog.New(slog.DiscardHandler)}
}

// tight makes groups and slices small, so that a short script has every kind of them.
func tight(r *rand.Rand) PublisherConfig {
	c := PublisherConfig{GroupBytes: 100 + r.IntN(900), SliceBytes: 150 + r.IntN(400), GroupInterval: time.Hour, BaseGroups: 3 + r.IntN(10), WindowGroups: 1 + r.IntN(4)}
	if r.IntN(2) == 0 {
		c.GroupInterval = 1 // every transaction its own group
	}
	return c
}

// once is one opening: nil when the script was published to its end.
func (r *rig) once(ctx context.Context, opening int) error {
	conn := &twinConn{t: r.twin, name: "p", terms: map[string]uint64{}}
	if r.hook != nil {
		conn.hook = func(step string, after bool) error { return r.hook(opening, step, after) }
	}
	p, err := newPublisher(r.cfg, r.log, func(context.Context) (publisherDeps, error) {
		return publisherDeps{writer: conn, reader: r.twin, topics: r.twin, checks: r.checks}, nil
	})
	if err != nil {
		return err
	}
	resume, err := p.Open(ctx)
	if err != nil {
		return err
	}
	r.resumes = append(r.resumes, resume)
	if ids := r.twin.pendingBelow(p.term); len(ids) > 0 {
		return fmt.Errorf("I7: halves %v of older terms are pending after opening %d: %w", ids, opening, errBroken)
	}
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	err = r.publish(ctx, p, resume)
	cancel()
	return errors.Join(err, ignoreCanceled(<-ran))
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

var errBroken = errors.New("an invariant is broken")

func (r *rig) publish(ctx context.Context, p *Publisher, resume pipeline.Resume) error {
	src := openScript(r.s, resume, r.chunk)
	if err := p.Declare(ctx, src.declared()); err != nil {
		return err
	}
	for items := src.next(); items != nil; items = src.next() {
		for _, it := range items {
			if it.Kind != event.KindRow || it.Op == event.OpRead {
				continue
			}
			id := it.Identity()
			id.Tx = it.Table.Name.String() + " " + id.Tx
			if was, ok := r.minted[id]; ok && was != it.Seq && was.Epoch() == it.Seq.Epoch() {
				return fmt.Errorf("I6: %s was %d and is %d now: %w", id, was, it.Seq, errBroken)
			}
			r.minted[id] = it.Seq
		}
		if err := p.Add(ctx, items); err != nil {
			return err
		}
	}
	return p.Flush(ctx)
}

// run opens publishers until one comes to the script's end, then checks.
func (r *rig) run(ctx context.Context) error {
	for opening := 0; ; opening++ {
		err := r.once(ctx, opening)
		if err == nil {
			r.twin.arrive()
			return check(r.twin, r.s, "p")
		}
		if errors.Is(err, errBroken) || opening > 200 {
			return err
		}
		if opening > 100 && !errors.Is(err, errCrash) && !errors.Is(err, errLate) {
			return err
		}
		if r.between != nil {
			r.between(opening)
		}
	}
}

func TestScriptIsPublishedWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(seed(t), 0))
	for range 20 {
		if err := newRig(newScript(r, 40), tight(r)).run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrashBetweenEveryTwoSteps abandons the publisher at each request: before it is
// sent, when its answer is lost, and so that it arrives when the next publisher is at
// work.
func TestCrashBetweenEveryTwoSteps(t *testing.T) {
	s := seed(t)
	steps := 0
	for k := 0; ; k++ {
		rng := rand.New(rand.NewPCG(s, 7))
		rig := newRig(newScript(rng, 25), tight(rng))
		var n atomic.Int64
		how := k % 3
		rig.hook = func(opening int, step string, after bool) error {
			if opening == 1 && after && step == "open" {
				go rig.twin.arrive()
			}
			if opening > 0 || after != (how == 1) {
				return nil
			}
			if n.Add(1) == int64(k/3+1) {
				if how == 2 {
					return errLate
				}
				return errCrash
			}
			return nil
		}
		if err := rig.run(t.Context()); err != nil {
			t.Fatalf("crash %d at step %d: %v", how, k/3, err)
		}
		if n.Load() < int64(k/3+1) {
			break
		}
		steps = k/3 + 1
	}
	t.Logf("%d steps, each crashed in three ways", steps)
}

// TestManyCrashes crashes at random, also while the next publisher settles.
func TestManyCrashes(t *testing.T) {
	s := seed(t)
	for i := range 60 {
		rng := rand.New(rand.NewPCG(s, uint64(i)))
		rig := newRig(newScript(rng, 30), tight(rng))
		chance := 5 + rng.IntN(60)
		rig.hook = func(opening int, step string, after bool) error {
			if opening > 40 {
				return nil
			}
			if rand.IntN(4) == 0 {
				go rig.twin.arrive()
			}
			if rand.IntN(chance) == 0 {
				if !after && rand.IntN(2) == 0 {
					return errLate
				}
				return errCrash
			}
			return nil
		}
		if err := rig.run(t.Context()); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}
