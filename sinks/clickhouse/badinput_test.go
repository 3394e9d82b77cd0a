package clickhouse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

func simple(m schemas) *event.Schema {
	return m.add([]event.Column{number(1, "id", 4), text(2, "v")}, 0)
}

func TestPreflightNamesTheThingAndTheRemedy(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{Users: []chserver.User{
		{Name: "good", Password: "right"}, {Name: "reader", Password: "right", ReadOnly: 1},
		{Name: "poor", Password: "right", Grants: []string{"SELECT ON *.*", "CREATE ON *.*"}},
		{Name: "guest", Password: "right", Grants: []string{"ALL ON millrace_test.*", "SELECT ON system.*", "KILL QUERY ON *.*"}},
	}})
	base := targetOn(t, server.ClickHouseDatabase)
	for _, c := range []struct {
		what, user, password, address string
		found, remedy                 string
	}{
		{"good", "good", "right", "", "", ""},
		{"wrong password", "good", "wrong", "", "516", "see address, user, password"},
		{"no server", "good", "right", "127.0.0.1:1", "can't be reached", "see address, user, password"},
		{"read-only", "reader", "right", "", "", ""},
		{"no INSERT", "poor", "right", "", "", "GRANT"},
	} {
		cfg := base
		cfg.User, cfg.Password = c.user, config.Secret(c.password)
		if c.address != "" {
			cfg.Address = []string{c.address}
		}
		s, err := New(cfg, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		problems, err := s.Preflight(t.Context())
		s.Close()
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if c.what == "good" {
			if len(problems) > 0 {
				t.Errorf("good: %+v", problems)
			}
			continue
		}
		if len(problems) == 0 || !problems[0].Fatal || !strings.Contains(problems[0].Found, c.found) || !strings.Contains(problems[0].Remedy, c.remedy) {
			t.Errorf("%s: %+v", c.what, problems)
		}
	}

	// A database that is not there, and that the user may not make.
	cfg := base
	cfg.User, cfg.Password, cfg.Database = "guest", "right", "absent"
	s, err := New(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	problems, err := s.Preflight(t.Context())
	if err != nil || len(problems) == 0 || !problems[0].Fatal || !strings.Contains(problems[0].Remedy, "ON `absent`.* TO `guest`") {
		t.Errorf("no database: %+v, %v", problems, err)
	}
	m := schemas{}
	schema := simple(m)
	o := own(t, cfg, m, 1, false).write(0, rows(schema, 0, create(10, image(t, schema, 1, "a"))))
	_, err = o.Flush(t.Context())
	if !errors.Is(err, pipeline.ErrUnwritable) || !strings.Contains(err.Error(), "CREATE DATABASE ON absent.*") || !strings.Contains(err.Error(), "grant what") {
		t.Errorf("no database: %v", err)
	}
}

func TestAServerThatIsTooOldIsNamed(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{Version: "23.3.1.1"})
	s, err := New(targetOn(t, server.ClickHouseDatabase), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	problems, err := s.Preflight(t.Context())
	if err != nil || len(problems) != 1 || problems[0].Found != "23.3.1.1" {
		t.Errorf("%+v, %v", problems, err)
	}
}

// What the server cannot do now pauses the table, with the reason, and goes on by itself.
func TestWhatTheServerRefusesIsGivenAgain(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	for _, code := range []int32{241, 243, 242, 202, 497, 164, 159, 201} {
		c := targetOn(t, server.ClickHouseDatabase)
		c.Table = fmt.Sprintf("refused_%d", code)
		m := schemas{}
		s := simple(m)
		o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a")))).flush()
		fault := chserver.Refusal(code)
		fault.On, fault.Table, fault.At = chserver.Insert, c.Database+"."+c.Table+suffix, chserver.Received
		server.Inject(t, fault)
		o.write(0, rows(s, 10, create(12, image(t, s, 2, "b"))))
		if _, err := o.Flush(t.Context()); !errors.Is(err, pipeline.ErrUnwritable) || errors.Is(err, pipeline.ErrRecord) || !strings.Contains(err.Error(), fault.Message) ||
			!strings.Contains(err.Error(), c.Table) || !strings.HasSuffix(err.Error(), ")") { // the remedy
			t.Errorf("code %d: %v", code, err)
		}
		o = own(t, c, m, 2, false)
		if marks := o.Marks(); len(marks) != 1 || marks[0].Seq != 10 {
			t.Errorf("code %d: marks %+v", code, marks)
		}
		o.write(0, rows(s, 10, create(12, image(t, s, 2, "b")))).flush()
		same(t, fmt.Sprint(code), shows(t, c), []string{"id=1 v=a", "id=2 v=b"})
	}
}

func TestATargetThatIsTakenIsLeftAlone(t *testing.T) {
	d := testenv.ClickHouse(t)
	c := targetOn(t, d)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), "CREATE TABLE "+d.Name+".orders (a Int8) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	m := schemas{}
	s := simple(m)
	o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a"))))
	if _, err := o.Flush(t.Context()); !errors.Is(err, pipeline.ErrUnwritable) || !strings.Contains(err.Error(), "is a table") {
		t.Errorf("a table of the view's name: %v", err)
	}
	if err := conn.Exec(t.Context(), "DROP TABLE "+d.Name+".orders"); err != nil {
		t.Fatal(err)
	}
	o = own(t, c, m, 2, false)
	same(t, "dropped", shows(t, c), []string{"id=1 v=a"})

	other, err := New(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = other.OpenTable(t.Context(), pipeline.Claim{Pipeline: "q", Sink: "olap", Table: tableName, Generation: 9, Schemas: m})
	if !errors.Is(err, pipeline.ErrUnwritable) || !strings.Contains(err.Error(), "of pipeline p") {
		t.Errorf("another pipeline: %v", err)
	}
	o.write(0, rows(s, 10, create(12, image(t, s, 2, "b")))).flush() // which has done nothing to its owner
	same(t, "its owner's", shows(t, c), []string{"id=1 v=a", "id=2 v=b"})
}

// Somebody empties the fence: the owner closes it again.
func TestAFenceThatWasEmptiedIsClosedAgain(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, server.ClickHouseDatabase)
	m := schemas{}
	s := simple(m)
	old := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a")))).flush()
	o := own(t, c, m, 2, false)
	if _, err := server.Admin(t.Context(), "TRUNCATE TABLE "+server.Name+".fence"); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(2 * fenceEvery)
	o.sink.now = func() time.Time { return later }
	if err := o.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	old.write(0, rows(s, 10, create(12, image(t, s, 2, "zombie"))))
	if _, err := old.Flush(t.Context()); !errors.Is(err, pipeline.ErrSuperseded) {
		t.Errorf("the replaced owner: %v", err)
	}
}

func TestRowsBelowTheFloorAreRemoved(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, server.ClickHouseDatabase)
	m := schemas{}
	s := simple(m)
	o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a")), create(12, image(t, s, 2, "b"))),
		mark(event.KindTruncate, s, 12, event.Mark{Seq: 20, Queues: 1}), rows(s, 20, create(22, image(t, s, 1, "new")))).flush()
	same(t, "truncated", shows(t, c), []string{"id=1 v=new"})
	if err := o.Maintain(t.Context()); err != nil || o.Trouble() != "" {
		t.Fatal(err, o.Trouble())
	}
	waitFor(t, func() bool {
		n, err := server.Admin(t.Context(), "SELECT count() FROM "+server.Name+".orders__cdc")
		return err == nil && strings.TrimSpace(n) == "1"
	})
	o = own(t, c, m, 2, false)
	if marks := o.Marks(); len(marks) != 1 || marks[0].Seq != 22 {
		t.Errorf("marks %+v", marks)
	}
}

func TestPurge(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c := targetOn(t, server.ClickHouseDatabase)
	m := schemas{}
	s := simple(m)
	o := own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "a")))).flush()
	if err := o.sink.KeepStatus(t.Context(), "p", []pipeline.TableFreshness{{Table: tableName, State: pipeline.StateRunning}}); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"millrace_test.orders"}, nil} {
		removed, err := o.sink.Purge(t.Context(), "p")
		if err != nil || !slices.Equal(removed, want) {
			t.Errorf("removed %v, %v", removed, err)
		}
	}
	left, err := server.Admin(t.Context(), "SELECT name FROM system.tables WHERE database = '"+server.Name+"' AND name LIKE 'orders%' UNION ALL SELECT source FROM "+server.Name+".millrace_status")
	if err != nil || strings.TrimSpace(left) != "" {
		t.Errorf("left: %s, %v", left, err)
	}
	// The name can be used again: the fence closes what was, and a new claim goes above it.
	if _, err := claimed(t, c, m, 1, false); err != nil && !errors.Is(err, pipeline.ErrSuperseded) {
		t.Error(err)
	}
	own(t, c, m, 2, false).write(0, rows(s, 0, create(10, image(t, s, 1, "again")))).flush()
	same(t, "again", shows(t, c), []string{"id=1 v=again"})
}
