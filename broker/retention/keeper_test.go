package retention

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// rig is a store whose log may be one file long, and what groups have read of it.
type rig struct {
	*store.Store
	t       *testing.T
	offsets *offsets.Table
	reg     *prometheus.Registry
	out     *lines
	next    int
}

// lines is what was logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

const fileSize = 8192

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t, offsets: offsets.New(100), reg: prometheus.NewRegistry(), out: &lines{}}
	c := store.DefaultConfig()
	c.Dir, c.FlushDiskType = "/store", store.FlushAsync
	c.FileSizeCommitLog, c.FileSizeConsumeQueue, c.MaxMessageSize, c.MessageIndexEnable = fileSize, 2000, 1024, false
	c.RetentionBytes, c.RetentionInterval, c.FlushInterval = 1, time.Millisecond, time.Millisecond
	var err error
	if r.Store, err = store.Open(c, vfs.NewMem(), nil, nil); err != nil {
		t.Fatal(err)
	}
	r.HoldRetention(New(cfg, Deps{
		Log: r.Store, Offsets: r.offsets, Metrics: r.reg, Logger: slog.New(slog.NewTextHandler(r.out, nil)),
		Owner: func(topic string) string { return map[string]string{"owned": "shop", "too": "shop"}[topic] },
	}).Keep)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// put appends n messages of some 300 bytes to a topic and waits until they can be read.
func (r *rig) put(topic string, n int) {
	r.t.Helper()
	for range n {
		r.next++
		rec := &message.Record{Topic: topic, Body: fmt.Appendf(nil, "%d %s", r.next, strings.Repeat("x", 200))}
		done := make(chan store.PutResult, 1)
		r.Put(&store.PutRequest{Record: rec, Done: func(p store.PutResult) { done <- p }})
		if p := <-done; p.Err != nil {
			r.t.Fatal(p.Err)
		}
	}
	if err := r.WaitDispatched(r.t.Context(), r.MaxPhysical()); err != nil {
		r.t.Fatal(err)
	}
}

// fillTo appends messages that nobody needs until the log ends behind an offset.
func (r *rig) fillTo(phys int64) {
	r.t.Helper()
	for r.MaxPhysical() < phys {
		r.put("free", 1)
	}
}

func (r *rig) commit(topic, group string, offset int64) {
	r.t.Helper()
	if err := r.offsets.Commit(offsets.Key{Topic: topic, Group: group}, 0, offset); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) min(topic string) int64 {
	first, _, _ := r.QueueRange(topic, 0)
	return first
}

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.After(25 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("waited in vain: %s; the queues begin at %d and %d\n%s", what, r.min("owned"), r.min("too"), r.out.b.String())
		}
	}
}

// metric is a figure's value for a group, 0 where there is none.
func (r *rig) metric(name, topic, group string) float64 {
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() == name && l[1].GetValue() == topic && l[0].GetValue() == group {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestWhatTheSlowestSinkNeedsStays(t *testing.T) {
	r := newRig(t, Config{Bytes: 1 << 30})
	r.commit("owned", "shop--fast", 190)
	r.commit("owned", "shop--slow", 50)
	r.put("owned", 200)
	r.eventually("what all have read goes", func() bool { return r.min("owned") > 0 })
	// The message before the one that a reader goes on at is there when he begins again.
	for _, next := range []int64{50, 51, 90, 150} {
		r.commit("owned", "shop--slow", next)
		r.eventually("what is read by then goes", func() bool { return r.min("owned") > next-1-40 })
		if first := r.min("owned"); first > next-1 {
			t.Fatalf("the queue begins at %d, the slowest goes on at %d", first, next)
		}
	}
	r.eventually("it is told what is held", func() bool { return r.metric("millrace_retention_held_bytes", "owned", "shop--slow") > 0 })
	if n := r.metric("millrace_retention_released_total", "owned", "shop--slow"); n != 0 {
		t.Errorf("%v files were taken from it", n)
	}
	r.commit("owned", "shop--slow", 200)
	r.commit("owned", "shop--fast", 200)
	r.put("too", 1)
	r.eventually("who has read everything holds nothing", func() bool { return r.MinPhysical() > r.MaxPhysical()-2*fileSize })
}

func TestOthersHoldNothing(t *testing.T) {
	for name, commit := range map[string]func(*rig){
		"nobody":                          func(*rig) {},
		"a group of another name":         func(r *rig) { r.commit("owned", "analysts", 1) },
		"another pipeline's group":        func(r *rig) { r.commit("owned", "shop2--lake", 1) },
		"a group on a topic of everybody": func(r *rig) { r.commit("free", "shop--lake", 1) },
		"a queue that is not there":       func(r *rig) { r.commit("too", "shop--lake", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Config{Bytes: 1 << 30})
			commit(r)
			r.put("owned", 60)
			r.put("free", 60)
			r.eventually("the log is as short as it may be", func() bool { return r.MinPhysical() > r.MaxPhysical()-2*fileSize })
		})
	}
}

func TestTheBoundEndsTheHoldOfItsTableAlone(t *testing.T) {
	r := newRig(t, Config{Bytes: 6 * fileSize})
	r.put("owned", 10)
	r.commit("owned", "shop--lake", 3)
	r.fillTo(3 * fileSize)
	r.put("too", 30)
	r.commit("too", "shop--lake", 29)
	r.fillTo(5 * fileSize)
	r.eventually("it is said that a hold is about to end", func() bool { return r.out.count("will be removed soon") == 1 })
	if r.min("owned") > 2 {
		t.Fatalf("the queue begins at %d before the bound", r.min("owned"))
	}
	r.fillTo(6*fileSize + 1000)
	r.eventually("the hold ends at the bound", func() bool {
		return r.metric("millrace_retention_released_total", "owned", "shop--lake") > 0 && r.min("owned") > 3
	})
	if first := r.min("too"); first > 28 {
		t.Errorf("the other table's queue begins at %d", first)
	}
	if n := testutil.CollectAndCount(r.reg, "millrace_retention_released_total"); n != 1 {
		t.Errorf("%d tables lost what they needed", n)
	}
	if r.out.count("are removed; its table needs a new snapshot") == 0 {
		t.Error("nobody was told")
	}
	// What is gone holds nothing, and the table is held again when it goes on.
	_, end, _ := r.QueueRange("owned", 0)
	r.put("owned", 5)
	r.commit("owned", "shop--lake", end+1)
	r.commit("too", "shop--lake", 30)
	r.fillTo(r.MaxPhysical() + 2*fileSize)
	r.eventually("what was lost is not waited for", func() bool { return r.min("too") == 30 })
	if first := r.min("owned"); first > end {
		t.Errorf("the queue begins at %d, its reader goes on at %d", first, end+1)
	}
}

func TestADiskThatNeedsRoomWaitsForNobody(t *testing.T) {
	k := New(Config{}, Deps{})
	for _, c := range []struct {
		f    store.Expired
		cfg  Config
		want float64
	}{
		{store.Expired{Why: store.ExpiredDisk}, Config{Time: time.Hour, Bytes: 1 << 30}, 1},
		{store.Expired{Why: store.ExpiredTime, Age: 90 * time.Minute}, Config{Time: 2 * time.Hour, Bytes: 1}, 0.75},
		{store.Expired{Why: store.ExpiredSize, Bytes: 50, Age: time.Hour}, Config{Time: 1, Bytes: 100}, 0.5},
		{store.Expired{Why: store.ExpiredTime, Age: time.Hour}, Config{}, 0},
	} {
		k.cfg = c.cfg
		if got := k.part(c.f); got != c.want {
			t.Errorf("%+v of %+v: %v, want %v", c.f, c.cfg, got, c.want)
		}
	}
}
