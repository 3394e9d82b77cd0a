package txn_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/txn"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/message"
)

// promises is what a broker has said so far, and what it was asked.
type promises struct {
	mu     sync.Mutex
	term   uint64            // the highest that was answered
	asked  uint64            // the highest that was asked for
	acked  map[string]string // half → "stored", "committed at n", "rolled back"
	halves map[string]halfOf
	sent   map[int32]uint64 // the highest mr_hi answered, by queue
}

// halfOf is a half of the workload.
type halfOf struct {
	txn.Ref
	queue  int32
	hi     uint64
	free   bool // an ordinary producer's
	offset int64
}

func newPromises() *promises {
	return &promises{acked: map[string]string{}, halves: map[string]halfOf{}, sent: map[int32]uint64{}}
}

func (p *promises) clone() *promises {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &promises{term: p.term, asked: p.asked, acked: maps.Clone(p.acked), halves: maps.Clone(p.halves), sent: maps.Clone(p.sent)}
}

func (p *promises) say(half, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked[half] = what
}

func crashConfig() store.Config {
	c := store.DefaultConfig()
	c.Dir = "/store"
	c.FileSizeCommitLog = 8192
	c.FileSizeConsumeQueue = 20 * 50
	c.IndexSlots, c.IndexEntries = 64, 1024
	c.PreWriteBytes, c.CheckpointBytes = 8192, 8192
	c.FileReservedTime = 0
	c.RetentionInterval = time.Millisecond
	c.RetentionBytes = 4 * c.FileSizeCommitLog
	c.StoreHost = netip.MustParseAddrPort("10.0.0.1:10911")
	return c
}

// rig is a running store with its transactions.
type rig struct {
	t     testing.TB
	store *store.Store
	reg   *writer.Registry
	txn   *txn.Service
	stop  func()
}

func startRig(t testing.TB, fsys vfs.FS, cfg store.Config) (*rig, error) {
	st, err := store.Open(cfg, fsys, nil, nil)
	if err != nil {
		return nil, err
	}
	topics := declared{}
	for _, topic := range []string{"p-a"} {
		topics[topic] = writer.Owned{Topic: topic, Queues: 2}
	}
	r := &rig{t: t, store: st}
	r.reg = writer.New(writer.DefaultConfig(), topics, st, nil)
	tcfg := txn.DefaultConfig()
	tcfg.Remembered = 4
	if r.txn, err = txn.Open(tcfg, txn.Deps{Log: st, Writers: r.reg, FS: fsys, SnapshotFile: "/store/txn.json"}); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r, nil
}

func await[T any](start func(done func(T))) T {
	ch := make(chan T, 1)
	start(func(v T) { ch <- v })
	return <-ch
}

type opened struct {
	state  writer.State
	halves []txn.HalfState
	err    error
}

func (r *rig) open(term uint64, opener string) opened {
	return await(func(done func(opened)) {
		r.txn.OpenWriter(writer.Opening{Writer: "p", Term: term, Opener: opener}, nil, func(s writer.State, h []txn.HalfState, err error) {
			done(opened{s, h, err})
		})
	})
}

// half stores a half and tells its name and half-queue offset.
func (r *rig) half(name, topic string, queue int32, props []byte) (halfOf, error) {
	props = message.AppendProperty(props, message.PropertyUniqueKey, "K"+name)
	props = message.AppendProperty(props, message.PropertyProducerGroup, "g")
	rec := &message.Record{Topic: topic, QueueID: queue, Body: []byte(name), Properties: props}
	res := await(func(done func(store.PutResult)) {
		if err := r.txn.PutHalf(rec, nil, done); err != nil {
			done(store.PutResult{Err: err})
		}
	})
	return halfOf{Ref: txn.Ref{First: res.PhysicalOffset, Key: "K" + name, TransactionID: "K" + name},
		offset: res.QueueOffset, queue: queue}, res.Err
}

func (r *rig) send(queue int32, term, hi, prev uint64, body string) error {
	rec := &message.Record{Topic: "p-a", QueueID: queue, Body: []byte(body), Properties: linkProps("p", term, hi, hi, prev)}
	gate, err := r.reg.Gate(rec)
	if err != nil {
		return err
	}
	return await(func(done func(store.PutResult)) {
		r.store.Put(&store.PutRequest{Record: rec, Gate: gate, MustBeDurable: true, Done: done})
	}).Err
}

func (r *rig) resolve(term uint64, commit, rollback []txn.Ref) ([]txn.Outcome, error) {
	type answer struct {
		o   []txn.Outcome
		err error
	}
	a := await(func(done func(answer)) {
		r.txn.Resolve(txn.ResolveRequest{Writer: "p", Term: term, Commit: commit, Rollback: rollback}, nil,
			func(o []txn.Outcome, err error) { done(answer{o, err}) })
	})
	return a.o, a.err
}

func (r *rig) end(h halfOf, commit bool) txn.Outcome {
	return await(func(done func(txn.Outcome)) {
		r.txn.End(txn.EndRequest{Ref: h.Ref, Commit: commit, Group: "g", QueueOffset: h.offset}, done)
	})
}

// workload opens twice, stores halves, resolves some, sends so much that retention has to
// carry halves and openings forward, and keeps the promises up to date.
func workload(t testing.TB, fsys vfs.FS, cfg store.Config, p *promises) {
	r, err := startRig(t, fsys, cfg)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func(term uint64) {
		p.mu.Lock()
		p.asked = term
		p.mu.Unlock()
		must(r.open(term, "o"+strconv.FormatUint(term, 10)).err)
		p.mu.Lock()
		p.term = term
		p.mu.Unlock()
	}
	store := func(name string, queue int32, term, hi, prev uint64) {
		h, err := r.half(name, "p-a", queue, linkProps("p", term, hi, hi, prev))
		must(err)
		h.hi = hi
		p.mu.Lock()
		p.halves[name] = h
		p.acked[name] = "stored"
		p.mu.Unlock()
	}
	resolve := func(term uint64, commit, rollback []string) {
		var c, rb []txn.Ref
		for _, n := range commit {
			c = append(c, p.halves[n].Ref)
		}
		for _, n := range rollback {
			rb = append(rb, p.halves[n].Ref)
		}
		out, err := r.resolve(term, c, rb)
		must(err)
		for i, n := range append(slices.Clone(commit), rollback...) {
			p.say(n, describe(out[i]))
		}
	}
	open(1)
	store("a1", 0, 1, 10, 0)
	store("a2", 0, 1, 20, 10)
	store("b1", 1, 1, 11, 0)
	store("x", 1, 1, 99, 50)
	store("last", 1, 1, 5000, 4999) // pending to the end
	resolve(1, []string{"a1", "a2", "b1"}, []string{"x"})
	free, err := r.half("free", "free", 0, nil)
	must(err)
	free.free = true
	p.mu.Lock()
	p.halves["free"], p.acked["free"] = free, "stored"
	p.mu.Unlock()
	store("a3", 0, 1, 30, 20)
	store("a4", 0, 1, 40, 30)
	store("b2", 1, 1, 21, 11)
	open(3)
	resolve(3, []string{"a3", "b2", "a4"}, nil)
	r.txn.Snapshot()
	prev := uint64(40)
	for i := range 40 {
		hi := prev + 10
		must(r.send(0, 3, hi, prev, strings.Repeat("x", 1000)))
		p.mu.Lock()
		p.sent[0] = hi
		p.mu.Unlock()
		prev = hi
		if i == 20 {
			p.say("free", describe(r.end(free, true)))
		}
	}
	r.txn.FlushOps()
	open(4)
	r.stop()
}

// verify opens what a crash left and holds it against the promises.
func verify(t testing.TB, fsys vfs.FS, cfg store.Config, p *promises) error {
	cfg.RetentionBytes = 0
	r, err := startRig(t, fsys, cfg)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer r.stop()
	if err := r.chains(p); err != nil {
		return err
	}
	// The fence: what was answered stays closed, and nobody else's opening appears.
	term := r.reg.Term("p")
	if term < p.term || term > p.asked {
		return fmt.Errorf("term %d, answered was %d, asked %d", term, p.term, p.asked)
	}
	var stale *writer.StaleError
	if p.term > 0 {
		if res := r.open(p.term, "another"); !errors.As(res.err, &stale) {
			return errors.Join(fmt.Errorf("term %d can be opened again", p.term), res.err)
		}
	}
	o := r.open(p.asked+1, "new")
	if o.err != nil {
		return fmt.Errorf("open: %w", o.err)
	}
	if err := r.halvesKept(p, o.halves); err != nil {
		return err
	}
	return r.goOn(p, o)
}

// chains: in each queue the links are unbroken, the numbers rise, what was answered is
// there.
func (r *rig) chains(p *promises) error {
	for q := range int32(2) {
		var prev uint64
		low, high, _ := r.store.QueueRange("p-a", q)
		for at := low; at < high; at++ {
			res, err := r.store.Get("p-a", q, at, store.GetOptions{MaxMsgs: 1})
			if err != nil || res.Count != 1 {
				return errors.Join(fmt.Errorf("queue %d at %d: status %v, %d messages", q, at, res.Status, res.Count), err)
			}
			rec, _, err := message.ParseRecord(res.Buf)
			if err != nil {
				return err
			}
			l, err := writer.ParseLink(rec.Properties)
			if err != nil {
				return err
			}
			if (prev != 0 || low == 0) && l.Prev != prev || l.Hi <= prev {
				return fmt.Errorf("queue %d at %d: %d follows %d, the message before is %d", q, at, l.Hi, l.Prev, prev)
			}
			prev = l.Hi
		}
		if prev < p.sent[q] {
			return fmt.Errorf("queue %d ends with %d, %d was acknowledged", q, prev, p.sent[q])
		}
	}
	return nil
}

// halvesKept: a half that was stored is undecided or has the outcome that was told.
func (r *rig) halvesKept(p *promises, undecided []txn.HalfState) error {
	for name, said := range p.acked {
		h := p.halves[name]
		listed := slices.ContainsFunc(undecided, func(u txn.HalfState) bool { return u.ID == txn.HalfID(h.Key, h.First) })
		if said != "stored" && listed {
			return fmt.Errorf("half %s is undecided, it was answered %q", name, said)
		}
	}
	return nil
}

// goOn commits every half that may be committed in order, twice, and checks that each is
// visible once and answered alike.
func (r *rig) goOn(p *promises, o opened) error {
	term := o.state.Term
	if _, err := r.resolve(term-1, []txn.Ref{{First: -1, Key: "none", TransactionID: "none"}}, nil); !errors.Is(err, writer.ErrFenced) {
		return errors.Join(errors.New("RESOLVE under a closed term is not fenced"), err)
	}
	if err := r.send(0, max(term-1, 1), 1<<40, 1<<40-1, "late"); term > 1 && !errors.Is(err, writer.ErrFenced) {
		return fmt.Errorf("send under a closed term: %w", err)
	}
	first := map[string]string{}
	for range 2 {
		for _, name := range []string{"a1", "a2", "a3", "a4", "b1", "b2", "x", "free"} {
			said, ok := p.acked[name]
			if !ok {
				continue
			}
			h := p.halves[name]
			var got txn.Outcome
			if h.free {
				got = r.end(h, true)
			} else {
				out, err := r.resolve(term, []txn.Ref{h.Ref}, nil)
				if err != nil {
					return err
				}
				got = out[0]
			}
			told := describe(got)
			gone := got.Verdict == txn.Gone && h.First < r.store.MinPhysical()
			if said != "stored" && told != said && !gone {
				return fmt.Errorf("half %s: %q, it was answered %q", name, told, said)
			}
			if said == "stored" && got.Verdict == txn.Gone && !gone {
				return fmt.Errorf("half %s was stored and is gone", name)
			}
			if before, ok := first[name]; ok && before != told && !gone {
				return fmt.Errorf("half %s: %q, then %q", name, before, told)
			}
			first[name] = told
		}
	}
	if _, ok := p.acked["last"]; ok && !slices.ContainsFunc(o.halves, func(u txn.HalfState) bool { return u.TransactionID == "Klast" }) {
		return errors.New("the half that nobody decided is lost")
	}
	return r.chains(p)
}

func TestACrashAtAnyStepKeepsEveryPromise(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv("MILLRACE_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MILLRACE_SEED=%d", seed)
	for _, flush := range []store.FlushDiskType{store.FlushSync, store.FlushAsync} {
		t.Run(string(flush), func(t *testing.T) {
			cfg := crashConfig()
			cfg.FlushDiskType = flush
			cfg.FlushInterval = time.Millisecond
			type state struct {
				name string
				fs   *vfs.Mem
				said *promises
			}
			var states []state
			var mu sync.Mutex
			p, base, steps := newPromises(), vfs.NewMem(), 0
			workload(t, errorfs.Wrap(base, errorfs.Func(func(op errorfs.Op) errorfs.Action {
				if !op.Kind.Changes() {
					return errorfs.Action{}
				}
				mu.Lock()
				defer mu.Unlock()
				steps++
				said := p.clone()
				modes := []vfs.CrashMode{vfs.CrashMode(steps % 3)}
				for _, mode := range modes {
					states = append(states, state{fmt.Sprintf("before step %d (%s %s), mode %d", steps, op.Kind, op.Path, mode),
						base.CrashClone(vfs.CrashOpts{Mode: mode, Seed: seed + uint64(steps)}), said})
				}
				return errorfs.Action{}
			})), cfg, p)
			t.Logf("%d steps, %d crash states", steps, len(states))
			for _, s := range states {
				if flush == store.FlushAsync {
					// An ordinary producer's half is only as safe as the flush.
					delete(s.said.acked, "free")
				}
				if err := verify(t, s.fs, cfg, s.said); err != nil {
					t.Fatalf("crash %s: %v", s.name, err)
				}
			}
		})
	}
}
