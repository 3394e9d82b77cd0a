package inprocess

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/runner"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks"
)

// Plan is what a daemon runs: a directory of pipeline files whose sources are of type
// "script" and whose sinks are of type "target", or any real one.
type Plan struct {
	// Dir holds pipelines/ and state/.
	Dir string
	// Source and Target make what the files name.
	Source func(*spec.Pipeline) (pipeline.Source, error)
	Target func(*spec.Pipeline, spec.Sink) (pipeline.Sink, error)
	// Log is where the daemon and its sinks log; nil is the cluster's own.
	Log *slog.Logger
	// Disk is where real sinks write; nil is the machine's own.
	Disk vfs.FS
	// Config, where set, is what a checkpoint keeps of a file.
	Config func(*spec.Pipeline) json.RawMessage
	// SourceReader makes what the self-check reads the source with; nil is no self-check.
	SourceReader func(*spec.Pipeline) (pipeline.Reader, error)
	// Options go to every client.
	Options []client.Option
	// Reload is how often the files are looked at (an hour).
	Reload time.Duration
	// Heartbeat is how often idle queues get a heartbeat (a minute).
	Heartbeat time.Duration
	// Snapshot is when tables are read as a whole (initial).
	Snapshot pipeline.SnapshotMode
}

// Daemon is a runner in this process.
type Daemon struct {
	*runner.Runner
	s *service
}

type noConfig struct{}

// Kinds are the types that a plan's files can name.
func Kinds() spec.Kinds {
	none := spec.Kind{Default: func() any { return &noConfig{} }}
	all := sinks.Kinds()
	all["target"] = none
	return spec.Kinds{Sources: map[string]spec.Kind{"script": none}, Sinks: all}
}

// Write puts a pipeline file into the plan's directory.
func (p *Plan) Write(t testing.TB, file, text string) {
	t.Helper()
	for _, dir := range []string{"pipelines", "state"} {
		if err := os.MkdirAll(filepath.Join(p.Dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The daemon may be looking: the file appears whole.
	if err := vfs.WriteFileAtomic(vfs.OS(), filepath.ToSlash(filepath.Join(p.Dir, "pipelines", file)), []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// Daemon starts a runner of the plan. The caller stops it.
func (c *Cluster) Daemon(p Plan) *Daemon {
	c.t.Helper()
	if p.Disk == nil {
		p.Disk = vfs.OS()
	}
	if p.Log == nil {
		p.Log = c.log
	}
	if p.Reload == 0 {
		p.Reload = time.Hour
	}
	if p.Snapshot == "" {
		p.Snapshot = pipeline.SnapshotInitial
	}
	r, err := runner.New(runner.Config{Pipelines: filepath.Join(p.Dir, "pipelines"), State: filepath.Join(p.Dir, "state"),
		Reload: p.Reload}, Kinds(), runner.Deps{
		Source:    p.Source,
		Snapshot:  func(*spec.Pipeline) pipeline.SnapshotMode { return p.Snapshot },
		Heartbeat: p.Heartbeat,
		Config:    p.Config,
		Sink: func(file *spec.Pipeline, s spec.Sink) (pipeline.Sink, error) {
			if s.Type == "target" {
				return p.Target(file, s)
			}
			return sinks.New(s.Type, s.Config, sinks.Deps{FS: p.Disk, Log: p.Log})
		},
		SourceReader: p.SourceReader,
		TargetReader: sinks.Readback,
		Endpoint:     func() *bus.Endpoint { return c.Endpoint("worker", p.Options...) },
		Log:          p.Log,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return &Daemon{Runner: r, s: run(func(ctx context.Context) error { return r.Run(ctx) })}
}

// Stop stops the daemon in order and returns when all of it has gone.
func (d *Daemon) Stop() error { return d.s.end() }

// Table is the status of one table of the one pipeline that has it.
func (d *Daemon) Table(name string) (pipeline.TableStatus, bool) {
	for _, p := range d.Statuses() {
		for _, t := range p.Tables {
			if t.Name == name {
				return t, true
			}
		}
	}
	return pipeline.TableStatus{}, false
}

// Remove takes a pipeline file out of the plan's directory.
func (p *Plan) Remove(t testing.TB, file string) {
	t.Helper()
	if err := os.Remove(filepath.Join(p.Dir, "pipelines", file)); err != nil {
		t.Fatal(err)
	}
}
