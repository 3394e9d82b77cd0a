package clickhouse

import (
	"errors"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Each event stands the table where it is not wanted, before anything of it is in the target,
// and goes on where it is.
func TestChangesOfADefinitionThatAreNotWanted(t *testing.T) {
	d := testenv.ClickHouse(t)
	wide := text(2, "v")
	wide.Native = "longtext"
	for _, c := range []struct {
		event   string
		columns []event.Column
		key     int
		kind    event.Kind
	}{
		{"add_column", []event.Column{number(1, "id", 4), text(2, "v"), text(3, "w")}, 0, event.KindDDL},
		{"drop_column", []event.Column{number(1, "id", 4)}, 0, event.KindDDL},
		{"rename_column", []event.Column{number(1, "id", 4), text(2, "w")}, 0, event.KindDDL},
		{"modify_column", []event.Column{number(1, "id", 4), wide}, 0, event.KindDDL},
		{"change_key", []event.Column{number(1, "id", 4), text(2, "v")}, -1, event.KindDDL},
		{"truncate", nil, 0, event.KindTruncate},
		{"drop_table", nil, 0, event.KindDDL},
	} {
		for _, mode := range []Mode{Mirror, Changelog} {
			for name, x := range map[string]struct {
				change SchemaChange
				stands bool
			}{
				"lenient":            {SchemaChange{}, false},
				"exception":          {SchemaChange{Other: exception}, true},
				"exception of one":   {SchemaChange{Events: map[string]string{c.event: exception}}, true},
				"exception but this": {SchemaChange{Other: exception, Events: map[string]string{c.event: lenient}}, false},
			} {
				t.Run(c.event+" "+string(mode)+" "+name, func(t *testing.T) {
					cfg := shaped(targetOn(t, d), Shape{Mode: mode, SchemaChange: x.change})
					cfg.Table = t.Name()
					m := schemas{}
					old := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
					o := own(t, cfg, m, 1, false).write(0, rows(old, 0, create(10, image(t, old, 1, "a")))).flush()
					var now *event.Schema
					if c.columns != nil {
						var key []int
						if c.key >= 0 {
							key = []int{c.key}
						}
						now = m.add(c.columns, key...)
					}
					s := mark(c.kind, now, 10, event.Mark{Seq: 20, Queues: 1, Old: old.ID, SQL: "ALTER TABLE orders ..."})
					err := o.Write(t.Context(), queueID(0), s)
					if !x.stands {
						if err != nil {
							t.Fatal(err)
						}
						o.flush()
						return
					}
					if !errors.Is(err, pipeline.ErrRecord) || !strings.Contains(err.Error(), c.event+" is not wanted here (schema_change: exception)") ||
						c.kind == event.KindDDL && !strings.Contains(err.Error(), "ALTER TABLE orders ...") {
						t.Errorf("%v", err)
					}
					o.flush().stands("before it", rows(old, 0, create(10, image(t, old, 1, "a"))))
					// Another configuration lets it in.
					cfg = shaped(cfg, Shape{Mode: mode})
					own(t, cfg, m, 2, false).write(0, s).flush()
				})
			}
		}
	}
}

// What one queue has brought, and was let in, the others may bring.
func TestAChangeThatWasLetInIsInForAllQueues(t *testing.T) {
	cfg := targetOn(t, testenv.ClickHouse(t))
	cfg.Table = "let in"
	m := schemas{}
	old := m.add([]event.Column{number(1, "id", 4)}, 0)
	now := m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
	s := mark(event.KindDDL, now, 0, event.Mark{Seq: 20, Queues: 2, Old: old.ID})
	own(t, cfg, m, 1, false).write(0, s).flush()
	cfg = shaped(cfg, Shape{SchemaChange: SchemaChange{Other: exception}})
	own(t, cfg, m, 2, false).write(1, s).flush()
}

func TestSchemaChangeIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		"exception":                                "exception exception",
		"{drop_column: exception}":                 "lenient exception",
		"{other: exception, drop_column: lenient}": "exception lenient",
	} {
		var c SchemaChange
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		again, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var d SchemaChange
		if err := yaml.Unmarshal(again, &d); err != nil {
			t.Fatal(err)
		}
		for _, x := range []SchemaChange{c, d} {
			if got := x.of("truncate") + " " + x.of("drop_column"); got != want {
				t.Errorf("%s is %s and not %s", text, got, want)
			}
		}
	}
}
