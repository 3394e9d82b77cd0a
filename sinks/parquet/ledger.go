package parquet

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
)

// Names of the facts that stand in the log of changes/ beside the files.
const (
	domainGeneration = "millrace.generation"
	domainTable      = "millrace.table"
	domainQueue      = "millrace.queue."
)

// generationFact is the claim that holds; lower ones are closed.
type generationFact struct {
	Generation uint64 `json:"generation"`
}

// queueFact is one queue's place in the ledger. Its number also stands in the queue's txn
// action, where readers of any kind find it.
type queueFact struct {
	Broker string    `json:"broker"`
	Topic  string    `json:"topic"`
	Queue  int       `json:"queue"`
	Q      int       `json:"q"`
	Seq    event.Seq `json:"seq"`
	ID     string    `json:"id"`
	// High is the highest row number present when the mark was written.
	High event.Seq `json:"high"`
	// Done is the commit time, in microseconds by the source's clock, up to which the queue
	// is complete; 0 while it is not known.
	Done int64 `json:"done,omitempty"`
}

// tableFact is what belongs to all queues of the table.
type tableFact struct {
	Pipeline string    `json:"pipeline"`
	DB       string    `json:"db"`
	Table    string    `json:"table"`
	Columns  columns   `json:"columns"`
	Schema   []byte    `json:"schema,omitempty"` // newest schema, in the event package's encoding
	SchemaAt event.Seq `json:"schemaAt,omitempty"`
	// Controls is how many rows of changes/ are deletions below a number, which are no rows of
	// the table.
	Controls uint64 `json:"controls,omitempty"`
	// Floor: rows below it are gone and are not applied whichever queue brings them.
	Floor  event.Seq `json:"floor,omitempty"`
	FloorQ int       `json:"floorQ,omitempty"`
	// Route is the number of queues in the current route, as the newest mark said.
	Route   int       `json:"route,omitempty"`
	RouteAt event.Seq `json:"routeAt,omitempty"`
	// Open are the numbers of BEGINs whose END is not complete.
	Open []event.Seq `json:"open,omitempty"`
	// Ends are the ENDs that some queues have passed and others not.
	Ends []endFact `json:"ends,omitempty"`
	// Due: an attempt that begins above it is needed, because values changed unlogged.
	Due event.Seq `json:"due,omitempty"`
	// Born is the number of the CREATE that made the table, where no attempt is needed.
	Born event.Seq `json:"born"`
	// Held is how far the table was complete before Due or the first of Open.
	Held int64 `json:"held,omitempty"`
}

// endFact is an END on its way through the queues.
type endFact struct {
	Begin  event.Seq `json:"begin"`
	Queues int       `json:"queues"`
	Passed []int     `json:"passed"`
}

func (t *tableFact) clone() *tableFact {
	c := *t
	c.Columns = slices.Clip(t.Columns)
	c.Open = slices.Clone(t.Open)
	c.Ends = slices.Clone(t.Ends)
	for i := range c.Ends {
		c.Ends[i].Passed = slices.Clone(c.Ends[i].Passed)
	}
	return &c
}

// names are those of all columns.
func (t *tableFact) names() []string {
	list := make([]string, len(t.Columns))
	for i := range list {
		list[i] = t.Columns[i].Name
	}
	return list
}

func (t *tableFact) eventSchema() (*event.Schema, error) {
	if len(t.Schema) == 0 {
		return nil, nil
	}
	return event.ParseSchema(t.Schema)
}

// setSchema takes s as the newest schema if the change numbered at is newer than what is
// known.
func (t *tableFact) setSchema(s *event.Schema, at event.Seq) {
	if len(t.Schema) == 0 || at > t.SchemaAt {
		t.Schema, t.SchemaAt = event.AppendSchema(nil, s), at
	}
}

// begin notes that an attempt has begun.
func (t *tableFact) begin(b event.Seq) {
	if b > t.Floor && !slices.Contains(t.Open, b) {
		t.Open = append(t.Open, b)
		slices.Sort(t.Open)
	}
}

// end notes that queue q has passed the END of the attempt that began at b. It reports
// whether every queue of the route has now, so that everything below b goes.
func (t *tableFact) end(b event.Seq, queues, q int) (complete bool) {
	if b <= t.Floor {
		return false
	}
	i := slices.IndexFunc(t.Ends, func(e endFact) bool { return e.Begin == b })
	if i < 0 {
		t.Ends = append(t.Ends, endFact{Begin: b})
		i = len(t.Ends) - 1
	}
	e := &t.Ends[i]
	e.Queues = queues
	if !slices.Contains(e.Passed, q) {
		e.Passed = append(e.Passed, q)
	}
	return len(e.Passed) >= e.Queues || seeded.On(seeded.EndInOneQueue)
}

// raiseFloor says that everything below s is gone.
func (t *tableFact) raiseFloor(s event.Seq, q int) {
	t.Floor, t.FloorQ = s, q
	t.Open = slices.DeleteFunc(t.Open, func(b event.Seq) bool { return b <= s })
	t.Ends = slices.DeleteFunc(t.Ends, func(e endFact) bool { return e.Begin <= s })
	if t.Due <= s {
		t.Due = 0
	}
	if t.whole() {
		t.Held = 0
	}
}

// ledger is what the log of changes/ says of the table's progress.
type ledger struct {
	generation uint64
	table      *tableFact
	queues     []queueFact // index = q
	txns       map[int]int64
}

func appID(pipelineName string, t event.TableName, q int) string {
	return pipelineName + "/" + t.String() + "/" + strconv.Itoa(q)
}

// readLedger reads the facts of a snapshot back.
func readLedger(s *delta.Snapshot, c *pipeline.Claim) (*ledger, error) {
	l := &ledger{table: &tableFact{Pipeline: c.Pipeline, DB: c.Table.DB, Table: c.Table.Table}, txns: map[int]int64{}}
	var err error
	if l.generation, err = generationOf(s); err != nil {
		return nil, err
	}
	if text, ok := s.Domains[domainTable]; ok {
		l.table.Born = unsaid
		if err := json.Unmarshal([]byte(text), l.table); err != nil {
			return nil, fmt.Errorf("fact %s: %w", domainTable, err)
		}
		l.table.settle()
		if l.table.Pipeline != c.Pipeline || l.table.DB != c.Table.DB || l.table.Table != c.Table.Table {
			return nil, fmt.Errorf("the directory holds table %s.%s of pipeline %s", l.table.DB, l.table.Table, l.table.Pipeline)
		}
		for i := range l.table.Columns {
			if _, err := parseDelta(l.table.Columns[i].Type); err != nil {
				return nil, fmt.Errorf("fact %s: %w", domainTable, err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Domains)) {
		if !strings.HasPrefix(name, domainQueue) {
			continue
		}
		var f queueFact
		if err := json.Unmarshal([]byte(s.Domains[name]), &f); err != nil {
			return nil, fmt.Errorf("fact %s: %w", name, err)
		}
		l.queues = append(l.queues, f)
	}
	slices.SortFunc(l.queues, func(a, b queueFact) int { return a.Q - b.Q })
	for i := range l.queues {
		if l.queues[i].Q != i {
			return nil, fmt.Errorf("the ledger has no queue %d", i)
		}
		txn, ok := s.Txns[appID(c.Pipeline, c.Table, i)]
		if !ok || txn.Version != int64(l.queues[i].Seq) {
			return nil, fmt.Errorf("queue %d: the ledger says %d, its txn %d", i, l.queues[i].Seq, txn.Version)
		}
		l.txns[i] = txn.Version
	}
	return l, nil
}

func generationOf(s *delta.Snapshot) (uint64, error) {
	text, ok := s.Domains[domainGeneration]
	if !ok {
		return 0, nil
	}
	var g generationFact
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		return 0, fmt.Errorf("fact %s: %w", domainGeneration, err)
	}
	return g.Generation, nil
}

func fact(name string, v any) delta.Action {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a fact that JSON cannot hold: " + err.Error())
	}
	return delta.Action{Domain: &delta.Domain{Domain: name, Configuration: string(b)}}
}
