package clickhouse

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

// Mode is what a table of the target is of its source.
type Mode string

// The modes.
const (
	Mirror    Mode = "mirror"    // the source's rows
	Changelog Mode = "changelog" // every change of them, once
)

// Shape is how the tables of the target are made: of all, and of one where it says so.
type Shape struct {
	Mode Mode `yaml:"mode"`
}

var sourceTable = regexp.MustCompile(`^[^.]+\..+$`)

// later are modes that others speak of and this version has not.
var later = map[Mode]string{
	"signed": "use mirror, and views that are refreshed; or changelog, where each change is one row",
}

func (s Shape) validate(at string) error {
	if remedy, ok := later[s.Mode]; ok {
		return &config.KeyError{Key: at + "mode", Text: fmt.Sprintf("%q is not supported yet: %s", s.Mode, remedy)}
	}
	switch s.Mode {
	case Mirror, Changelog, "":
		return nil
	}
	return &config.KeyError{Key: at + "mode", Text: fmt.Sprintf("%q must be mirror or changelog", s.Mode)}
}

func (c *Config) validateShapes() error {
	if err := (Shape{Mode: c.Mode}).validate(""); err != nil {
		return err
	}
	names := make([]string, 0, len(c.Tables))
	for name := range c.Tables {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !sourceTable.MatchString(name) {
			return &config.KeyError{Key: "tables." + name, Text: "must be named database.table, as the source has it"}
		}
		if err := c.Tables[name].validate("tables." + name + "."); err != nil {
			return err
		}
	}
	return nil
}

// shape is how the target of a source table is made.
func (c *Config) shape(t event.TableName) Shape {
	own := c.Tables[t.String()]
	return Shape{Mode: cmp.Or(own.Mode, c.Mode, Mirror)}
}

// checkShape refuses to go on with a target that was begun in another mode: what it lacks
// nobody sends again.
func (t *Table) checkShape() error {
	if len(t.rec.Stores) == 0 {
		t.rec.Mode = t.shape.Mode
		return nil
	}
	if was := cmp.Or(t.rec.Mode, Mirror); was != t.shape.Mode {
		return fmt.Errorf("%w: %s was begun as mode %s, and the sink says %s; name another target with database and table of the sink, or say mode: %s",
			pipeline.ErrUnwritable, t.target.Plain(), was, t.shape.Mode, was)
	}
	return nil
}

// keyOf are the identities of the key of a store for rows of a definition.
func (s Shape) keyOf(schema *event.Schema) []uint32 {
	if s.Mode == Changelog {
		return nil
	}
	return keyOf(schema)
}

// layout is that of a store for rows of a definition.
func (s Shape) layout(schema *event.Schema) ddl.Layout {
	switch {
	case s.Mode == Changelog:
		return ddl.Changes
	case len(schema.PrimaryKey) == 0:
		return ddl.Signs
	}
	return ddl.Versions
}
