package runner

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/spec"
)

// TestTurns: one at a time for each name, whatever others do; nothing stays of names.
func TestTurns(t *testing.T) {
	var all turns
	var inside [2]int
	var work sync.WaitGroup
	for i := range 200 {
		work.Go(func() {
			give := all.take([]string{"a", "b"}[i%2])
			inside[i%2]++ // the race detector and the count see two at once
			give()
		})
	}
	work.Wait()
	if inside != [2]int{100, 100} || len(all.held) != 0 {
		t.Errorf("%v had their turn, %v is kept", inside, all.held)
	}
}

// slowPurge is a target whose removal takes as long as the test wants.
type slowPurge struct {
	pipeline.Sink
	began, on chan struct{}
}

func (s slowPurge) Purge(context.Context, string) ([]string, error) {
	close(s.began)
	<-s.on
	return nil, nil
}

func (slowPurge) Close() error { return nil }

// TestALongDeletionKeepsNobodyWaiting: while a pipeline's target is removed others are
// started and paused, and a file of its name starts nothing yet.
func TestALongDeletionKeepsNobodyWaiting(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	sink := slowPurge{began: make(chan struct{}), on: make(chan struct{})}
	r, err := New(Config{Pipelines: dir, State: dir}, spec.Kinds{}, Deps{
		Log:      log,
		Endpoint: func() *bus.Endpoint { return bus.NewEndpoint(bus.EndpointConfig{}, log) },
		Sink:     func(*spec.Pipeline, spec.Sink) (pipeline.Sink, error) { return sink, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	stood := func(name string) *spec.Pipeline {
		p := &spec.Pipeline{Name: name, File: filepath.Join(dir, name+".yaml"), Sinks: []spec.Sink{{Name: "lake"}}}
		for _, file := range []string{p.File, r.pauseFile(name)} {
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	old := stood("old")
	r.want(t.Context(), old, "1")
	deleted := make(chan error, 1)
	go func() {
		_, err := r.Delete(t.Context(), "old", httpapi.DeleteOptions{PurgeTarget: true})
		deleted <- err
	}()
	<-sink.began
	r.want(t.Context(), stood("other"), "1")
	if err := r.pause("other"); err != nil {
		t.Errorf("pausing another one: %v", err)
	}
	if err := r.pause("nobody"); !errors.Is(err, httpapi.ErrState) {
		t.Errorf("pausing nobody: %v", err)
	}
	r.want(t.Context(), stood("old"), "2")
	if all := r.Statuses(); len(all) != 1 || all[0].Name != "other" {
		t.Errorf("there are %+v", all)
	}
	close(sink.on)
	if err := <-deleted; err != nil {
		t.Error(err)
	}
	r.want(t.Context(), stood("old"), "3")
	if all := r.Statuses(); len(all) != 2 {
		t.Errorf("there are %+v", all)
	}
}
