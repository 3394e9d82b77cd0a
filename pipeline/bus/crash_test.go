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
	resumes []pipeline.Resume
	log     *slog.Logger
	lost    loss
	read    int // the furthest transaction that any opening read
}

func newRig(s *script, cfg PublisherConfig) *rig {
	cfg.Pipeline, cfg.Broker = "p", "b"
	cfg.BaseInterval, cfg.PositionInterval = time.Hour, time.Hour
	return &rig{twin: newTwin(), s: s, cfg: cfg, chunk: 3, log: slog.New(slog.DiscardHandler)}
}

// tight makes groups and slices small, so that a short script has every kind of them.
func tight(r *rand.Rand) PublisherConfig {
	c := PublisherConfig{GroupBytes: 100 + r.IntN(900), SliceBytes: 150 + r.IntN(400), GroupInterval: time.Hour, BaseGroups: 3 + r.IntN(10),
		WindowGroups: 1 + r.IntN(4)}
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
	if resume.Position.IsZero() && r.lost != nothingLost {
		resume.Position.Pos, r.lost = uint64(r.read), positionLost // on from the log's present end
	}
	visible := r.twin.numbers()
	src := openScript(r.s, resume, r.chunk)
	src.asked = max(src.asked, r.read) // BEGIN is not emitted before the reader is where it was
	defer func() { r.read = max(r.read, src.tx) }()
	if err := p.Declare(ctx, src.declared()); err != nil {
		return err
	}
	for items := src.next(); items != nil; items = src.next() {
		for _, it := range items {
			if it.Kind != event.KindRow || it.Op == event.OpRead {
				continue
			}
			if was, ok := visible[tableIdentity{it.Table.Name, it.Identity()}]; ok && was != it.Seq && was.Epoch() == it.Seq.Epoch() {
				return fmt.Errorf("I6: %s of %s is visible as %d and is %d now: %w", it.Identity(), it.Table.Name, was, it.Seq, errBroken)
			}
		}
		if err := p.Add(ctx, items); err != nil {
			return err
		}
	}
	if err := p.Flush(ctx); err != nil {
		return err
	}
	return agree(p)
}

// run opens publishers until one comes to the script's end, then checks.
func (r *rig) run(ctx context.Context) error {
	for opening := 0; ; opening++ {
		err := r.once(ctx, opening)
		if err == nil {
			r.twin.arrive()
			return checkAfter(r.twin, r.s, "p", r.lost)
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

type tableIdentity struct {
	table event.TableName
	id    event.Identity
}

// numbers are those of all visible stream rows.
func (t *twin) numbers() map[tableIdentity]event.Seq {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[tableIdentity]event.Seq{}
	for _, q := range t.queues {
		for _, m := range q.messages {
			var s event.Slice
			if event.ParseSlice(m.m.Body, &s) != nil {
				continue // a record or a schema
			}
			for _, row := range s.Rows {
				out[tableIdentity{s.Table, event.Identity{Tx: s.Txs[row.Tx].ID, Index: row.Index, Part: row.Part}}] = row.Seq
			}
		}
	}
	return out
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

// faulty is a rig whose publishers crash, lose requests and answers, and are asked about
// their halves, at random.
func faulty(rng *rand.Rand) *rig {
	r := newRig(newScript(rng, 30), tight(rng))
	chance := 5 + rng.IntN(60)
	r.checks = make(chan client.Half, 8)
	r.hook = func(opening int, _ string, after bool) error {
		if opening > 40 {
			return nil
		}
		switch rand.IntN(8) {
		case 0, 1:
			go r.twin.arrive()
		case 2:
			r.ask()
		}
		if rand.IntN(chance) != 0 {
			return nil
		}
		switch rand.IntN(4) {
		case 0:
			return errOnce
		case 1:
			if !after {
				return errLate
			}
		}
		return errCrash
	}
	return r
}

// ask is a check-back for the oldest undecided half.
func (r *rig) ask() {
	r.twin.mu.Lock()
	defer r.twin.mu.Unlock()
	st := r.twin.stateLocked("p", "b", 0)
	if len(st.Halves) == 0 {
		return
	}
	select {
	case r.checks <- st.Halves[rand.IntN(len(st.Halves))]:
	default:
	}
}

// TestManyCrashes crashes at random, also while the next publisher settles.
func TestManyCrashes(t *testing.T) {
	s := seed(t)
	for i := range 60 {
		if err := faulty(rand.New(rand.NewPCG(s, uint64(i)))).run(t.Context()); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
	}
}
