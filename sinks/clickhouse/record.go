package clickhouse

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/ledger"
)

// record is what the ledger in the target says of one table, as JSON in its column state.
type record struct {
	Pipeline string `json:"pipeline"`
	Sink     string `json:"sink"`
	DB       string `json:"db"`
	Table    string `json:"table"`
	// Database and View are the target's name.
	Database string        `json:"database"`
	View     string        `json:"view"`
	Queues   []queueRecord `json:"queues,omitempty"`
	Floor    event.Seq     `json:"floor,omitempty"`
	FloorQ   int           `json:"floorQ,omitempty"`
	Route    int           `json:"route,omitempty"`
	RouteAt  event.Seq     `json:"routeAt,omitempty"`
	Rerouted event.Seq     `json:"rerouted,omitempty"`
	Schema   []byte        `json:"schema,omitempty"`
	SchemaAt event.Seq     `json:"schemaAt,omitempty"`
	Open     []event.Seq   `json:"open,omitempty"`
	Ends     []endRecord   `json:"ends,omitempty"`
	Due      event.Seq     `json:"due,omitempty"`
	Born     event.Seq     `json:"born,omitempty"`
	Held     int64         `json:"held,omitempty"`
	Stores   []store       `json:"stores,omitempty"`
	// Life is the life of the server up to whose beginning nothing is missing.
	Life uint64 `json:"life,omitempty"`
	// Again is what is sent again because the server started anew.
	Again *again `json:"again,omitempty"`
	// Cleaned is the floor below which rows were removed from the disk.
	Cleaned event.Seq `json:"cleaned,omitempty"`
	// Mode is what the target's tables are; "" is mirror. Log says how readers find the rows
	// in a changelog.
	Mode Mode       `json:"mode,omitempty"`
	Log  *logRecord `json:"log,omitempty"`
	// Kept is the column of the view by which readers tell rows that were kept though they went;
	// "" is none, and every row is the source's.
	Kept string `json:"kept,omitempty"`
	// Raws says that there is a view with more than the target's own, once there was one for ever.
	Raws bool `json:"raws,omitempty"`
	// Sweep is the removal of deleted rows that is under way. Below Swept deletions may be gone,
	// and a mark proves nothing by its rows.
	Sweep *sweep    `json:"sweep,omitempty"`
	Swept event.Seq `json:"swept,omitempty"`
	// Signs are what mode signed has beside a mirror.
	Signs *signsRecord `json:"signs,omitempty"`
	// Total is how many rows of the source were written, of all its life.
	Total uint64 `json:"total,omitempty"`
}

// queueRecord is a queue's place; its number is its place in the list.
type queueRecord struct {
	Broker string         `json:"broker"`
	Topic  string         `json:"topic"`
	Queue  int            `json:"queue"`
	Seq    event.Seq      `json:"seq"`
	ID     event.Identity `json:"id,omitzero"`
	High   event.Seq      `json:"high,omitempty"`
	Done   int64          `json:"done,omitempty"`
	// In are the highest numbers of the queue's rows in each store, by the store's number.
	In map[int]event.Seq `json:"in,omitempty"`
}

type endRecord struct {
	Begin  event.Seq `json:"begin"`
	Queues int       `json:"queues"`
	Passed []int     `json:"passed"`
}

// logRecord names columns of a changelog's view: the present key's, its operation's, number's
// and bound's, and all that are not the source's.
type logRecord struct {
	Key   []string `json:"key,omitempty"`
	Op    string   `json:"op"`
	Seq   string   `json:"seq"`
	Below string   `json:"below"`
	Extra []string `json:"extra"`
}

// again says how far back the marks went, and up to where everything must be sent before
// the target is as whole as it was.
type again struct {
	From []queueRecord `json:"from"`
	Ends []endRecord   `json:"ends,omitempty"` // as they were there
	To   []event.Seq   `json:"to"`             // by number
}

func parseRecord(text string) (*record, error) {
	r := new(record)
	if err := json.Unmarshal([]byte(text), r); err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	for i := range r.Stores {
		if err := r.Stores[i].check(); err != nil {
			return nil, fmt.Errorf("the ledger: %w", err)
		}
	}
	if s := r.signs(); s != nil {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("the ledger: %w", err)
		}
	}
	for i := range r.Queues { // as it was written before there were several stores
		if q := &r.Queues[i]; q.High > 0 && q.In == nil && len(r.Stores) == 1 {
			q.In = map[int]event.Seq{r.Stores[0].Number: q.High}
		}
	}
	return r, nil
}

// raws says that there is a view with more than the target's own has.
func (r *record) raws() bool { return r.Raws || hasRaw(r.Stores) }

func (r *record) text() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic("BUG: a record that JSON can't hold: " + err.Error())
	}
	return string(b)
}

// put takes the ledger's table into the record.
func (r *record) put(t *ledger.Table) {
	queues := make([]queueRecord, len(t.Queues))
	for i, q := range t.Queues {
		queues[i] = queueRecord{Broker: q.ID.Broker, Topic: q.ID.Topic, Queue: q.ID.Queue, Seq: q.Seq, ID: q.At, High: q.High, Done: q.Done}
		if i < len(r.Queues) {
			queues[i].In = r.Queues[i].In
		}
	}
	r.Queues = queues
	r.Floor, r.FloorQ, r.Route, r.RouteAt, r.SchemaAt = t.Floor, t.FloorQ, t.Route, t.RouteAt, t.SchemaAt
	r.Rerouted = t.Rerouted
	r.Open, r.Due, r.Born, r.Held = slices.Clone(t.Open), t.Due, t.Born, t.Held
	r.Schema, r.Ends = nil, nil
	if t.Schema != nil {
		r.Schema = event.AppendSchema(nil, t.Schema)
	}
	for _, e := range t.Ends {
		r.Ends = append(r.Ends, endRecord{e.Begin, e.Queues, slices.Clone(e.Passed)})
	}
}

// table is the record's ledger.
func (r *record) table(generation uint64) (*ledger.Table, error) {
	t := &ledger.Table{
		Generation: generation, Floor: r.Floor, FloorQ: r.FloorQ, Route: r.Route, RouteAt: r.RouteAt, SchemaAt: r.SchemaAt,
		Rerouted: r.Rerouted, Open: slices.Clone(r.Open), Due: r.Due, Born: r.Born, Held: r.Held,
	}
	if t.Rerouted == 0 { // an earlier version has not said it
		t.Rerouted = t.RouteAt
	}
	if len(r.Schema) > 0 {
		var err error
		if t.Schema, err = event.ParseSchema(r.Schema); err != nil {
			return nil, fmt.Errorf("the ledger: %w", err)
		}
	}
	for _, e := range r.Ends {
		t.Ends = append(t.Ends, ledger.End{Begin: e.Begin, Queues: e.Queues, Passed: slices.Clone(e.Passed)})
	}
	for i := range r.Queues {
		t.Queues = append(t.Queues, r.Queues[i].queue())
	}
	return t, nil
}

func (q *queueRecord) id() pipeline.QueueID {
	return pipeline.QueueID{Broker: q.Broker, Topic: q.Topic, Queue: q.Queue}
}

func (q *queueRecord) queue() ledger.Queue {
	return ledger.Queue{ID: q.id(), Seq: q.Seq, At: q.ID, High: q.High, Done: q.Done}
}

// store is one table that holds versions of rows under one key. A change of the key makes
// another one, which is shown once a snapshot has filled it.
type store struct {
	// Number is 1 for <table>__cdc; a later one is named <table>__cdc_<number>.
	Number int `json:"number"`
	// Since is the number of the change that brought the key.
	Since event.Seq `json:"since,omitempty"`
	// Layout is what its rows are.
	Layout ddl.Layout `json:"layout,omitempty"`
	// Key are the identities of the key's columns, in its order; of versions alone.
	Key     []uint32       `json:"key,omitempty"`
	Columns []targetColumn `json:"columns"`
	// Schema is the newest definition that has this key.
	Schema   []byte    `json:"schema"`
	SchemaAt event.Seq `json:"schemaAt,omitempty"`
	// Left is when the view was seen to show a newer store, in microseconds by the server's
	// clock; 0 while it was not.
	Left int64 `json:"left,omitempty"`
	// Shown are the view's columns where they are not as Schema says, and Types those that columns
	// go on in, by identity (schema_change: evolve, ignore).
	Shown []shownColumn     `json:"shown,omitempty"`
	Types map[uint32]string `json:"types,omitempty"`
	// Rule is what was kept back of the source's columns and rows in all that the store has taken;
	// severalRules where that was not always the same.
	Rule *string `json:"rule,omitempty"`
	// Kept says where the rows come from that were kept though they went before its snapshot.
	Kept *keptRecord `json:"kept,omitempty"`
}

// targetColumn holds the values of one source column, by identity, in one type, under one
// name for ever. A rename changes the view; another type makes another column.
type targetColumn struct {
	Name string       `json:"name"`
	Type string       `json:"type"`
	Of   event.Column `json:"of"` // the source column that it was made for
	// Raw columns hold the text of values that the source column's own can't hold.
	Raw bool `json:"raw,omitempty"`
	// Before columns hold what was there before the change.
	Before bool `json:"before,omitempty"`
	// Gone is the column of when a row went that was kept. It is of no source column.
	Gone bool `json:"gone,omitempty"`
	// As is the type as the configuration chose it, "" where it is the source column's own.
	As string `json:"as,omitempty"`
	// AsOf is the column's name in the configuration that chose it.
	AsOf string `json:"asOf,omitempty"`
	// Lit is the expression that rows show which were written before the column was there.
	Lit string `json:"default,omitempty"`

	typ column.Type
}
