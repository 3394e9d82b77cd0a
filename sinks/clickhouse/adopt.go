package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// A table that another program made is not adopted: without the constraints the server does not
// refuse what a replaced owner writes, and without the numbers nothing says which rows a mark
// covers. What it would have to be is said, difference by difference.

// mostDifferences bounds what is said of a table.
const mostDifferences = 12

// foreign is what a table is that another program made, and how it differs from what s would be.
func (t *Table) foreign(ctx context.Context, name ddl.Name, s *store) (string, error) {
	var engine, full, sorting, text string
	err := t.sink.conn.Query(ctx, t.comment(), "SELECT engine, engine_full, sorting_key, create_table_query FROM system.tables WHERE database = ? AND name = ?",
		func(scan func(...any) error) error { return scan(&engine, &full, &sorting, &text) }, name.Database, name.Table)
	if err != nil {
		return "", err
	}
	have := map[string]string{}
	err = t.sink.conn.Query(ctx, t.comment(), "SELECT name, type FROM system.columns WHERE database = ? AND table = ?",
		func(scan func(...any) error) error {
			var column, typ string
			err := scan(&column, &typ)
			have[column] = typ
			return err
		}, name.Database, name.Table)
	if err != nil {
		return "", err
	}
	for _, clause := range []string{" PARTITION BY ", " PRIMARY KEY ", " ORDER BY ", " SETTINGS "} {
		full, _, _ = strings.Cut(full, clause)
	}
	list := differsFrom(s.create(t.target, t.sink.cfg.ControlDatabase, t.shape), full, sorting, have)
	if !strings.Contains(text, ddl.FenceConstraint) || !strings.Contains(text, ddl.LifeConstraint) {
		list = append([]string{"it has no constraints by which the server refuses a replaced owner's rows"}, list...)
	}
	if n := len(list) - mostDifferences; n > 0 {
		list = append(list[:mostDifferences], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(list, "; "), nil
}

// differsFrom are the differences between a table and what it would have to be.
func differsFrom(want *ddl.Table, engine, sorting string, have map[string]string) (list []string) {
	bare := strings.NewReplacer("`", "", " ", "").Replace
	if bare(engine) != bare(want.Engine()) {
		list = append(list, fmt.Sprintf("its engine is %s and not %s", engine, strings.ReplaceAll(want.Engine(), "`", "")))
	}
	if key := strings.Join(want.Sorting(), ", "); bare(sorting) != bare(key) {
		list = append(list, fmt.Sprintf("it is ordered by (%s) and not by (%s)", sorting, key))
	}
	wanted := map[string]bool{}
	for _, c := range append(slices.Clone(want.Columns), ddl.Technical(want.Layout)...) {
		wanted[c.Name] = true
		switch typ, ok := have[c.Name]; {
		case !ok:
			list = append(list, fmt.Sprintf("it has no column %s %s", c.Name, c.Type))
		case typ != c.Type:
			list = append(list, fmt.Sprintf("its column %s is %s and not %s", c.Name, typ, c.Type))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if !wanted[name] {
			list = append(list, fmt.Sprintf("it has a column %s %s, which the source has not", name, have[name]))
		}
	}
	return list
}
