package runner_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

// TestAVerbOnAllDoesWhatCanBeDone: of a pipeline's tables one flows, one is paused, and one
// the file does not take in. Each verb does what it can, and says of every table what became
// of it.
func TestAVerbOnAllDoesWhatCanBeDone(t *testing.T) {
	r := newRig(t)
	_, names := r.leaveOut(t)
	says := func(verb string, want ...string) {
		t.Helper()
		outcomes, err := r.daemon.Do(t.Context(), "orders", "", verb)
		if err != nil || len(outcomes) != len(want) {
			t.Fatalf("%s: %v, %+v", verb, err, outcomes)
		}
		for i, o := range outcomes {
			if got := fmt.Sprintf("%s %s %s", o.Table, o.Result, o.Reason); o.Table != names[i] || !strings.Contains(got, want[i]) {
				t.Errorf("%s: %q, want %q", verb, got, want[i])
			}
		}
	}
	r.do("shop.items", httpapi.Pause)
	says(httpapi.Snapshot, "shop.items refused table shop.items is paused; resume it, which reads it anew: by request",
		"unchanged table shop.left is not captured any more", "shop.orders done ")
	if s := r.table(r.items); s.State != pipeline.StatePaused {
		t.Errorf("the paused table is %+v", s)
	}
	says(httpapi.Resume, "shop.items done ", "shop.left unchanged table shop.left is not captured any more",
		"shop.orders unchanged table shop.orders is not paused")
	r.waitFor("all that is captured to flow", func() bool {
		return r.table(r.items).State == pipeline.StateRunning && r.table(r.orders).State == pipeline.StateRunning
	})
	says(httpapi.Resume, "shop.items unchanged ", "shop.left unchanged ", "shop.orders unchanged ")
	r.equal()
}

// leaveOut starts the rig with a third table that its file takes in no longer.
func (r *rig) leaveOut(t *testing.T) (left string, names []string) {
	t.Helper()
	r.script = pipelinetest.NewScript()
	r.orders, r.items = r.script.Table("shop", "orders", 2, true), r.script.Table("shop", "items", 1, true)
	third := r.script.Table("shop", "left", 1, true)
	r.script.Commit(r.orders.Put(1, "a"), r.items.Put(1, "a"), third.Put(1, "a"))
	r.start()
	r.equal(r.orders, r.items, third)
	r.stop()
	cfg := r.cfg
	cfg.Captures = func(name event.TableName) bool { return name != third.Name }
	r.setSource(cfg)
	r.start()
	r.waitFor("a table that is left out", func() bool {
		return r.table(third).State == pipeline.StateExcluded && r.table(r.orders).State == pipeline.StateRunning &&
			r.table(r.items).State == pipeline.StateRunning
	})
	return third.Name.String(), []string{"shop.items", "shop.left", "shop.orders"}
}

// refusedFor says whether a verb was refused by the state, with these words.
func (r *rig) refusedFor(verb, table string, words ...string) {
	r.t.Helper()
	_, err := r.daemon.Do(r.t.Context(), "orders", table, verb)
	if !errors.Is(err, httpapi.ErrState) {
		r.t.Errorf("%s %q: %v", verb, table, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			r.t.Errorf("%s %q: no %q in %q", verb, table, w, err)
		}
	}
}

// TestAPausedPipelineAnswersVerbs: to be asked for what is so is no mistake; what can't be is
// refused with the reason, and nothing of it happens later.
func TestAPausedPipelineAnswersVerbs(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	r.do("", httpapi.Pause)
	r.do("", httpapi.Pause)
	for _, verb := range []string{httpapi.Snapshot, httpapi.Reset} {
		r.refusedFor(verb, "", "pipeline orders is paused; resume it first")
		r.refusedFor(verb, "shop.orders", "pipeline orders is paused; resume it first")
	}
	r.plan.Write(t, "orders.yaml", strings.Replace(file, "version: 1", "version: 7", 1))
	r.refusedFor(httpapi.Resume, "", "stays paused", "mistakes", "version")
	r.restart()
	r.waitFor("the file to be read", func() bool { return len(r.daemon.Statuses()) == 1 })
	if _, err := r.daemon.Do(t.Context(), "orders", "", httpapi.Resume); !errors.Is(err, httpapi.ErrState) ||
		!strings.Contains(err.Error(), "mistakes") {
		t.Errorf("of a pipeline whose file has mistakes: %v", err)
	}
	r.plan.Write(t, "orders.yaml", file)
	r.restart()
	r.waitFor("the pause, which was not forgotten", func() bool { return r.pipeline().State == pipeline.StatePaused })
	r.do("", httpapi.Resume)
	r.streaming()
	for _, table := range r.pipeline().Tables {
		if table.Rows != 0 {
			t.Errorf("what was refused has come about: %+v", table)
		}
	}
}

// TestVerbsWhileSomethingIsAway: what is named is what is away, a wrong name is wrong all the
// same, and nothing of what was refused comes about.
func TestVerbsWhileSomethingIsAway(t *testing.T) {
	for name, c := range map[string]struct {
		take, give func(*rig)
		words      []string
	}{
		"the source": {
			func(r *rig) {
				r.setSource(pipelinetest.SourceConfig{FailOpen: func() error { return errors.New("the server is away") }})
			},
			func(r *rig) { r.setSource(pipelinetest.SourceConfig{}) },
			[]string{"pipeline orders is retrying", "the server is away", "nothing was asked of it"},
		},
		"the broker": {
			func(r *rig) { r.cluster.Down() }, func(r *rig) { r.cluster.Up() },
			[]string{"pipeline orders is ", "nothing was asked of it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.start()
			r.equal()
			r.streaming()
			r.stop()
			c.take(r)
			r.start()
			if name == "the source" {
				r.waitFor("another try", func() bool { return r.pipeline().State == pipeline.StateRetrying && len(r.pipeline().Tables) == 2 })
				if _, err := r.daemon.Do(t.Context(), "orders", "shop.nothing", httpapi.Pause); !errors.Is(err, httpapi.ErrUnknown) {
					t.Errorf("of a table that is not there: %v", err)
				}
			} else {
				r.waitFor("the pipeline", func() bool { return r.pipeline().Name == "orders" })
			}
			for _, verb := range httpapi.Verbs() {
				r.refusedFor(verb, "shop.orders", c.words...)
				if verb != httpapi.Pause {
					r.refusedFor(verb, "", c.words...)
				}
			}
			if _, err := r.daemon.Do(t.Context(), "nobody", "", httpapi.Pause); !errors.Is(err, httpapi.ErrUnknown) {
				t.Errorf("of a pipeline that is not there: %v", err)
			}
			c.give(r)
			r.streaming()
			for _, table := range r.pipeline().Tables {
				if table.Rows != 0 {
					t.Errorf("what was refused has come about: %+v", table)
				}
			}
		})
	}
}

// TestVerbsTwiceAtOnce: both who ask hear the truth.
func TestVerbsTwiceAtOnce(t *testing.T) {
	r := newRig(t)
	r.start()
	r.equal()
	r.streaming()
	for _, step := range []struct {
		table, verb string
		then        func() bool
	}{
		{"shop.orders", httpapi.Pause, func() bool { return r.table(r.orders).State == pipeline.StatePaused }},
		{"shop.items", httpapi.Snapshot, func() bool { return r.table(r.items).State == pipeline.StateRunning }},
		{"", httpapi.Pause, func() bool { return r.pipeline().State == pipeline.StatePaused }},
		{"", httpapi.Resume, func() bool { return r.pipeline().State == pipeline.StateRunning }},
		{"shop.orders", httpapi.Pause, func() bool { return r.table(r.orders).State == pipeline.StatePaused }},
	} {
		const askers = 4
		answers := make(chan error, askers)
		for range askers {
			go func() { answers <- r.ask(step.table, step.verb) }()
		}
		for range askers {
			if err := <-answers; err != nil {
				t.Errorf("%s %s: %v", step.verb, step.table, err)
			}
		}
		r.waitFor(step.verb+" "+step.table, step.then)
	}
	r.do("shop.orders", httpapi.Resume)
	r.streaming()
	r.equal()
}

// TestAPipelineWithMistakesIsNotUnknown: status lists it, and so does the answer to a verb.
func TestAPipelineWithMistakesIsNotUnknown(t *testing.T) {
	r := newRig(t)
	r.plan.Write(t, "orders.yaml", file+"quues: 3\n")
	r.start()
	r.waitFor("the file to be read", func() bool { return r.pipeline().State == pipeline.StateInvalid })
	for _, verb := range httpapi.Verbs() {
		r.refusedFor(verb, "", "the file has mistakes and is not used", "quues")
		r.refusedFor(verb, "shop.orders", "the file has mistakes and is not used")
	}
}
