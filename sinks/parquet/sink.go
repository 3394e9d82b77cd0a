package parquet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/objects/s3"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// Sink writes the tables of a pipeline into one store. OpenTable may be called from any
// goroutine.
type Sink struct {
	*lake.Lake
	cfg Config
}

// New checks the configuration and makes a sink in the place that it names. It starts and
// touches nothing. reg may be nil.
func New(cfg Config, fsys vfs.FS, log *slog.Logger, reg prometheus.Registerer) (*Sink, error) {
	store, scratch, err := OpenStore(&cfg, fsys, "", log, reg)
	if err != nil {
		return nil, err
	}
	return NewIn(cfg, store, scratch, log, reg)
}

// NewIn is New with a store of the caller's, which the sink closes, and a scratch for files in
// the making, which it does not. cfg.Path is what people and other programs call the store.
func NewIn(cfg Config, store objects.Store, scratch func() (*objects.Scratch, error), log *slog.Logger,
	reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Sink{cfg: cfg, Lake: &lake.Lake{
		Store: store, Scratch: scratch, Path: cfg.Path, Bucket: cfg.bucket(), Compression: cfg.Compression, Keep: cfg.Keep,
		Log: log, Metrics: lake.NewMetrics(reg), Now: time.Now, Turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}}, nil
}

// Preflight checks that objects can be put below the path, and that none is put over another,
// by which a commit appears whole and once.
func (s *Sink) Preflight(ctx context.Context) ([]pipeline.Problem, error) {
	problem := func(found, remedy string) []pipeline.Problem {
		return []pipeline.Problem{{Fatal: true, Thing: "path " + s.cfg.Path, Found: found,
			Wanted: "a place that this process can write", Remedy: remedy}}
	}
	name := ".millrace-preflight-" + lake.NewID()
	put := func() error { return s.Store.PutIfAbsent(ctx, name, strings.NewReader("preflight\n")) }
	defer s.Remove([]string{name})
	err := put()
	var answer *s3.Error
	switch {
	case errors.As(err, &answer):
		return problem(err.Error(), "see what it says of the store"), ctx.Err()
	case errors.Is(err, s3.ErrNoConditionalPut):
		return problem(err.Error(), "choose a store that puts an object only where none is"), ctx.Err()
	case err != nil:
		return problem(err.Error(), "create the directory on a file system with hard links (ext4, xfs, btrfs, zfs, apfs), "+
			"give this user write permission and free space, or choose another path"), ctx.Err()
	}
	if err := put(); !errors.Is(err, objects.ErrExists) {
		return problem(fmt.Sprintf("an object was put over another one (%v)", err), "choose a store that puts an object only where none is"),
			ctx.Err()
	}
	return nil, ctx.Err()
}

// OpenTable claims a table: it commits the generation, then reads the marks back.
func (s *Sink) OpenTable(ctx context.Context, claim pipeline.Claim) (pipeline.SinkTable, error) {
	t, err := s.openTable(ctx, claim)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Close releases what the sink itself holds; its tables are closed by their owners, before.
func (s *Sink) Close() error {
	if c, ok := s.Store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// tableDir is where a table lies in the store.
func (s *Sink) tableDir(c *pipeline.Claim) string {
	return path.Join(encodeName(c.Pipeline), DirName(c.Table))
}

// Forget implements pipeline.Forgetter.
func (s *Sink) Forget(pipelineName, sink string, table event.TableName) {
	s.Metrics.Forget(pipelineName, sink, table.String())
}

var (
	_ pipeline.Sink      = (*Sink)(nil)
	_ pipeline.Forgetter = (*Sink)(nil)
)
