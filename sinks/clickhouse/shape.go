package clickhouse

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// Mode is what a table of the target is of its source.
type Mode string

// The modes.
const (
	Mirror    Mode = "mirror"    // the source's rows
	Changelog Mode = "changelog" // every change of them, once
	Signed    Mode = "signed"    // the source's rows, and beside them what went and came, once
)

// once says that there are rows in the target which must not be there twice.
func (m Mode) once() bool { return m == Changelog || m == Signed }

// Shape is how the tables of the target are made: of all, and of one where it says so.
type Shape struct {
	Mode Mode `yaml:"mode"`
	// OrderBy is the sorting key of a mirror's table: the primary key's columns and others.
	OrderBy []string `yaml:"order_by"`
	// PartitionBy and TTL are expressions over the columns of <table>__cdc.
	PartitionBy string `yaml:"partition_by"`
	TTL         string `yaml:"ttl"`
	// Deletes is what becomes of a row that goes.
	Deletes Deletes `yaml:"deletes"`
	// Columns has more to say of columns, by the source's names.
	Columns map[string]ColumnShape `yaml:"columns"`
	// SchemaChange is what is done with changes of the definition.
	SchemaChange SchemaChange `yaml:"schema_change"`
	// Settings are those of the tables that are made, beside the sink's.
	Settings map[string]string `yaml:"settings"`
}

// ColumnShape is how a column is made.
type ColumnShape struct {
	// Type is the target's, in place of the source type's own.
	Type string `yaml:"type"`
}

// chosen are the types that columns are given, by their names in small letters.
func (s Shape) chosen() (map[string]column.As, error) {
	out := map[string]column.As{}
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		if _, twice := out[strings.ToLower(name)]; twice || name == "" {
			return nil, &config.KeyError{Key: "columns." + name, Text: "must be the name of a column, and stand once, in whatever letters"}
		}
		a, err := column.ParseAs(s.Columns[name].Type)
		if err != nil {
			return nil, &config.KeyError{Key: "columns." + name + ".type", Text: err.Error()}
		}
		out[strings.ToLower(name)] = a
	}
	return out, nil
}

// unknown is a column that the configuration names and the table has not, and has not had since
// its target was made; "" is none.
func (s Shape) unknown(schema *event.Schema, stores []store) string {
	for _, name := range slices.Sorted(maps.Keys(s.Columns)) {
		known := slices.ContainsFunc(schema.Columns, func(c event.Column) bool { return strings.EqualFold(c.Name, name) })
		for i := range stores {
			known = known || slices.ContainsFunc(stores[i].Columns, func(c targetColumn) bool {
				return strings.EqualFold(c.Of.Name, name) || strings.EqualFold(c.AsOf, name)
			})
		}
		if !known {
			return name
		}
	}
	return ""
}

var sourceTable = regexp.MustCompile(`^[^.]+\..+$`)

// validate says what is wrong with a table's shape, all of it; at is where it stands.
func (s Shape) validate(at string) error {
	bad := func(key, format string, a ...any) error {
		return &config.KeyError{Key: at + key, Text: fmt.Sprintf(format, a...)}
	}
	if s.Mode != Mirror && s.Mode != Changelog && s.Mode != Signed {
		return bad("mode", "%q must be mirror, changelog or signed", s.Mode)
	}
	if s.Mode == Signed && s.PartitionBy != "" {
		return bad("partition_by", "in mode signed a block lies in one partition, for of several a part could land alone, and "+
			"what a materialized view made of the block would be neither there nor not; leave partition_by out, and partition the table that "+
			"your view writes")
	}
	if err := s.Deletes.validate(at+"deletes", s.Mode); err != nil {
		return err
	}
	if err := s.SchemaChange.validate(at+"schema_change", s.Mode); err != nil {
		return err
	}
	if s.Mode == Changelog && len(s.OrderBy) > 0 {
		return bad("order_by", "a changelog is ordered by %s; leave order_by out, or have a materialized view order it otherwise", ddl.Seq)
	}
	if s.Mode != Changelog && s.TTL != "" {
		return bad("ttl", "a mirror has the source's rows, of which ttl takes some away, the newest version before an older one too; delete "+
			"them in the source, or use mode: changelog")
	}
	if _, err := s.chosen(); err != nil {
		key := err.(*config.KeyError)
		return bad(key.Key, "%s", key.Text)
	}
	for i, name := range s.OrderBy {
		if name == "" || slices.Contains(s.OrderBy[:i], name) {
			return bad("order_by", "%q must be the name of a column, and stand once", name)
		}
	}
	for key, text := range map[string]string{"partition_by": s.PartitionBy, "ttl": s.TTL} {
		if err := isWhole(text); err != nil {
			return bad(key, "%q is no expression: %v", text, err)
		}
	}
	return validateSettings(at+"settings.", s.Settings)
}

func validateSettings(at string, settings map[string]string) error {
	for k, v := range settings {
		if !settingName.MatchString(k) || strings.ContainsAny(v, ";`") {
			return &config.KeyError{Key: at + k, Text: "is no setting of a table"}
		}
	}
	return nil
}

func (c *Config) validateShapes() error {
	if err := c.shape(event.TableName{}).validate(""); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tables)) {
		db, table, _ := strings.Cut(name, ".")
		if !sourceTable.MatchString(name) {
			return &config.KeyError{Key: "tables." + name, Text: "must be named database.table, as the source has it"}
		}
		if err := c.shape(event.TableName{DB: db, Table: table}).validate("tables." + name + "."); err != nil {
			return err
		}
	}
	return nil
}

// shape is how the target of a source table is made.
func (c *Config) shape(t event.TableName) Shape {
	own := c.Tables[t.String()]
	s := Shape{
		Mode: cmp.Or(own.Mode, c.Mode, Mirror), OrderBy: own.OrderBy, Columns: own.Columns,
		SchemaChange: own.SchemaChange.over(c.SchemaChange),
		Deletes:      own.Deletes.over(c.Deletes),
		PartitionBy:  cmp.Or(own.PartitionBy, c.PartitionBy), TTL: cmp.Or(own.TTL, c.TTL), Settings: map[string]string{},
	}
	maps.Copy(s.Settings, c.Settings)
	maps.Copy(s.Settings, own.Settings)
	return s
}

// checkShape refuses to go on with a target that was begun in another mode: what it lacks
// nobody sends again.
func (t *Table) checkShape() error {
	if len(t.rec.Stores) == 0 {
		t.rec.Mode = t.shape.Mode
		return nil
	}
	if was := cmp.Or(t.rec.Mode, Mirror); was == Mirror && t.shape.Mode == Signed {
		if n := t.PutAside().Rows; n > 0 { // a later change of such a row would take off what no sum has
			return fmt.Errorf("%w: %d changes of %s are put aside, which its sums would lack; with mode: mirror replay them "+
				"(millrace pipeline letters replay), or have the table read anew (millrace pipeline snapshot), then say mode: signed",
				pipeline.ErrUnwritable, n, t.target.Plain())
		}
		t.rec.Mode = Signed // a mirror is all that its sums need
	} else if was != t.shape.Mode {
		return fmt.Errorf("%w: %s was begun as mode %s, and the sink says %s; name another target with database and table of "+
			"the sink, or say mode: %s",
			pipeline.ErrUnwritable, t.target.Plain(), was, t.shape.Mode, was)
	}
	return nil
}

// plan is what a store for rows of a definition is: its rows' layout, and the identities of
// its key's columns. stores know the names that these have in other definitions.
func (s Shape) plan(schema *event.Schema, stores []store) (ddl.Layout, []uint32, error) {
	if s.Mode == Changelog {
		return ddl.Changes, nil, nil
	}
	layout, key, err := s.planRows(schema, stores)
	if err != nil {
		return 0, nil, err
	}
	return layout, key, s.Deletes.checkKey(schema, key)
}

// planRows is plan for a table that has the source's rows.
func (s Shape) planRows(schema *event.Schema, stores []store) (ddl.Layout, []uint32, error) {
	switch {
	case len(schema.PrimaryKey) == 0 && len(s.OrderBy) > 0:
		return 0, nil, errors.New("order_by is for tables with a primary key, which this one has not: leave it out")
	case len(schema.PrimaryKey) == 0:
		return ddl.Signs, nil, nil
	case len(s.OrderBy) == 0:
		return ddl.Versions, keyOf(schema), nil
	}
	var key []uint32
	for _, name := range s.OrderBy {
		id, ok := sortColumn(schema, stores, name)
		if !ok {
			return 0, nil, fmt.Errorf("order_by names column %s, which the table does not have: name its columns as they are now, "+
				"or as they were when its target was made", name)
		}
		key = append(key, id)
	}
	for _, i := range schema.PrimaryKey {
		if c := &schema.Columns[i]; !slices.Contains(key, c.ID) {
			return 0, nil, fmt.Errorf("order_by lacks column %s of the primary key: rows that differ in it alone would be one; add it at the end",
				c.Name)
		}
	}
	return ddl.Versions, key, nil
}

// sortColumn is the identity of a column of a definition by the name that it has there, or, where
// none has it, by the one that it had when a store was made or has in the store's newest definition:
// rows of before a rename and of behind it come under one configuration.
func sortColumn(schema *event.Schema, stores []store, name string) (uint32, bool) {
	named := func(list []event.Column) (uint32, bool) {
		i := slices.IndexFunc(list, func(c event.Column) bool { return c.Name == name })
		if i < 0 || !slices.ContainsFunc(schema.Columns, func(c event.Column) bool { return c.ID == list[i].ID }) {
			return 0, false
		}
		return list[i].ID, true
	}
	if id, ok := named(schema.Columns); ok {
		return id, true
	}
	for i := len(stores) - 1; i >= 0; i-- {
		newest, err := event.ParseSchema(stores[i].Schema)
		if err == nil {
			if id, ok := named(newest.Columns); ok {
				return id, true
			}
		}
		var made []event.Column
		for k := range stores[i].Columns {
			made = append(made, stores[i].Columns[k].Of)
		}
		if id, ok := named(made); ok {
			return id, true
		}
	}
	return 0, false
}

// checkPartition refuses a partition that is not the same for all versions of a row: parts of
// two partitions are never merged, and the older version would stay. Rows that have no versions
// may lie anywhere.
func (s *store) checkPartition(by string) error {
	if s.Layout != ddl.Versions {
		return nil
	}
	key := s.create(ddl.Name{}, "", Shape{}).Key
	for _, name := range identifiers(by) {
		if !slices.Contains(key, name) {
			return fmt.Errorf("partition_by %q names %s, which is no column of the sorting key (%s): versions of one row could "+
				"lie in two partitions, where the newer one never replaces the older; add the column to order_by of the table, or partition by "+
				"those of the key",
				by, name, strings.Join(key, ", "))
		}
	}
	return nil
}
