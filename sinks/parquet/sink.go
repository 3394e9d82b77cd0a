package parquet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
)

// Sink writes the tables of a pipeline below one directory. OpenTable may be called from
// any goroutine.
type Sink struct {
	cfg     Config
	fs      vfs.FS
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	// merging holds a token per merge that may run at a time, for all tables.
	merging chan struct{}
}

// New checks the configuration and makes the sink. It starts and touches nothing. reg may
// be nil.
func New(cfg Config, fsys vfs.FS, log *slog.Logger, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Sink{
		cfg: cfg, fs: fsys, log: log, metrics: newMetrics(reg), now: time.Now,
		merging: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}, nil
}

// Preflight checks that the directory can be made and written, and that its file system
// has hard links, by which a commit appears whole.
func (s *Sink) Preflight(ctx context.Context) ([]pipeline.Problem, error) {
	problem := func(found, remedy string) []pipeline.Problem {
		return []pipeline.Problem{{Fatal: true, Thing: "path " + s.cfg.Path, Found: found,
			Wanted: "a local directory that this process can write", Remedy: remedy}}
	}
	if err := vfs.MkdirAllSync(s.fs, s.cfg.Path); err != nil {
		return problem(err.Error(), "create the directory and give this user write permission, or choose another path"), nil
	}
	a, b := path.Join(s.cfg.Path, ".millrace-preflight"), path.Join(s.cfg.Path, ".millrace-preflight-link")
	defer s.fs.Remove(a)
	defer s.fs.Remove(b)
	if err := vfs.WriteFileAtomic(s.fs, a, []byte("preflight\n")); err != nil {
		return problem(err.Error(), "give this user write permission or free space on the disk"), nil
	}
	s.fs.Remove(b)
	if err := s.fs.Link(a, b); err != nil {
		return problem("no hard links: "+err.Error(), "choose a path on a file system with hard links (ext4, xfs, btrfs, zfs, apfs)"), nil
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

// Close releases what the sink itself holds; its tables are closed by their owners.
func (s *Sink) Close() error { return nil }

// tableDir is where a table lies.
func (s *Sink) tableDir(c *pipeline.Claim) string {
	return path.Join(s.cfg.Path, encodeName(c.Pipeline), DirName(c.Table))
}

// unwritable wraps an error of the file system that left the target as it was.
func unwritable(what, name string, err error) error {
	remedy := "see what the path's disk and permissions say"
	switch {
	case isFull(err):
		remedy = "free space on the disk; the table goes on by itself"
	case errors.Is(err, fs.ErrPermission):
		remedy = "give this user write permission"
	}
	return fmt.Errorf("%w: %s %s: %w (%s)", pipeline.ErrUnwritable, what, name, err, remedy)
}

var _ pipeline.Sink = (*Sink)(nil)
