package parquet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/objects"
)

// Sink writes the tables of a pipeline into one store. OpenTable may be called from any
// goroutine.
type Sink struct {
	cfg   Config
	store objects.Store
	// scratch is where files are made.
	scratch func() (*objects.Scratch, error)
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	// merging holds a token per merge that may run at a time, for all tables.
	merging chan struct{}
}

// New checks the configuration and makes a sink whose store is the directory cfg.Path. It
// starts and touches nothing. reg may be nil.
func New(cfg Config, fsys vfs.FS, log *slog.Logger, reg prometheus.Registerer) (*Sink, error) {
	local := objects.NewLocal(fsys, cfg.Path)
	return NewIn(cfg, local, local.Scratch, log, reg)
}

// NewIn is New with a store of the caller's, which the sink closes, and a scratch for files in
// the making, which it does not. cfg.Path is what people and other programs call the store.
func NewIn(cfg Config, store objects.Store, scratch func() (*objects.Scratch, error), log *slog.Logger, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Sink{
		cfg: cfg, store: store, scratch: scratch, log: log, metrics: newMetrics(reg), now: time.Now,
		merging: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}, nil
}

// Preflight checks that objects can be put below the path, and that none is put over another,
// by which a commit appears whole and once.
func (s *Sink) Preflight(ctx context.Context) ([]pipeline.Problem, error) {
	problem := func(found, remedy string) []pipeline.Problem {
		return []pipeline.Problem{{Fatal: true, Thing: "path " + s.cfg.Path, Found: found,
			Wanted: "a place that this process can write", Remedy: remedy}}
	}
	name := ".millrace-preflight-" + newID()
	put := func() error { return s.store.PutIfAbsent(ctx, name, strings.NewReader("preflight\n")) }
	defer s.remove([]string{name})
	if err := put(); err != nil {
		return problem(err.Error(), "create the directory on a file system with hard links (ext4, xfs, btrfs, zfs, apfs), "+
			"give this user write permission and free space, or choose another path"), ctx.Err()
	}
	if err := put(); !errors.Is(err, objects.ErrExists) {
		return problem(fmt.Sprintf("an object was put over another one (%v)", err), "choose a store that puts an object only where none is"), ctx.Err()
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
	if c, ok := s.store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// tableDir is where a table lies in the store.
func (s *Sink) tableDir(c *pipeline.Claim) string {
	return path.Join(encodeName(c.Pipeline), DirName(c.Table))
}

// show is a name of the store's as people and other programs know it.
func (s *Sink) show(name string) string {
	if strings.Contains(s.cfg.Path, "://") {
		return strings.TrimSuffix(s.cfg.Path, "/") + "/" + name
	}
	return path.Join(s.cfg.Path, name)
}

// newFile begins a data file.
func (s *Sink) newFile(schema *parquet.Schema, leaves []leafSpec) (*fileWriter, error) {
	scratch, err := s.scratch()
	if err != nil {
		return nil, err
	}
	return newFileWriter(scratch, schema, leaves, codecOf(s.cfg.Compression))
}

// openFile opens a data file for reading.
func (s *Sink) openFile(ctx context.Context, name string) (*scanner, error) {
	return openScanner(ctx, s.store, name, s.show(name))
}

// remove deletes objects that no commit names. One that cannot be deleted is an orphan, which
// goes by age.
func (s *Sink) remove(names []string) {
	for _, n := range names {
		_ = s.store.Delete(context.Background(), n)
	}
}

// unwritable wraps an error of the store that left the target as it was.
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
