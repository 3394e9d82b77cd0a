package changes

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// Names of the facts that stand in the log of changes/ beside the files.
const (
	domainTable = "millrace.table"
	domainQueue = "millrace.queue."
)

// queueFact is one queue's place in the ledger. Its number also stands in the queue's txn
// action, where readers of any kind find it.
type queueFact struct {
	Broker string    `json:"broker"`
	Topic  string    `json:"topic"`
	Queue  int       `json:"queue"`
	Q      int       `json:"q"`
	Seq    event.Seq `json:"seq"`
	ID     string    `json:"id"` // "" for a mark that was adopted
	High   event.Seq `json:"high"`
	Done   int64     `json:"done,omitempty"`
}

func queueFactOf(q int, x *ledger.Queue) queueFact {
	f := queueFact{Broker: x.ID.Broker, Topic: x.ID.Topic, Queue: x.ID.Queue, Q: q, Seq: x.Seq, High: x.High, Done: x.Done}
	if x.At != (event.Identity{}) {
		f.ID = x.At.String()
	}
	return f
}

func (f *queueFact) queue() ledger.Queue {
	at, err := event.ParseIdentity(f.ID)
	if err != nil {
		at = event.Identity{} // an adopted mark has none
	}
	return ledger.Queue{ID: pipeline.QueueID{Broker: f.Broker, Topic: f.Topic, Queue: f.Queue}, Seq: f.Seq, At: at, High: f.High, Done: f.Done}
}

// tableFact is what belongs to all queues of the table.
type tableFact struct {
	Pipeline string       `json:"pipeline"`
	DB       string       `json:"db"`
	Table    string       `json:"table"`
	Columns  file.Columns `json:"columns"`
	Schema   []byte       `json:"schema,omitempty"` // newest schema, in the event package's encoding
	SchemaAt event.Seq    `json:"schemaAt,omitempty"`
	Controls uint64       `json:"controls,omitempty"`
	Floor    event.Seq    `json:"floor,omitempty"`
	FloorQ   int          `json:"floorQ,omitempty"`
	Route    int          `json:"route,omitempty"`
	RouteAt  event.Seq    `json:"routeAt,omitempty"`
	Rerouted event.Seq    `json:"rerouted,omitempty"`
	Open     []event.Seq  `json:"open,omitempty"`
	Ends     []endFact    `json:"ends,omitempty"`
	Due      event.Seq    `json:"due,omitempty"`
	Born     event.Seq    `json:"born"`
	Held     int64        `json:"held,omitempty"`
}

// endFact is an END on its way through the queues.
type endFact struct {
	Begin  event.Seq `json:"begin"`
	Queues int       `json:"queues"`
	Passed []int     `json:"passed"`
}

// unsaid is Born in the facts of versions that did not say it.
const unsaid event.Seq = math.MaxUint64

func tableFactOf(c *pipeline.Claim, f *lake.Facts) *tableFact {
	t := f.Ledger
	out := &tableFact{
		Pipeline: c.Pipeline, DB: c.Table.DB, Table: c.Table.Table, Columns: f.Columns, SchemaAt: t.SchemaAt, Controls: f.Controls,
		Floor: t.Floor, FloorQ: t.FloorQ, Route: t.Route, RouteAt: t.RouteAt, Rerouted: t.Rerouted,
		Open: t.Open, Due: t.Due, Born: t.Born, Held: t.Held,
	}
	if t.Schema != nil {
		out.Schema = event.AppendSchema(nil, t.Schema)
	}
	for _, e := range t.Ends {
		out.Ends = append(out.Ends, endFact(e))
	}
	return out
}

// facts are what a table's fact says. Where an older version did not say when the table was
// made, it is what that one took for it, unless nothing but rows and heartbeats has come.
func (t *tableFact) facts() (*lake.Facts, error) {
	if t.Born == unsaid {
		t.Born = t.SchemaAt
	}
	out := &lake.Facts{Columns: t.Columns, Controls: t.Controls, Ledger: &ledger.Table{
		SchemaAt: t.SchemaAt, Floor: t.Floor, FloorQ: t.FloorQ, Route: t.Route, RouteAt: t.RouteAt, Rerouted: t.Rerouted,
		Open: t.Open, Due: t.Due, Born: t.Born, Held: t.Held,
	}}
	if t.Rerouted == 0 { // an older version did not say it
		out.Ledger.Rerouted = t.RouteAt
	}
	for _, e := range t.Ends {
		out.Ledger.Ends = append(out.Ledger.Ends, ledger.End(e))
	}
	for i := range t.Columns {
		if _, err := file.ParseDelta(t.Columns[i].Type); err != nil {
			return nil, err
		}
	}
	if len(t.Schema) == 0 {
		return out, nil
	}
	var err error
	out.Ledger.Schema, err = event.ParseSchema(t.Schema)
	return out, err
}

func appID(pipelineName string, t event.TableName, q int) string {
	return pipelineName + "/" + t.String() + "/" + strconv.Itoa(q)
}

// readFacts reads the facts of a snapshot back.
func readFacts(s *delta.Snapshot, c *pipeline.Claim) (*lake.Facts, error) {
	f := &lake.Facts{Ledger: &ledger.Table{}}
	if text, ok := s.Domains[domainTable]; ok {
		fact := tableFact{Born: unsaid}
		if err := json.Unmarshal([]byte(text), &fact); err != nil {
			return nil, fmt.Errorf("fact %s: %w", domainTable, err)
		}
		if fact.Pipeline != c.Pipeline || fact.DB != c.Table.DB || fact.Table != c.Table.Table {
			return nil, fmt.Errorf("the directory holds table %s.%s of pipeline %s", fact.DB, fact.Table, fact.Pipeline)
		}
		var err error
		if f, err = fact.facts(); err != nil {
			return nil, fmt.Errorf("fact %s: %w", domainTable, err)
		}
	}
	var err error
	if f.Ledger.Generation, err = lake.GenerationOf(s); err != nil {
		return nil, err
	}
	f.Ledger.Queues, err = readQueues(s, c)
	return f, err
}

// readQueues reads the queues' places, each of which must be what its txn says.
func readQueues(s *delta.Snapshot, c *pipeline.Claim) ([]ledger.Queue, error) {
	var list []queueFact
	for _, name := range slices.Sorted(maps.Keys(s.Domains)) {
		if !strings.HasPrefix(name, domainQueue) {
			continue
		}
		var f queueFact
		if err := json.Unmarshal([]byte(s.Domains[name]), &f); err != nil {
			return nil, fmt.Errorf("fact %s: %w", name, err)
		}
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b queueFact) int { return a.Q - b.Q })
	var queues []ledger.Queue
	for i := range list {
		if list[i].Q != i {
			return nil, fmt.Errorf("the ledger has no queue %d", i)
		}
		mark, ok := markOf(s, c, i)
		if !ok || mark != list[i].Seq {
			return nil, fmt.Errorf("queue %d: the ledger says %d, its txn %d", i, list[i].Seq, mark)
		}
		queues = append(queues, list[i].queue())
	}
	return queues, nil
}

// markOf is a queue's mark as its txn says it.
func markOf(s *delta.Snapshot, c *pipeline.Claim, q int) (event.Seq, bool) {
	txn, ok := s.Txns[appID(c.Pipeline, c.Table, q)]
	return event.Seq(txn.Version), ok
}
