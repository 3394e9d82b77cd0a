package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

// filed makes the rig's source follow the pipeline file: its queues and keys, and for each
// table whether the configuration captures it.
func (r *rig) filed(captured ...pipelinetest.Table) {
	names := map[event.TableName]bool{}
	for _, t := range captured {
		names[t.Name] = true
	}
	r.plan.Source = func(p *spec.Pipeline) (pipeline.Source, error) {
		return pipelinetest.NewSource(r.script, pipelinetest.SourceConfig{
			Captures: func(t event.TableName) bool { return names[t] },
			Route: func(t *event.Table) {
				x := p.Tables[t.Name.String()]
				if x.Queues > 0 {
					t.Queues = x.Queues
				}
				if len(x.Key) > 0 {
					t.KeyColumns = nil
				}
				for _, k := range x.Key {
					t.KeyColumns = append(t.KeyColumns, t.Schema.ColumnByName(k))
				}
			},
		}), nil
	}
	r.plan.Config = func(*spec.Pipeline) json.RawMessage {
		list := []string{}
		for _, t := range captured {
			list = append(list, t.Name.String())
		}
		b, _ := json.Marshal(list)
		return b
	}
}

// paused is the gauge of a table that stands.
func (r *rig) paused(t pipelinetest.Table) float64 {
	reg := prometheus.NewRegistry()
	reg.MustRegister(r.daemon.Collector())
	families, err := reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "millrace_table_paused" && l.GetName() == "table" && l.GetValue() == t.Name.String() {
					return m.GetGauge().GetValue()
				}
			}
		}
	}
	return -1
}

// TestAChangedRoutePausesItsTableAlone changes the queues, then the key, of one table in
// the file: it stands with the remedy until the file is put back; the other one flows.
func TestAChangedRoutePausesItsTableAlone(t *testing.T) {
	for _, c := range []struct{ tables, want string }{
		{"tables: {shop.orders: {queues: 5}}\n", "filled as 2 by the key (id), the pipeline file asks for 5 by (id)"},
		{"tables: {shop.orders: {queues: 1}}\n", "asks for 1 by (id)"},
		{"tables: {shop.orders: {key: [v]}}\n", "asks for 2 by (v)"},
	} {
		r := newRig(t)
		r.filed(r.orders, r.items)
		r.start()
		r.equal()
		r.streaming()
		r.stop()
		r.plan.Write(t, "orders.yaml", file+c.tables)
		r.script.Commit(r.orders.Put(1, "while it stands"), r.items.Put(2, "flows"))
		for opening := range 2 {
			r.start()
			r.waitFor("the pause", func() bool {
				return r.pipeline().State == pipeline.StateRunning && r.table(r.orders).State == pipeline.StatePaused
			})
			r.equal(r.items)
			s := r.table(r.orders)
			if s.State != pipeline.StatePaused || !strings.Contains(s.Reason, "route: ") || !strings.Contains(s.Reason, c.want) ||
				!strings.Contains(s.Reason, "shop.orders: {queues: 2, key: [id]}") {
				t.Errorf("%s, opening %d: %s, %q", c.tables, opening, s.State, s.Reason)
			}
			if p := r.pipeline(); p.State != pipeline.StateRunning || p.Errors != 0 {
				t.Errorf("%s: the pipeline is %s after %d errors: %s", c.tables, p.State, p.Errors, p.LastErr)
			}
			if r.paused(r.orders) != 1 || r.paused(r.items) != 0 {
				t.Errorf("%s: paused by metrics: %v and %v", c.tables, r.paused(r.orders), r.paused(r.items))
			}
			for _, verb := range []string{httpapi.Resume, httpapi.Snapshot, httpapi.Pause} {
				if _, err := r.daemon.Do(t.Context(), "orders", "shop.orders", verb); !errors.Is(err, httpapi.ErrState) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %s: %v", c.tables, verb, err)
				}
			}
			r.do("", httpapi.Resume) // of all tables that can be
			r.script.Commit(r.orders.Put(10+opening, "not now"), r.items.Put(10+opening, "now"))
			r.equal(r.items)
			if r.same(r.orders) {
				t.Error("the paused table goes on")
			}
			r.stop()
		}
		r.plan.Write(t, "orders.yaml", file)
		r.start()
		r.equal()
		r.streaming()
		if r.paused(r.orders) != 0 {
			t.Error("metrics say that it stands")
		}
		r.script.Commit(r.orders.Put(20, "again"), r.orders.Delete(1))
		r.equal()
		r.stop()
	}
}

// TestTablesComeAndGoWithTheFile leaves a table out of the file, and takes it in again
// after rows of it came and went unread: the target is as the source again.
func TestTablesComeAndGoWithTheFile(t *testing.T) {
	r := newRig(t)
	r.filed(r.orders)
	r.start()
	r.equal(r.orders)
	r.script.Commit(r.orders.Put(2, "a"), r.items.Put(2, "nobody reads it"))
	r.equal(r.orders)
	r.stop()

	r.filed(r.orders, r.items) // a new one
	r.start()
	r.equal()
	r.streaming()
	r.script.Commit(r.orders.Put(3, "a"), r.items.Put(3, "a"), r.items.Put(4, "to be deleted"))
	r.equal()
	r.stop()

	r.filed(r.orders) // gone
	r.script.Commit(r.items.Delete(4))
	for range 2 {
		r.script.Commit(r.items.Delete(3), r.items.Put(3, "unread"), r.orders.Put(3, "b"))
		r.start()
		r.waitFor("the table's end", func() bool {
			return r.pipeline().State == pipeline.StateRunning && r.table(r.items).State == pipeline.StateExcluded
		})
		r.equal(r.orders)
		if s := r.table(r.items); s.State != pipeline.StateExcluded || !strings.Contains(s.Reason, "not captured any more") {
			t.Errorf("left out: %s, %q", s.State, s.Reason)
		}
		if p := r.pipeline(); p.State != pipeline.StateRunning || p.Errors != 0 || r.paused(r.items) != 0 {
			t.Errorf("the pipeline is %s after %d errors, paused %v", p.State, p.Errors, r.paused(r.items))
		}
		if _, err := r.daemon.Do(t.Context(), "orders", "shop.items", httpapi.Resume); !errors.Is(err, httpapi.ErrState) {
			t.Errorf("resumed: %v", err)
		}
		r.stop()
	}
	if r.same(r.items) {
		t.Error("the table that was left out is up to date")
	}

	r.filed(r.orders, r.items) // back
	r.start()
	r.equal()
	r.streaming()
	r.script.Commit(r.items.Put(5, "goes on"), r.orders.Put(5, "goes on"))
	r.equal()
}

// forgetful is a sink that tells which tables it was told to forget.
type forgetful struct {
	pipeline.Sink
	told func(string)
}

func (f forgetful) Forget(pipelineName, sink string, table event.TableName) {
	f.told(pipelineName + "/" + sink + "/" + table.String())
}

// TestATableThatIsForgottenIsShownNoLonger: with the last message of a table that the file
// leaves out go its line, its figures and its owner, and it comes back when it is named. With
// the file of a pipeline go the figures of all of its tables.
func TestATableThatIsForgottenIsShownNoLonger(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	var told []string
	r.plan.Target = func(*spec.Pipeline, spec.Sink) (pipeline.Sink, error) {
		return forgetful{r.target.Sink(), func(what string) { mu.Lock(); defer mu.Unlock(); told = append(told, what) }}, nil
	}
	r.filed(r.orders, r.items)
	r.start()
	r.equal()
	r.streaming()
	r.stop()
	r.filed(r.orders)
	r.start()
	r.waitFor("the table's end", func() bool { return r.table(r.items).State == pipeline.StateExcluded })
	r.stop()
	if len(told) != 0 {
		t.Errorf("forgotten while its queue holds messages: %v", told)
	}
	r.deleteTopic(event.TopicName("orders", r.items.Name))
	r.start()
	r.waitFor("the table to be forgotten", func() bool {
		mu.Lock()
		defer mu.Unlock()
		_, shown := r.daemon.Table("shop.items")
		return r.pipeline().State == pipeline.StateRunning && !shown && slices.Equal(told, []string{"orders/check/shop.items"})
	})
	if got := r.paused(r.items); got != -1 {
		t.Errorf("a metric of it: %v", got)
	}
	if _, err := r.daemon.Do(t.Context(), "orders", "shop.items", httpapi.Resume); !errors.Is(err, httpapi.ErrUnknown) {
		t.Errorf("resumed: %v", err)
	}
	r.script.Commit(r.items.Put(2, "unread"), r.orders.Put(2, "flows"))
	r.equal(r.orders)
	r.stop()
	r.filed(r.orders, r.items)
	r.plan.Reload = time.Millisecond
	r.start()
	r.equal()
	r.streaming()
	r.plan.Remove(t, "orders.yaml")
	r.waitFor("the figures to be forgotten", func() bool {
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(told)
		return slices.Equal(told, []string{"orders/check/shop.items", "orders/check/shop.items", "orders/check/shop.orders"})
	})
}

// TestATopicThatSomebodyDeletedIsMadeAgain: by force, under a pipeline that runs and under one
// that does not. Its table is read anew, the other one goes on.
func TestATopicThatSomebodyDeletedIsMadeAgain(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	topic := event.TopicName("orders", r.orders.Name)
	for n, running := range []bool{true, false} {
		r.script.Commit(r.orders.Put(10+n, "on its way"), r.items.Put(10+n, "goes on"))
		r.equal()
		if !running {
			r.stop()
		}
		r.deleteTopic(topic)
		r.script.Commit(r.orders.Put(20+n, "behind it"), r.items.Put(20+n, "goes on"))
		if !running {
			r.start()
		}
		r.equal()
		r.streaming()
		if !slices.Contains(r.topics(), topic) {
			t.Errorf("running %t: topics %v", running, r.topics())
		}
	}
}

// deleteTopic is what somebody does by hand.
func (r *rig) deleteTopic(name string) {
	r.t.Helper()
	a, err := admin.New(client.WithNameServers(r.cluster.Names))
	if err == nil {
		err = a.Start(r.t.Context())
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer a.Close(context.Background())
	if err := a.ForceDeleteTopic(r.t.Context(), name, ""); err != nil {
		r.t.Fatal(err)
	}
}

// TestAKeyThatAStatementChanges gives a table another primary key, none, and one again,
// with rows before and behind each statement and an opening between. The lake is as the
// source each time, without anybody's help.
func TestAKeyThatAStatementChanges(t *testing.T) {
	r := newRig(t)
	lake := filepath.ToSlash(t.TempDir())
	r.plan.Write(t, "orders.yaml", strings.Replace(file, "{name: check, type: target, flush: {rows: 20, bytes: 1MiB, interval: 10ms}}",
		"{name: lake, type: parquet, path: "+lake+", flush: {rows: 20, bytes: 1MiB, interval: 10ms}, current: {interval: 20ms}}", 1))
	equal := func(what string) {
		t.Helper()
		r.waitFor(what, func() bool {
			reader := readback.New(lake, "orders")
			defer reader.Close()
			got, err := verify.Compare(t.Context(), r.script.Reader(), reader, r.orders.Name)
			return err == nil && got.Equal()
		})
	}
	r.start()
	for i := 2; i < 12; i++ {
		r.script.Commit(r.orders.Put(i, fmt.Sprint("value ", i)))
	}
	equal("the first rows")
	r.streaming()
	for round, key := range [][]int{{1}, {0, 1}, nil, {0}} {
		r.script.ChangeKey(r.orders, key...)
		r.script.Commit(r.orders.Delete(2), r.orders.Put(2, fmt.Sprint("round ", round)), r.items.Put(1, "beside it"))
		r.script.Commit(r.orders.Delete(3), r.orders.Put(3, fmt.Sprint("then ", round)))
		equal(fmt.Sprint("key ", key))
		r.streaming()
		r.script.Commit(r.orders.Delete(4), r.orders.Put(4, fmt.Sprint("later ", round)))
		equal(fmt.Sprint("key ", key, ", snapshot complete"))
		r.restart()
		r.script.Commit(r.orders.Put(5, fmt.Sprint("after ", round)))
		equal(fmt.Sprint("key ", key, ", restarted"))
		if s := r.table(r.orders); s.State == pipeline.StatePaused {
			t.Fatalf("key %v: %s", key, s.Reason)
		}
	}
}
