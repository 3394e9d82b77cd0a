package life

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/millrace/millrace/pipeline/event"
)

// Tables are the lives of a pipeline's tables. Any goroutine may use it; it never waits.
type Tables struct {
	// changed hears of every event that changed something, after it did.
	changed func(name event.TableName, e Event, before, after Table)

	mu  sync.Mutex
	all map[event.TableName]Table
}

// New makes a Tables that knows of none; changed may be nil.
func New(changed func(name event.TableName, e Event, before, after Table)) *Tables {
	if changed == nil {
		changed = func(event.TableName, Event, Table, Table) {}
	}
	return &Tables{changed: changed, all: map[event.TableName]Table{}}
}

// Report takes an event in and says what the table is behind it.
func (ts *Tables) Report(name event.TableName, e Event) Table {
	ts.mu.Lock()
	before := ts.all[name]
	after := before.After(e)
	ts.all[name] = after
	ts.mu.Unlock()
	if after != before {
		ts.changed(name, e, before, after)
	}
	return after
}

// Open takes in what the records say of all tables; those that they do not speak of have
// nothing recorded.
func (ts *Tables) Open(recorded map[event.TableName]Recorded) {
	names := slices.Collect(maps.Keys(recorded))
	for _, name := range ts.Names() {
		if _, there := recorded[name]; !there {
			names = append(names, name)
		}
	}
	for _, name := range names {
		ts.Report(name, Event{Kind: Opened, Recorded: recorded[name]})
	}
}

// Forget takes a table out of which the records do not speak any more, unless it is one that
// people still hope for: only one that the source has no longer, or that the file leaves out,
// goes. It reports whether it went.
func (ts *Tables) Forget(name event.TableName) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, known := ts.all[name]
	if !known || t.gone.Code == "" && t.file != leftOut {
		return false
	}
	delete(ts.all, name)
	return true
}

// Has reports whether a table was reported of and is not forgotten.
func (ts *Tables) Has(name event.TableName) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	_, known := ts.all[name]
	return known
}

// Of is one table; one that nobody has reported of runs.
func (ts *Tables) Of(name event.TableName) Table {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.all[name]
}

// All are the tables as they are now.
func (ts *Tables) All() map[event.TableName]Table {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return maps.Clone(ts.all)
}

// Names are the tables that were reported of, in order.
func (ts *Tables) Names() []event.TableName {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return slices.SortedFunc(maps.Keys(ts.all), func(a, b event.TableName) int { return strings.Compare(a.String(), b.String()) })
}
