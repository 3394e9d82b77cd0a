package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/objects"
	lake "github.com/millrace/millrace/sinks/parquet"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

const pipelineFile = `version: 1
name: orders
source: {type: script}
group: {bytes: 64KiB, interval: 2ms}
sinks:
- {name: check, type: target, flush: {rows: 20, bytes: 1MiB, interval: 10ms}}
- {name: lake, type: parquet, path: lake, current: {interval: 1ms}, flush: {rows: 40, bytes: 1MiB, interval: 20ms}}
`

// world is everything that is durable: the source, the broker's disk, the two targets.
type world struct {
	t       testing.TB
	ctx     context.Context
	script  *pipelinetest.Script
	cluster *inprocess.Cluster
	plan    inprocess.Plan
	target  *pipelinetest.Target
	steps   atomic.Pointer[pipelinetest.Steps] // of the daemon that runs
	writes  bool                               // steps are those of the targets, not of the clients
	disk    *vfs.Mem                           // the lake's
	// found are states of the lake that a crash left, for I10.
	found []*vfs.Mem
	// wanted reads what the targets are to hold; nil is the script's tables as they are.
	wanted func() pipeline.Reader
}

func (w *world) source() pipeline.Reader {
	if w.wanted != nil {
		return w.wanted()
	}
	return w.script.Reader()
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, ctx: t.Context(), script: pipelinetest.Everything(seed), target: pipelinetest.NewTarget(), disk: vfs.NewMem()}
	w.cluster = inprocess.New(t, nil)
	w.plan = inprocess.Plan{
		Dir: t.TempDir(),
		Source: func(*spec.Pipeline) (pipeline.Source, error) {
			return pipelinetest.NewSource(w.script, pipelinetest.SourceConfig{}), nil
		},
		Target: func(*spec.Pipeline, spec.Sink) (pipeline.Sink, error) { return w.target.Sink(), nil },
	}
	w.plan.Write(t, "orders.yaml", pipelineFile)
	w.target.Fault = func(string, event.TableName) error { return w.write() }
	w.steps.Store(&pipelinetest.Steps{})
	return w
}

// write is a step of a target.
func (w *world) write() error {
	s := w.steps.Load()
	if w.writes {
		return s.Take()
	}
	if s.Dead() {
		return pipelinetest.ErrStopped
	}
	return nil
}

// life is one daemon.
type life struct {
	*inprocess.Daemon
	w     *world
	steps *pipelinetest.Steps
}

// start runs a daemon that stops at a step; before tells requests from answers.
func (w *world) start(steps *pipelinetest.Steps, before bool) *life {
	w.steps.Store(steps)
	p := w.plan
	if !w.writes {
		p.Options = steps.Options(before)
	}
	p.Disk = errorfs.Wrap(w.disk, errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if !op.Kind.Changes() {
			if steps.Dead() {
				return errorfs.Action{Err: pipelinetest.ErrStopped}
			}
			return errorfs.Action{}
		}
		return errorfs.Action{Err: w.write()}
	}))
	return &life{Daemon: w.cluster.Daemon(p), w: w, steps: steps}
}

// queues are the data queues and their last numbers.
func (w *world) ends(r *client.Reader) (map[pipeline.QueueID]event.Seq, error) {
	ends := map[pipeline.QueueID]event.Seq{}
	for table, n := range map[string]int{"orders": 4, "order items": 4, "log": 4} {
		topic := event.TopicName("orders", event.TableName{DB: "shop", Table: table})
		for i := range n {
			q := message.Queue{Topic: topic, BrokerName: inprocess.BrokerName, QueueID: int32(i)}
			end, err := r.Max(w.ctx, q)
			if err != nil {
				break // the topic has fewer queues
			}
			if end == 0 {
				continue
			}
			got, err := r.Pull(w.ctx, q, end-1, client.PullOptions{MaxMsgs: 1})
			if err != nil || len(got.Messages) == 0 {
				return nil, fmt.Errorf("queue %v at %d: %d messages, %w", q, end-1, len(got.Messages), err)
			}
			var s event.Slice
			if err := event.ParseSlice(got.Messages[0].Body, &s); err != nil {
				return nil, err
			}
			ends[pipeline.QueueID{Broker: q.BrokerName, Topic: topic, Queue: i}] = s.Hi
		}
	}
	return ends, nil
}

// whole says whether everything has gone all the way.
func (w *world) whole(l *life, r *client.Reader) (bool, string) {
	if n := w.script.Len(); n != w.script.Shown() {
		return false, fmt.Sprintf("%d of %d transactions are in the log", w.script.Shown(), n)
	}
	for _, name := range w.script.Names() {
		t, ok := l.Table(name.String())
		if !ok || t.State != pipeline.StateRunning || t.Snapshot != 100 {
			return false, fmt.Sprintf("table %s is %s, %v%%: %s", name, t.State, t.Snapshot, t.Reason)
		}
		got, err := verify.Compare(w.ctx, w.source(), w.target.Reader(), name)
		if err != nil || !got.Equal() {
			return false, fmt.Sprintf("table %s: %+v, %v", name, got, err)
		}
	}
	ends, err := w.ends(r)
	if err != nil {
		return false, err.Error()
	}
	for _, name := range w.script.Names() {
		var marks, txns []int64
		for _, m := range w.target.Marks(name) {
			if ends[m.Queue] != m.Seq {
				return false, fmt.Sprintf("queue %v is at %d, the mark at %d", m.Queue, ends[m.Queue], m.Seq)
			}
			marks = append(marks, int64(m.Seq))
		}
		log, err := delta.Open(w.ctx, objects.NewLocal(w.disk, "lake"), changes(name))
		if err != nil {
			return false, err.Error()
		}
		for _, x := range log.Snapshot().Txns {
			txns = append(txns, x.Version)
		}
		slices.Sort(marks)
		slices.Sort(txns)
		if !slices.Equal(marks, txns) {
			return false, fmt.Sprintf("the lake's %s is at %d, the other target at %d", name, txns, marks)
		}
	}
	return true, ""
}

func changes(t event.TableName) string {
	return path.Join("orders", lake.DirName(t), "changes")
}

// finish runs a daemon until everything has gone all the way, and stops it.
func (w *world) finish() (*pipelinetest.Steps, error) {
	steps := &pipelinetest.Steps{}
	l := w.start(steps, true)
	err := w.await(l, nil)
	return steps, errors.Join(err, l.Stop())
}

// await waits until all is done, or until stopped is closed.
func (w *world) await(l *life, stopped <-chan struct{}) error {
	r := w.cluster.Reader()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stopped:
			return nil
		case <-deadline.C:
			_, why := w.whole(l, r)
			return fmt.Errorf("it does not come to its end: %s; %+v", why, l.Statuses())
		case <-tick.C:
			if err := w.target.Err(); err != nil {
				return err
			}
			if ok, _ := w.whole(l, r); ok {
				return nil
			}
		}
	}
}

// check looks at everything once nothing runs but the broker.
func (w *world) check() error {
	r := w.cluster.Reader()
	audit, err := pipelinetest.RunAudit(w.ctx, r, "orders", inprocess.BrokerName, w.script)
	if err != nil {
		return err
	}
	if err := errors.Join(w.target.Err(), w.pending()); err != nil {
		return err
	}
	for _, disk := range append(w.found, w.disk) {
		if err := w.holds(audit, disk); err != nil {
			return err
		}
	}
	return w.compare()
}

// pending is I7: a new opening finds no half undecided.
func (w *world) pending() error {
	out, err := client.NewWriter("orders", client.WithNameServers(w.cluster.Names))
	if err != nil {
		return err
	}
	if err := out.Start(w.ctx); err != nil {
		return err
	}
	defer out.Close(w.ctx)
	st, err := out.Open(w.ctx, inprocess.BrokerName, 1<<40, "audit")
	if err != nil {
		return err
	}
	if len(st.Halves) > 0 {
		return fmt.Errorf("I7: %d halves are undecided: %+v", len(st.Halves), st.Halves)
	}
	return nil
}

// holds is I9 and I10 of one state of the lake.
func (w *world) holds(audit *pipelinetest.Audit, disk *vfs.Mem) error {
	disk = disk.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep})
	for _, name := range w.script.Names() {
		ids, err := identities(w.ctx, disk, changes(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("changes/ of %s: %w", name, err)
		}
		for id, n := range ids {
			if n > 1 {
				return fmt.Errorf("I9: changes/ of %s holds %s %d times", name, id, n)
			}
		}
		marks, err := lakeMarks(w.ctx, disk, name)
		if err != nil {
			return err
		}
		if err := audit.Holds(marks, func(id event.Identity) bool { return ids[id.String()] > 0 }); err != nil {
			return err
		}
	}
	return nil
}

func lakeSink(disk vfs.FS) (*lake.Sink, error) {
	c := lake.DefaultConfig()
	c.Path, c.Current.Interval = "lake", lake.Interval(time.Millisecond)
	return lake.New(c, disk, nil, nil)
}

func lakeMarks(ctx context.Context, disk *vfs.Mem, name event.TableName) ([]pipeline.QueueMark, error) {
	sink, err := lakeSink(disk)
	if err != nil {
		return nil, err
	}
	t, err := sink.OpenTable(ctx, pipeline.Claim{Pipeline: "orders", Sink: "lake", Table: name, Generation: 1 << 40, Keyless: name.Table == "log"})
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return t.Marks(), nil
}

// identities counts the rows of changes/ by what they are.
func identities(ctx context.Context, disk *vfs.Mem, dir string) (map[string]int, error) {
	log, err := delta.Open(ctx, objects.NewLocal(disk, "lake"), dir)
	if err != nil {
		return nil, err
	}
	ids := map[string]int{}
	for _, p := range log.Snapshot().Paths() {
		data, err := vfs.ReadFile(disk, path.Join("lake", dir, p))
		if err != nil {
			return nil, err
		}
		type row struct {
			Src string `parquet:"_src,optional"`
			Op  string `parquet:"_op,optional"`
		}
		rows, err := parquet.Read[row](bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		for _, r := range rows {
			if r.Op != "x" {
				ids[r.Src]++
			}
		}
	}
	return ids, nil
}

// compare is I8 for the lake: its current/ is merged to its end and read as a user would.
func (w *world) compare() error {
	sink, err := lakeSink(w.disk)
	if err != nil {
		return err
	}
	for _, name := range w.script.Names() {
		t, err := sink.OpenTable(w.ctx, pipeline.Claim{Pipeline: "orders", Sink: "lake", Table: name, Generation: 1 << 41, Keyless: name.Table == "log"})
		if err != nil {
			return err
		}
		err = w.merged(t, name)
		if err = errors.Join(err, t.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) merged(t pipeline.SinkTable, name event.TableName) error {
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := t.Maintain(w.ctx); err != nil {
			return err
		}
		out := w.t.TempDir()
		if err := copyOut(w.disk, path.Join("lake", "orders"), filepath.Join(out, "orders")); err != nil {
			return err
		}
		got, err := verify.Compare(w.ctx, w.source(), readback.New(out, "orders"), name)
		if err == nil && got.Equal() {
			return nil
		}
		select {
		case <-deadline.C:
			return fmt.Errorf("I8: the lake's %s: %+v, %w", name, got, err)
		case <-tick.C:
		}
	}
}

func copyOut(disk vfs.FS, from, to string) error {
	info, err := disk.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		data, err := vfs.ReadFile(disk, from)
		if errors.Is(err, fs.ErrNotExist) { // a merge removed it
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o600)
	}
	if strings.HasSuffix(from, "/changes") {
		return nil
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	names, err := disk.ReadDir(from)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := copyOut(disk, path.Join(from, n), filepath.Join(to, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
