package readback

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/millrace/millrace/pipeline"
)

// checkNames refuses a table whose columns have, in current/, names that are other columns' in
// changes/: each of the two is right by its metadata then, and whoever joins them by name reads
// wrong values. Names of changes/ are never taken away, so that it may be newer.
func (l *lake) checkNames(ctx context.Context, current *table) error {
	m, err := mergeOf(current)
	if err != nil || m == nil {
		return err
	}
	changes, err := l.openTable(ctx, path.Join(path.Dir(current.dir), "changes"))
	if errors.Is(err, pipeline.ErrNoTable) || err == nil && changes.id != m.Changes {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range current.fields {
		for _, c := range changes.fields {
			if f.identity() != "" && strings.EqualFold(f.Name, c.Name) && f.identity() != c.identity() {
				return fmt.Errorf("the column %s is %s in current/ and %s in changes/: one name has to be one column in both; have the table read anew",
					f.Name, f.what(), c.what())
			}
		}
	}
	return nil
}

// identity tells columns of the source apart, and a column from its texts; "" is none of the
// source's.
func (f *field) identity() string {
	id, ok := f.Metadata[metaID].(string)
	if _, raw := f.Metadata[metaRaw]; ok && raw {
		id += " text"
	}
	return id
}

// what says which column of the source it is.
func (f *field) what() string {
	if of, ok := f.Metadata[metaRaw].(string); ok {
		return "the text of the source's " + of
	}
	if name, ok := f.Metadata[metaName].(string); ok {
		return "the source's " + name
	}
	return "none of the source's"
}
