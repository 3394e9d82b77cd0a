package clickhouse

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// A table that nobody has written, and one whose view was dropped, are no tables to a reader.
func TestAMissingTableIsNoTable(t *testing.T) {
	d := testenv.ClickHouse(t)
	c, m := targetOn(t, d), schemas{}
	s := m.add([]event.Column{number(1, "id", 4)}, 0)
	own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1)))).flush()
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	read := func(table event.TableName) error {
		return reader(t, c, "p").Read(t.Context(), table, func([]pipeline.ReadColumn) error { return nil },
			func([]pipeline.Cell) error { return nil })
	}
	if err := read(tableName); err != nil {
		t.Error(err)
	}
	if err := read(event.TableName{DB: "shop", Table: "gone"}); !errors.Is(err, pipeline.ErrNoTable) {
		t.Errorf("a table that was never written: %v", err)
	}
	if err := conn.Exec(t.Context(), "DROP VIEW `"+c.Database+"`."+tableName.Table); err != nil {
		t.Fatal(err)
	}
	if err := read(tableName); !errors.Is(err, pipeline.ErrNoTable) {
		t.Errorf("a view that was dropped: %v", err)
	}
}

// Somebody drops the table that holds the rows: the marks go back to where the rows begin, and
// the table is made again.
func TestATableThatWasDroppedIsMadeAgain(t *testing.T) {
	d := testenv.ClickHouse(t)
	c, m := targetOn(t, d), schemas{}
	s := simple(m)
	one := rows(s, 0, create(10, image(t, s, 1, "a")))
	own(t, c, m, 1, false).write(0, one).flush()
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), "DROP TABLE `"+c.Database+"`."+tableName.Table+suffix); err != nil {
		t.Fatal(err)
	}
	own(t, c, m, 2, false).stands("dropped", nil).write(0, one, rows(s, 10, create(12, image(t, s, 2, "b")))).flush()
	same(t, "made again", shows(t, c), []string{"id=1 v=a", "id=2 v=b"})
}
