package lake

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
	"github.com/millrace/millrace/sinks/parquet/file"
)

// Lake is what all tables of a sink share: where they lie and how their files are made. Any
// goroutine may use it.
type Lake struct {
	Store objects.Store
	// Scratch is where files are made.
	Scratch func() (*objects.Scratch, error)
	// Path is what people and other programs call the store.
	Path string
	// Bucket is how the store is reached; nil where it is a directory.
	Bucket      *s3.Config
	Compression string
	Keep        Keep
	Log         *slog.Logger
	Metrics     *Metrics
	Now         func() time.Time
	// Turns holds a token per merge that may run at a time.
	Turns chan struct{}
	// uploadsSeen is when unfinished uploads were looked for last.
	uploadsSeen atomic.Int64
}

// Show is a name of the store's as people and other programs know it.
func (l *Lake) Show(name string) string {
	if strings.Contains(l.Path, "://") {
		return strings.TrimSuffix(l.Path, "/") + "/" + name
	}
	return path.Join(l.Path, name)
}

// NewFile begins a data file.
func (l *Lake) NewFile(schema *parquet.Schema, leaves []file.Leaf) (*file.Writer, error) {
	scratch, err := l.Scratch()
	if err != nil {
		return nil, err
	}
	return file.NewWriter(scratch, schema, leaves, file.Codec(l.Compression))
}

// OpenFile opens a data file for reading.
func (l *Lake) OpenFile(ctx context.Context, name string) (*file.Reader, error) {
	return file.Open(ctx, l.Store, name, l.Show(name))
}

// Remove deletes objects that no commit names. One that cannot be deleted is an orphan, which
// goes by age.
func (l *Lake) Remove(names []string) {
	for _, n := range names {
		_ = l.Store.Delete(context.Background(), n)
	}
}

// Turn waits until another merge or packing may run; false when ctx ended first.
func (l *Lake) Turn(ctx context.Context) (done func(), ok bool) {
	select {
	case l.Turns <- struct{}{}:
		return func() { <-l.Turns }, true
	case <-ctx.Done():
		return nil, false
	}
}
