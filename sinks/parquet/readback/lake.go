package readback

import (
	"context"
	"fmt"
	"iter"
	"path"
	"strings"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/objects"
)

// Store is the part of objects.Store that reading needs.
type Store interface {
	Open(ctx context.Context, name string) (objects.Object, error)
	List(ctx context.Context, prefix, after string) iter.Seq2[objects.Info, error]
	Dirs(ctx context.Context, dir string) ([]string, error)
}

// lake is a store with what people call it.
type lake struct {
	store Store
	root  string
}

// show is a name of the store's as people know it.
func (l *lake) show(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(l.root, "/")+"/"+name, "/")
}

// logDir is where the log of the table at dir lies.
func logDir(dir string) string { return path.Join(dir, "_delta_log") }

// logNames are the names in the log of the table at dir, in order; without any the table is
// not there, which is pipeline.ErrNoTable.
func (l *lake) logNames(ctx context.Context, dir string) ([]string, error) {
	prefix := logDir(dir) + "/"
	var names []string
	for info, err := range l.store.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("read the log of %s: %w", l.show(dir), err)
		}
		names = append(names, strings.TrimPrefix(info.Name, prefix))
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("read the log of %s: %w", l.show(dir), pipeline.ErrNoTable)
	}
	return names, nil
}

// maxLog bounds what is read into memory of an object of the log.
const maxLog = 1 << 30

func (l *lake) read(ctx context.Context, name string) ([]byte, error) {
	return objects.ReadAll(ctx, l.store, name, maxLog)
}
