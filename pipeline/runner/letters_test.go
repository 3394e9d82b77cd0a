package runner_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
	"github.com/millrace/millrace/sinks"
)

// bad is a text that no Parquet file can hold.
const bad = "\xff"

const asideFile = `version: 1
name: orders
source: {type: script}
group: {bytes: 64KiB, interval: 2ms}
on_error: dead_letter
dead_letter: {rows: 2, bytes: 1MiB}
sinks:
- {name: lake, type: parquet, path: PATH, flush: {rows: 20, bytes: 1MiB, interval: 10ms}, current: {interval: 10ms}}
`

// A table flows past what its target can't hold; the status counts it, verify names it, and at
// the bound the table stands until there is room.
func TestATableFlowsPastWhatItsTargetCantHold(t *testing.T) {
	r := newRig(t)
	r.plan.Target = nil
	r.plan.Write(t, "orders.yaml", strings.Replace(asideFile, "PATH", t.TempDir(), 1))
	r.script.Commit(r.orders.Put(2, bad), r.orders.Put(3, "good"))
	r.start()
	r.streaming()
	lake := func() pipeline.SinkSummary {
		for _, s := range r.table(r.orders).Sinks {
			return s
		}
		return pipeline.SinkSummary{}
	}
	r.waitFor("the row that is put aside", func() bool {
		s := lake()
		return s.State == pipeline.StateRunning && s.PutAside != nil && s.PutAside.Rows == 1 && strings.Contains(s.Reason, "1 changes are put aside")
	})
	p, err := spec.ReadFile(r.plan.Dir+"/pipelines/orders.yaml", inprocess.Kinds(), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	compare := func() verify.Table {
		reader, err := sinks.Readback(p, p.Sinks[0])
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		got, err := verify.Compare(context.Background(), r.script.Reader(), reader, r.orders.Name)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	r.waitFor("the others in the target", func() bool { return compare().TargetRows == 2 })
	if got := compare(); got.State() != verify.PutAside || got.Aside != 1 || got.Differences() != 0 || !slices.Equal(got.Examples, []string{"put aside: id=2"}) {
		t.Errorf("verify says %s: %+v", got.State(), got)
	}
	list := func() []httpapi.Letters {
		all, err := r.daemon.Letters(t.Context(), "orders", httpapi.LetterChoice{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := list(); len(all) != 1 || all[0].Table != r.orders.Name.String() || all[0].Rows != 1 || all[0].Letters[0].Column != "v" {
		t.Errorf("listed: %+v", all)
	}

	r.script.Commit(r.orders.Put(4, bad), r.orders.Put(5, bad)) // one more than there is room for
	r.waitFor("the table to stand", func() bool {
		return lake().Code == "record" && strings.Contains(lake().Reason, "dead_letter allows no more")
	})
	done, err := r.daemon.WorkLetters(t.Context(), "orders", httpapi.Drop, httpapi.LetterChoice{Seqs: []event.Seq{list()[0].Letters[0].Seq}})
	if err != nil || len(done) != 1 || done[0].Gone != 1 || done[0].Error != "" {
		t.Fatalf("dropped: %+v, %v", done, err)
	}
	r.waitFor("the table to go on", func() bool { s := lake(); return s.State == pipeline.StateRunning && s.PutAside.Rows == 2 })
	r.script.Commit(r.orders.Put(4, "good"), r.orders.Put(2, "good"))
	r.waitFor("good versions", func() bool { s := lake(); return s.PutAside.Rows == 1 && compare().TargetRows == 4 })
	done, err = r.daemon.WorkLetters(t.Context(), "orders", httpapi.Replay, httpapi.LetterChoice{})
	if err != nil || len(done) != 1 || done[0].Gone != 0 || done[0].Stay != 1 || !strings.Contains(done[0].Why, "is not UTF-8") {
		t.Errorf("replayed: %+v, %v", done, err)
	}
	if _, err := r.daemon.WorkLetters(t.Context(), "nobody", httpapi.Replay, httpapi.LetterChoice{}); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("another pipeline: %v", err)
	}
	misspelt := httpapi.LetterChoice{Table: "shop.order", Limit: 10}
	if all, err := r.daemon.Letters(t.Context(), "orders", misspelt); !errors.Is(err, httpapi.ErrUnknown) {
		t.Errorf("another table: %+v, %v", all, err)
	}
	if done, err := r.daemon.WorkLetters(t.Context(), "orders", httpapi.Replay, misspelt); !errors.Is(err, httpapi.ErrUnknown) {
		t.Errorf("another table: %+v, %v", done, err)
	}
}
