package parquet

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline"
)

// Purge implements pipeline.Purger: it removes the tables of a pipeline and _status. What
// is in the pipeline's directory besides is not the sink's and stays, and so does the
// directory then. Asking again removes what a crash left.
func (s *Sink) Purge(ctx context.Context, pipelineName string) (removed []string, err error) {
	dir := encodeName(pipelineName)
	names, err := s.Store.Dirs(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", s.Show(dir), err)
	}
	for _, name := range names {
		child := path.Join(dir, name)
		table := name == statusDir
		if !table {
			if table, err = s.isTable(ctx, child); err != nil {
				return removed, fmt.Errorf("list %s: %w", s.Show(child), err)
			}
		}
		if !table {
			continue
		}
		if err := s.removeTree(ctx, child); err != nil {
			return removed, fmt.Errorf("remove %s: %w", s.Show(child), err)
		}
		removed = append(removed, s.Show(child))
	}
	return removed, nil
}

// isTable reports whether a directory holds a target table, or what is left of one.
func (s *Sink) isTable(ctx context.Context, dir string) (bool, error) {
	parts, err := s.Store.Dirs(ctx, dir)
	return slices.Contains(parts, "changes") || slices.Contains(parts, "current"), err
}

// removeTree removes all objects below a directory; those by which it is known for a table
// go last.
func (s *Sink) removeTree(ctx context.Context, dir string) error {
	for _, last := range []bool{false, true} {
		for info, err := range s.Store.List(ctx, dir+"/", "") {
			if err != nil {
				return err
			}
			if known := strings.HasPrefix(info.Name, dir+"/changes/") || strings.HasPrefix(info.Name, dir+"/current/"); known != last {
				continue
			}
			if err := s.Store.Delete(ctx, info.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

var _ pipeline.Purger = (*Sink)(nil)
