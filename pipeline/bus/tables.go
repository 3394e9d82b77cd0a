package bus

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// sliceOverhead is room for a slice's head and a message's properties.
const sliceOverhead = 4096

// hashName names the function of the route: see event.KeyHash.
const hashName = "xxh64"

// tableState is a captured table while it is published.
type tableState struct {
	table  *event.Table // under the schema in force
	queues []*queueState
	paused bool // its life says that it stands
	gone   bool // its last definition is that it was dropped
	// route says how the route that the pipeline file asks for differs; routeKey is then
	// the key that its queues were filled by, if that is what differs.
	route    string
	routeKey []string
	fresh    bool               // no record and no Declare knows it
	attempt  checkpoint.Attempt // its last recorded state, for chunks that groups cut
	txRows   uint64             // of the present transaction
	txSeen   uint64             // serial of the transaction that txRows counts
}

// queueState is an owned queue while it is published.
type queueState struct {
	key   checkpoint.Queue
	q     message.Queue
	table *tableState
	last  event.Seq      // last number assigned
	to    event.Identity // its identity
	trim  *trimSet

	// The slice being built.
	inGroup bool
	b       event.SliceBuilder
	mark    *event.Slice // instead of rows
	prev    event.Seq    // last number before the group
	from    event.Identity
	schema  event.SchemaID

	// The present transaction.
	txSeen uint64
	txRows uint64
	txAt   int // its index in b; -1 = not in it
}

// trimSet are the identities that a queue holds already while rows are read again.
type trimSet struct {
	ids        map[event.Identity]struct{}
	from, upto event.Seq
}

// txState is the transaction whose rows are being added. Serial tells transactions apart
// where pointers could be used again.
type txState struct {
	tx     *event.Tx
	serial uint64
	open   bool // a stream transaction without its commit
	tables []*tableState
	queues []*queueState
}

type publisherStats struct{ rows, trimmed, bytes, halves atomic.Uint64 }

// Declare takes the tables that are captured, all of them: it makes topics, and records
// the route before the first message into it. Tables that no record knows get an attempt
// that is due. Those that the pipeline file gives another route than their queues were
// filled by, and those that are not captured any more, are paused; the others go on.
func (p *Publisher) Declare(ctx context.Context, tables []*event.Table) error {
	ctx, done := p.within(ctx)
	defer done()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ck.mu.Lock()
	defer p.ck.unlock()
	d := declaring{p: p}
	if err := d.config(); err != nil {
		return err
	}
	d.left(tables)
	tables = slices.DeleteFunc(slices.Clone(tables), func(t *event.Table) bool { return t.Schema == nil }) // paused before it was ever read
	for _, t := range tables {
		if was, known := p.ck.state.Table(checkpoint.TableName(t.Name)); known {
			if err := p.makeAgain(ctx, &was); err != nil {
				return why(ctx, err)
			}
			d.known(&was, t)
			continue
		}
		if err := p.makeTopic(ctx, t); err != nil {
			return why(ctx, err)
		}
		row := p.tableRow(t)
		row.Schema = event.SchemaID{} // in force with its first group
		d.again(row.Name)
		p.ck.state.SetTable(row)
		p.cfg.Life.Report(t.Name, life.Event{Kind: life.Taken})
		if d.owes(t) {
			p.ck.state.SetDue(row.Name, d.cause)
			p.cfg.Life.Report(t.Name, life.Event{Kind: life.Due, Cause: d.cause})
		}
		p.ck.state.Route++
		d.changed = true
	}
	if d.changed {
		if err := p.ck.writeBaseLocked(ctx); err != nil {
			return why(ctx, err)
		}
	}
	for _, t := range tables {
		s, err := p.table(ctx, t)
		if err != nil {
			return why(ctx, err)
		}
		s.fresh = false
	}
	d.tell()
	select {
	case p.declared <- struct{}{}:
	default:
	}
	return nil
}

func (p *Publisher) tableRow(t *event.Table) checkpoint.Table {
	row := checkpoint.Table{
		Name: checkpoint.TableName(t.Name), Schema: t.Schema.ID, Topic: event.TopicName(p.cfg.Pipeline, t.Name),
		Queues: max(t.Queues, 1), Keyless: t.Keyless, Hash: hashName,
	}
	row.Key = keyNames(t)
	return row
}

// makeTopic makes the table's topic, owned by the pipeline's writer.
func (p *Publisher) makeTopic(ctx context.Context, t *event.Table) error {
	topic := event.TopicName(p.cfg.Pipeline, t.Name)
	if other, taken := p.topics[topic]; taken && other != t.Name {
		return fmt.Errorf("tables %s and %s have the same topic name %s: rename one or leave it out", other, t.Name, topic)
	}
	err := p.d.topics.CreateTopic(ctx, admin.TopicConfig{
		Name: topic, Queues: max(t.Queues, 1), Attributes: map[string]string{admin.AttributeWriter: p.cfg.Pipeline},
	}, p.cfg.Broker)
	if err != nil {
		return p.wrap("topic of "+t.Name.String(), err)
	}
	p.topics[topic] = t.Name
	return nil
}

// makeAgain makes a recorded table's topic that somebody has deleted. The attempt that replaces
// what was lost with it is due since the opening, which found its queues empty.
func (p *Publisher) makeAgain(ctx context.Context, was *checkpoint.Table) error {
	if !p.lacking[was.Topic] {
		return nil
	}
	name := event.TableName(was.Name)
	p.log.Warn("a table's topic is not there any more: it is made again", slog.String("table", name.String()), slog.String("topic", was.Topic))
	if err := p.makeTopic(ctx, &event.Table{Name: name, Queues: was.Queues}); err != nil {
		return err
	}
	delete(p.lacking, was.Topic)
	return nil
}

// table is the state of a table, made when it is new. A table that came with its CREATE
// TABLE has all its rows in the stream; Declare was called for all others.
func (p *Publisher) table(ctx context.Context, t *event.Table) (*tableState, error) {
	if s := p.tables[t]; s != nil {
		return s, nil
	}
	if len(p.tables) > 4096 { // pointers of old schemas
		clear(p.tables)
	}
	if s := p.named[t.Name]; s != nil {
		if len(s.queues) != max(t.Queues, 1) && t.Schema != nil && !s.paused {
			p.misfit(s, t)
		}
		p.tables[t] = s
		return s, nil
	}
	if _, made := p.topics[event.TopicName(p.cfg.Pipeline, t.Name)]; !made {
		if err := p.makeTopic(ctx, t); err != nil {
			return nil, err
		}
	}
	s := &tableState{table: &event.Table{Name: t.Name}, fresh: true}
	for i := range max(t.Queues, 1) {
		key := checkpoint.Queue{Broker: p.cfg.Broker, Topic: event.TopicName(p.cfg.Pipeline, t.Name), ID: i}
		q := p.queues[key]
		if q == nil {
			q = &queueState{key: key}
			p.queues[key] = q
		}
		q.q, q.table, q.txAt = publisherQueue(key), s, -1
		s.queues = append(s.queues, q)
	}
	p.named[t.Name], p.tables[t] = s, s
	return s, nil
}

// useSchema makes sure that a table's schema is visible before the group that uses it,
// and puts it into the group's record.
func (p *Publisher) useSchema(ctx context.Context, s *tableState, t *event.Table) error {
	if s.table == t && !s.gone {
		return nil
	}
	if !s.gone && s.table.Schema != nil && s.table.Schema.ID == t.Schema.ID && len(s.table.KeyColumns) == len(t.KeyColumns) {
		s.table = t
		return nil
	}
	if p.cur != nil && !p.cur.sealed && p.cur.touches(s) { // a slice has one schema
		if err := p.closeGroup(ctx); err != nil {
			return err
		}
	}
	if err := p.schemas.send(ctx, p, t.Schema); err != nil {
		return err
	}
	row := p.rowOf(s, t)
	s.table, s.gone = t, false
	p.group(checkpoint.KindRows).addTable(row)
	return nil
}

// schemaSender appends to the schema topic. Sending a schema again is harmless.
type schemaSender struct {
	mu    sync.Mutex
	known map[event.SchemaID]*event.Schema
	last  uint64
}

func (s *schemaSender) send(ctx context.Context, p *Publisher, schema *event.Schema) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sendLocked(ctx, p, schema)
}

func (s *schemaSender) sendLocked(ctx context.Context, p *Publisher, schema *event.Schema) error {
	if s.known[schema.ID] != nil {
		return nil
	}
	number := s.last + 1
	id := event.MarkIdentity("schema", event.Seq(number)).String()
	q := message.Queue{Topic: event.SchemaTopic(p.cfg.Pipeline), BrokerName: p.cfg.Broker}
	m := &message.Message{Topic: q.Topic, Body: event.AppendSchema(nil, schema), Properties: map[string]string{
		message.PropertyTags: "mark", message.PropertyKeys: schema.ID.String(),
	}}
	if _, err := p.d.writer.Send(ctx, q, m, client.Link{Lo: number, Hi: number, Prev: s.last, From: id, To: id}); err != nil {
		return p.wrap("schema of "+schema.Name.String(), err)
	}
	s.last, s.known[schema.ID] = number, schema
	return nil
}

// refresh writes the live schemas anew, so that they do not age out.
func (s *schemaSender) refresh(ctx context.Context, p *Publisher, live []checkpoint.Table) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range live {
		if schema := s.known[t.Schema]; schema != nil {
			delete(s.known, t.Schema)
			if err := s.sendLocked(ctx, p, schema); err != nil {
				return err
			}
		}
	}
	return nil
}

// schemaRefresh is a quarter of the shortest retention that brokers have by default.
const schemaRefresh = 12 * time.Hour

// pauseTable stops publishing a table; its reason goes into the next record, unless it
// stands for another.
func (p *Publisher) pauseTable(s *tableState, why event.PauseReason) {
	was := p.cfg.Life.Of(s.table.Name)
	e := life.Event{Kind: life.Paused, Reason: why}
	if why.Code == event.PauseRoute {
		e.Kind = life.Misrouted
	}
	p.report(s, e)
	if now := p.cfg.Life.Of(s.table.Name); !was.Halted() || now.Why() != was.Why() {
		p.group(checkpoint.KindRows).addPause(pausedRecord(s.table.Name, now.Why()))
	}
}

// pausedRecord is a pause as records keep it. Its place is for people: what a position says
// besides would be there once more for each table of a statement.
func pausedRecord(t event.TableName, why event.PauseReason) checkpoint.Paused {
	why.Where.XA, why.Where.Tables = "", ""
	return checkpoint.Paused{
		Table: checkpoint.TableName(t), Code: why.Code, Text: why.Text, Serial: why.Serial, Where: checkpoint.Position(why.Where),
	}
}

// back ends the record that a table is dropped: it is there again. One that was paused
// before stays so.
func (p *Publisher) back(g *group, s *tableState) {
	p.report(s, life.Event{Kind: life.Created})
	if s.paused {
		code := p.cfg.Life.Of(s.table.Name).Why().Code
		g.addPause(pausedRecord(s.table.Name, event.PauseReason{Code: code,
			Text: "it was paused before the source dropped it; resume it when the cause is gone"}))
		return
	}
	g.rec.Resumed = append(g.rec.Resumed, checkpoint.TableName(s.table.Name))
}

// dropped is the reason that stands for a table which an item takes away.
func dropped(it *event.Item) event.PauseReason {
	const most = 120
	sql := []rune(strings.Join(strings.Fields(it.DDL.SQL), " "))
	if len(sql) > most {
		sql = append(sql[:most], '…')
	}
	at := it.Tx.Start
	return event.PauseReason{Code: event.PauseDropped, Where: at, Text: fmt.Sprintf("the source has it no longer since %s (after %s:%d): %s",
		it.Tx.CommitTime.UTC().Format("2006-01-02 15:04:05 MST"), at.File, at.Pos, string(sql))}
}

func reasonOf(x checkpoint.Paused) event.PauseReason {
	return event.PauseReason{Code: x.Code, Text: x.Text, Serial: x.Serial, Where: event.Position(x.Where)}
}

// keyText names a row for people.
func keyText(t *event.Table, img event.Image) string {
	cols := t.Schema.PrimaryKey
	if len(cols) == 0 {
		cols = t.KeyColumns
	}
	text, err := event.AppendKeyText(nil, img, t.Schema, cols)
	if err != nil {
		return "unreadable"
	}
	if len(text) > 200 {
		text = append(text[:200], "…"...)
	}
	return string(text)
}

// mostMessage is the largest maxMessageSize that a broker starts with.
const mostMessage = 15 << 20

// oversize says that a row is too large for a message, and what helps: not every limit can
// be raised.
func oversize(t *event.Table, it *event.Item, size, limit int) event.PauseReason {
	img := it.After
	if img == nil {
		img = it.Before
	}
	key := keyText(t, img)
	remedy := "make the row smaller, or take the table out of the pipeline"
	if size <= mostMessage-sliceOverhead {
		remedy = "raise maxMessageSize at the broker, up to " + strconv.Itoa(mostMessage) + ", and start it again, or make the row smaller"
	} else {
		remedy = "no broker takes more than " + strconv.Itoa(mostMessage) + ": " + remedy
	}
	images := ""
	if it.Before != nil && it.After != nil {
		images = " (" + strconv.Itoa(len(it.Before)) + " before the change and " + strconv.Itoa(len(it.After)) + " behind it)"
	}
	return event.PauseReason{
		Code: event.PauseOversize,
		Text: "the row " + key + " of " + t.Name.String() + " takes " + strconv.Itoa(size) + " bytes" + images +
			", the broker's limit is " + strconv.Itoa(limit) + ": " + remedy + ", then resume the table",
		Serial: key, Where: it.Tx.Start,
	}
}
