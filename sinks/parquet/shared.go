package parquet

import (
	"context"
	"log/slog"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/objects/s3"
)

// shared is what all tables of a sink share: where they lie and how their files are made. Any
// goroutine may use it.
type shared struct {
	store objects.Store
	// scratch is where files are made.
	scratch func() (*objects.Scratch, error)
	// path is what people and other programs call the store.
	path string
	// bucket is how the store is reached; nil where it is a directory.
	bucket      *s3.Config
	compression string
	keep        Keep
	log         *slog.Logger
	metrics     *metrics
	now         func() time.Time
	// turns holds a token per merge that may run at a time.
	turns chan struct{}
	// uploadsSeen is when unfinished uploads were looked for last.
	uploadsSeen atomic.Int64
}

// show is a name of the store's as people and other programs know it.
func (l *shared) show(name string) string {
	if strings.Contains(l.path, "://") {
		return strings.TrimSuffix(l.path, "/") + "/" + name
	}
	return path.Join(l.path, name)
}

// newFile begins a data file.
func (l *shared) newFile(schema *parquet.Schema, leaves []leafSpec) (*fileWriter, error) {
	scratch, err := l.scratch()
	if err != nil {
		return nil, err
	}
	return newFileWriter(scratch, schema, leaves, codecOf(l.compression))
}

// openFile opens a data file for reading.
func (l *shared) openFile(ctx context.Context, name string) (*scanner, error) {
	return openScanner(ctx, l.store, name, l.show(name))
}

// remove deletes objects that no commit names. One that cannot be deleted is an orphan, which
// goes by age.
func (l *shared) remove(names []string) {
	for _, n := range names {
		_ = l.store.Delete(context.Background(), n)
	}
}

// turn waits until another merge or packing may run; false when ctx ended first.
func (l *shared) turn(ctx context.Context) (done func(), ok bool) {
	select {
	case l.turns <- struct{}{}:
		return func() { <-l.turns }, true
	case <-ctx.Done():
		return nil, false
	}
}
