package runner

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/spec"
)

// TestAFileThatChangesWhileItIsReadIsReadAgain saves a pipeline file a second time while
// the first content is being parsed: what runs in the end is what the file says.
func TestAFileThatChangesWhileItIsReadIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p.yaml")
	save := func(queues string) {
		text := "version: 1\nname: p\nqueues: " + queues + "\nsource: {type: s}\nsinks: [{name: t, type: t}]\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save("1")
	saved := false
	empty := func() any { return &struct{}{} }
	kinds := spec.Kinds{
		Sources: map[string]spec.Kind{"s": {Default: func() any {
			if !saved {
				saved = true
				save("2")
			}
			return &struct{}{}
		}}},
		Sinks: map[string]spec.Kind{"t": {Default: empty}},
	}
	log := slog.New(slog.DiscardHandler)
	r, err := New(Config{Pipelines: dir, State: t.TempDir(), Reload: time.Hour}, kinds, Deps{
		Sink:     func(*spec.Pipeline, spec.Sink) (pipeline.Sink, error) { return nil, errors.New("none") },
		Endpoint: func() *bus.Endpoint { return bus.NewEndpoint(bus.EndpointConfig{}, log) }, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	for range 2 {
		r.reload(ctx, "")
	}
	if got := r.running["p"].pipe.spec.Queues; got != 2 {
		t.Errorf("runs with %d queues, the file says 2", got)
	}
	cancel()
	r.stopAll()
}

// TestAFileWithMistakesIsShown: whoever looks at the status sees which file is not used.
func TestAFileWithMistakesIsShown(t *testing.T) {
	dir := t.TempDir()
	save := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = "version: 1\nname: p\nsource: {type: s}\nsinks: [{name: t, type: t}]\n"
	save("p.yaml", good)
	save("other.yaml", good+"nonsense: 1\n")
	empty := func() any { return &struct{}{} }
	kinds := spec.Kinds{Sources: map[string]spec.Kind{"s": {Default: empty}}, Sinks: map[string]spec.Kind{"t": {Default: empty}}}
	log := slog.New(slog.DiscardHandler)
	r, err := New(Config{Pipelines: dir, State: t.TempDir(), Reload: time.Hour}, kinds, Deps{
		Sink:     func(*spec.Pipeline, spec.Sink) (pipeline.Sink, error) { return nil, errors.New("none") },
		Endpoint: func() *bus.Endpoint { return bus.NewEndpoint(bus.EndpointConfig{}, log) }, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer r.stopAll()
	defer cancel()
	reason := func(name string) string {
		for _, s := range r.Statuses() {
			if s.Name == name {
				return s.Reason + " " + s.LastErr
			}
		}
		return "not shown"
	}
	has := func(name, part string, want bool) {
		t.Helper()
		if got := reason(name); strings.Contains(got, part) != want {
			t.Errorf("%s: %q; want %q in it: %v", name, got, part, want)
		}
	}
	r.reload(ctx, "")
	has("other", "nonsense", true)
	has("p", "mistakes", false)
	if err := r.Ready(); err == nil {
		t.Error("ready, with a file that is not used")
	}
	save("p.yaml", good+"quues: 3\n")
	r.reload(ctx, "")
	has("p", "what it said before is in use", true)
	has("p", "quues", true)
	// Files that would have the same name are told apart, and one that cannot be read is shown.
	save("other.yml", "nonsense: 1\n")
	save("huge.yaml", strings.Repeat("#", 9<<20))
	r.reload(ctx, "")
	has("other", "other.yaml:", true)
	has("other.yml", "other.yml:", true)
	has("huge", "huge.yaml: ", true)
	for _, name := range []string{"other.yml", "huge.yaml"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	save("p.yaml", good)
	save("other.yaml", "version: 1\nname: q\nsource: {type: s}\nsinks: [{name: t, type: t}]\n")
	r.reload(ctx, "")
	has("p", "mistakes", false)
	has("other", "not shown", true)
	has("q", "mistakes", false)
}

// TestAMistakeDoesNotHideWhatHappened: the status of a pipeline that has met an error says
// so beside the mistakes of its file.
func TestAMistakeDoesNotHideWhatHappened(t *testing.T) {
	r := &Runner{broken: map[string]string{"p.yaml": "p.yaml:3:1: unknown key"}}
	all := []pipeline.Status{{Name: "p", State: pipeline.StateRunning, LastErr: "the disk is full"}}
	if standing := r.unused(all, map[string]string{"p": "p.yaml"}); len(standing) != 0 {
		t.Errorf("shown besides: %+v", standing)
	}
	for _, part := range []string{"unknown key", "the disk is full"} {
		if !strings.Contains(all[0].LastErr, part) {
			t.Errorf("%q is not in %q", part, all[0].LastErr)
		}
	}
	if all[0].State != pipeline.StateRunning || !strings.Contains(all[0].Reason, "unknown key") {
		t.Errorf("%+v", all[0])
	}
}
