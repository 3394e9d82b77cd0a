package pipelinetest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/millrace/millrace/pipeline/event"
)

// Row is a row's values by position: int64, string or nil.
type Row []any

// Script is a server's log and the tables that it adds up to. It grows while sources read
// it: what is Committed is in the log at once, what is Planned comes one transaction at a
// time, whenever a reader stands at the log's end. Its methods may be called concurrently.
type Script struct {
	mu     sync.Mutex
	server string
	names  []event.TableName
	txs    []tx
	// states[i] is what the tables hold before transaction i.
	states  []map[event.TableName]*content
	shown   int // transactions in the log now
	start   int // the log's end when a source was first opened
	purged  int // transactions before it are gone from the log
	waiting chan struct{}
}

// Table names a table of a script for its own methods.
type Table struct {
	s    *Script
	Name event.TableName
}

// content is a table at one time. Its rows are never changed in place.
type content struct {
	schema  *event.Schema
	queues  int
	keyless bool
	rows    []Row
}

type tx struct {
	id       string
	changes  []Change
	ddl      *event.TableName
	truncate *event.TableName
}

// Change is one row change: Before nil is an insert, After nil a delete.
type Change struct {
	table         event.TableName
	Before, After Row
	find          func(*content) (Row, error)
}

// NewScript is a server with empty tables.
func NewScript() *Script {
	return &Script{server: "server-1", start: -1, states: []map[event.TableName]*content{{}}, waiting: make(chan struct{})}
}

// Table makes a table (id INT, v TEXT) before the first transaction. Without a key it is
// a changelog.
func (s *Script) Table(db, name string, queues int, keyed bool) Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := event.TableName{DB: db, Table: name}
	columns := []event.Column{
		{ID: 1, Name: "id", Type: event.TypeInt, Native: "int(11)", Precision: 4},
		{ID: 2, Name: "v", Type: event.TypeText, Native: "text", Nullable: true},
	}
	var key []int
	if keyed {
		key = []int{0}
	}
	s.names = append(s.names, t)
	s.states[0][t] = &content{schema: event.NewSchema(t, columns, key), queues: queues, keyless: !keyed}
	return Table{s, t}
}

// Names are the tables.
func (s *Script) Names() []event.TableName { return slices.Clone(s.names) }

// Put inserts a row, or updates the one with this id; further columns keep their values.
func (t Table) Put(id int, v string) Change {
	return Change{table: t.Name, After: Row{int64(id), v}, find: func(c *content) (Row, error) { return c.find(id), nil }}
}

// Insert is for tables without a key, where Put would not know which row is meant.
func (t Table) Insert(id int, v string) Change {
	return Change{table: t.Name, After: Row{int64(id), v}}
}

// Delete deletes the row with this id.
func (t Table) Delete(id int) Change {
	return Change{table: t.Name, find: func(c *content) (Row, error) { return c.must(id) }}
}

// Move gives the row with an id another one, and a value.
func (t Table) Move(id, to int, v string) Change {
	return Change{table: t.Name, After: Row{int64(to), v}, find: func(c *content) (Row, error) { return c.must(id) }}
}

func (c *content) find(id int) Row {
	for _, r := range c.rows {
		if r[0] == int64(id) {
			return r
		}
	}
	return nil
}

func (c *content) must(id int) (Row, error) {
	if r := c.find(id); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("%s has no row %d", c.schema.Name, id)
}

// Plan adds a transaction that comes when a reader has come to the log's end. A
// change that cannot be is a mistake of the test.
func (s *Script) Plan(changes ...Change) { s.plan(changes, nil, nil, nil) }

// Commit adds a transaction that is in the log at once, and all those planned before it.
func (s *Script) Commit(changes ...Change) {
	s.Plan(changes...)
	s.Show()
}

// AddColumn plans a definition: a text column, whose default older rows show.
func (s *Script) AddColumn(t Table, name, fill string) {
	s.plan(nil, &t.Name, nil, func(c *content) {
		columns := slices.Clone(c.schema.Columns)
		columns = append(columns, event.Column{
			ID: uint32(len(columns) + 1), Name: name, Type: event.TypeText, Native: "text", HasDefault: true, Default: []byte(fill),
		})
		c.schema = event.NewSchema(t.Name, columns, c.schema.PrimaryKey)
		for i, r := range c.rows {
			c.rows[i] = append(slices.Clone(r), fill)
		}
	})
}

// ChangeKey plans a definition: another primary key, by the columns' places, or none.
func (s *Script) ChangeKey(t Table, key ...int) {
	s.plan(nil, &t.Name, nil, func(c *content) {
		c.schema, c.keyless = event.NewSchema(t.Name, slices.Clone(c.schema.Columns), key), len(key) == 0
	})
}

// Truncate plans a TRUNCATE.
func (s *Script) Truncate(t Table) {
	s.plan(nil, nil, &t.Name, func(c *content) { c.rows = nil })
}

// Show puts everything planned into the log.
func (s *Script) Show() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.showLocked(len(s.txs))
}

func (s *Script) showLocked(n int) {
	if n <= s.shown {
		return
	}
	s.shown = n
	close(s.waiting)
	s.waiting = make(chan struct{})
}

func (s *Script) plan(changes []Change, ddl, truncate *event.TableName, alter func(*content)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := maps.Clone(s.states[len(s.txs)])
	own := func(t event.TableName) *content {
		c := *state[t]
		c.rows = slices.Clone(c.rows)
		state[t] = &c
		return &c
	}
	t := tx{id: "0-1-" + strconv.Itoa(len(s.txs)+1), ddl: ddl, truncate: truncate}
	for _, ch := range changes {
		if err := ch.apply(own(ch.table)); err != nil {
			panic("BUG: script: " + err.Error())
		}
		t.changes = append(t.changes, ch)
	}
	if ddl != nil {
		alter(own(*ddl))
	}
	if truncate != nil {
		alter(own(*truncate))
	}
	s.txs, s.states = append(s.txs, t), append(s.states, state)
}

// apply settles what a change means for the rows that are there, and makes it.
func (ch *Change) apply(c *content) error {
	if ch.find != nil {
		var err error
		if ch.Before, err = ch.find(c); err != nil {
			return err
		}
	}
	if ch.After != nil {
		for i := len(ch.After); i < len(c.schema.Columns); i++ {
			if ch.Before != nil {
				ch.After = append(ch.After, ch.Before[i])
			} else {
				ch.After = append(ch.After, "new in "+c.schema.Columns[i].Name)
			}
		}
	}
	if ch.Before != nil {
		at := slices.IndexFunc(c.rows, func(r Row) bool { return slices.Equal(r, ch.Before) })
		c.rows = slices.Delete(c.rows, at, at+1)
	}
	if ch.After != nil {
		if !c.keyless && c.find(int(ch.After[0].(int64))) != nil {
			return fmt.Errorf("%s has a row %v already", c.schema.Name, ch.After[0])
		}
		c.rows = append(c.rows, ch.After)
	}
	return nil
}

// Len is the number of transactions, planned ones included.
func (s *Script) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.txs)
}

// BecomeServer makes the script another server that holds the same transactions.
func (s *Script) BecomeServer(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = name
}

// Purge takes everything that is in the log now out of it.
func (s *Script) Purge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purged = s.shown
}

// rows are what a table holds in the end, planned transactions included.
func (s *Script) content(t event.TableName) *content {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[len(s.txs)][t]
}

// Shown is the number of transactions that are in the log.
func (s *Script) Shown() int { return s.end() }
