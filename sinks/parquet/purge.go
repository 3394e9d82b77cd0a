package parquet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
)

// Purge implements pipeline.Purger: it removes the tables of a pipeline and _status. What
// is in the pipeline's directory besides is not the sink's and stays, and so does the
// directory then. Asking again removes what a crash left.
func (s *Sink) Purge(ctx context.Context, pipelineName string) (removed []string, err error) {
	dir := path.Join(s.cfg.Path, encodeName(pipelineName))
	names, err := s.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return removed, ctx.Err()
		}
		child := path.Join(dir, name)
		if name != statusDir && !s.isTable(child) {
			continue
		}
		if err := vfs.RemoveTree(s.fs, child); err != nil {
			return removed, fmt.Errorf("remove %s: %w", child, err)
		}
		removed = append(removed, child)
	}
	if left, err := s.fs.ReadDir(dir); err == nil && len(left) == 0 {
		return removed, vfs.RemoveTree(s.fs, dir)
	}
	return removed, nil
}

// isTable reports whether a directory holds a target table, or what is left of one.
func (s *Sink) isTable(dir string) bool {
	for _, part := range []string{"changes", "current"} {
		if info, err := s.fs.Stat(path.Join(dir, part)); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

var _ pipeline.Purger = (*Sink)(nil)
