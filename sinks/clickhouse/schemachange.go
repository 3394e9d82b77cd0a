package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/pipeline/event"
)

// SchemaChange says what is done with a change of a definition: of all events, and of one where
// it says so.
type SchemaChange struct {
	Other  string
	Events map[string]string
}

// The choices.
const (
	lenient   = "lenient"   // followed, and nothing is destroyed
	exception = "exception" // the table stands before it
	evolve    = "evolve"    // columns are added and become wider, and nothing else
	ignore    = "ignore"    // columns stay as they are
)

// Events that evolve and ignore are for.
const (
	addColumn    = "add_column"
	dropColumn   = "drop_column"
	renameColumn = "rename_column"
	modifyColumn = "modify_column"
)

var columnEvents = []string{addColumn, dropColumn, renameColumn, modifyColumn}

// events are what can become of a definition.
var events = []string{addColumn, dropColumn, renameColumn, modifyColumn, "change_key", "truncate", "drop_table"}

// UnmarshalYAML reads one choice, or a choice by event, with other for the rest.
func (c *SchemaChange) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		c.Other = n.Value
		return nil
	}
	m := map[string]string{}
	if err := n.Decode(&m); err != nil {
		return fmt.Errorf("must be lenient or exception, or one of them by event: %w", err)
	}
	c.Other = m["other"]
	delete(m, "other")
	c.Events = m
	return nil
}

// MarshalYAML writes what UnmarshalYAML reads.
func (c SchemaChange) MarshalYAML() (any, error) {
	if len(c.Events) == 0 {
		return c.Other, nil
	}
	m := maps.Clone(c.Events)
	if c.Other != "" {
		m["other"] = c.Other
	}
	return m, nil
}

// over is the choice of a table that says what c does, and where it says nothing, the sink's.
func (c SchemaChange) over(sink SchemaChange) SchemaChange {
	if c.Other == "" && len(c.Events) == 0 {
		return sink
	}
	return c
}

func (c SchemaChange) validate(at string, mode Mode) error {
	check := func(key, choice string) error {
		switch choice {
		case lenient, exception:
			return nil
		case evolve, ignore:
			if mode == Mirror {
				return nil
			}
			return &config.KeyError{Key: key, Text: fmt.Sprintf("%q is for mode: mirror; mode %s follows each definition as it comes: say %s or %s",
				choice, mode, lenient, exception)}
		}
		return &config.KeyError{Key: key, Text: fmt.Sprintf("%q must be %s, %s, %s or %s", choice, lenient, evolve, ignore, exception)}
	}
	if c.Other != "" {
		if err := check(at, c.Other); err != nil {
			return err
		}
	}
	for _, event := range slices.Sorted(maps.Keys(c.Events)) {
		if !slices.Contains(events, event) {
			return &config.KeyError{Key: at + "." + event, Text: fmt.Sprintf("there is no such event; there are %s, and other",
				strings.Join(events, ", "))}
		}
		if err := check(at+"."+event, c.Events[event]); err != nil {
			return err
		}
		if choice := c.Events[event]; (choice == evolve || choice == ignore) && !slices.Contains(columnEvents, event) {
			return &config.KeyError{Key: at + "." + event, Text: fmt.Sprintf("%q is for columns; say %s, or %s to have the table stand",
				choice, lenient, exception)}
		}
	}
	return nil
}

func (c SchemaChange) of(event string) string {
	if choice, ok := c.Events[event]; ok {
		return choice
	}
	if c.Other == "" || (c.Other == evolve || c.Other == ignore) && !slices.Contains(columnEvents, event) {
		return lenient
	}
	return c.Other
}

// stays says that what an event changes stays as it was, or mostly.
func (c SchemaChange) stays(event string) bool { return c.of(event) == evolve || c.of(event) == ignore }

// keeps says that the view may not be as the source's definition.
func (c SchemaChange) keeps() bool { return slices.ContainsFunc(columnEvents, c.stays) }

// unwanted is why a record stands the table: it changes the definition as the configuration does
// not want it. What the ledger has taken in already, through another queue, it has.
func (t *Table) unwanted(ctx context.Context, s *event.Slice, schema *event.Schema) error {
	var found []string
	switch {
	case s.Kind == event.KindTruncate && s.Mark.Seq > t.led.Floor:
		found = []string{"truncate"}
	case s.Kind == event.KindDDL && s.Mark.Schema == (event.SchemaID{}) && schema == nil:
		found = []string{"drop_table"}
	case s.Kind == event.KindDDL && s.Mark.Old != (event.SchemaID{}) && s.Mark.Seq > t.led.SchemaAt:
		old, err := t.claim.Schemas.Schema(ctx, s.Mark.Old)
		if err != nil {
			return fmt.Errorf("find the schema of %s: %w", t.claim.Table, err)
		}
		found = differences(old, schema)
	}
	for _, event := range found {
		if t.shape.SchemaChange.of(event) == exception {
			return t.refused(fmt.Errorf("%s is not wanted here (schema_change: exception); say schema_change: {%s: lenient, other: exception} "+
				"to let it in", event, event),
				"statement numbered %d: %s", s.Lo, s.Mark.SQL)
		}
	}
	return nil
}

// differences are the events between two definitions.
func differences(old, now *event.Schema) (out []string) {
	found := map[string]bool{}
	for i := range now.Columns {
		c := &now.Columns[i]
		at := slices.IndexFunc(old.Columns, func(o event.Column) bool { return o.ID == c.ID })
		if at < 0 {
			found["add_column"] = true
			continue
		}
		o := &old.Columns[at]
		found["rename_column"] = found["rename_column"] || o.Name != c.Name
		found["modify_column"] = found["modify_column"] || o.Native != c.Native || o.Type != c.Type || o.Nullable != c.Nullable ||
			o.Precision != c.Precision || o.Scale != c.Scale || !slices.Equal(o.Members, c.Members)
	}
	for i := range old.Columns {
		if !slices.ContainsFunc(now.Columns, func(c event.Column) bool { return c.ID == old.Columns[i].ID }) {
			found["drop_column"] = true
		}
	}
	found["change_key"] = !slices.Equal(keyOf(old), keyOf(now))
	for _, event := range events {
		if found[event] {
			out = append(out, event)
		}
	}
	return out
}
