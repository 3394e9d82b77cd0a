package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// CauseConfiguration is the cause of attempts that a change of the pipeline file makes due.
const CauseConfiguration = "configuration changed"

// declaring is what one Declare found the file to have changed.
type declaring struct {
	p       *Publisher
	cause   string // of attempts of new tables
	changed bool   // the state is to be written
	paused  []checkpoint.Paused
	back    []event.TableName
}

// config takes the configuration into force.
func (d *declaring) config() error {
	p, st := d.p, d.p.ck.state
	d.cause = "new table"
	if p.cfg.Config == nil {
		return nil
	}
	now, err := json.Marshal(p.cfg.Config) // the form in which a Base holds it
	if err != nil {
		return p.wrap("configuration", err)
	}
	if bytes.Equal(st.Config, now) {
		return nil
	}
	if st.Config != nil {
		d.cause = CauseConfiguration + ": new table"
		p.log.Info("configuration changed", slog.String("before", string(st.Config)), slog.String("now", string(now)))
	}
	st.Config, d.changed = now, true
	return nil
}

// known compares a table with its recorded route. A route that differs pauses the table;
// one that fits ends the pause that the file asked for before.
func (d *declaring) known(was *checkpoint.Table, t *event.Table) {
	s := d.p.named[t.Name]
	if why := d.p.routeChange(was, t); why != "" {
		s.route = why
		if d.p.keyChanged(was, t) {
			s.routeKey = slices.Clone(was.Key)
		}
		d.pause(t.Name, life.Misrouted, event.PauseReason{Code: event.PauseRoute, Text: why})
		return
	}
	d.p.report(s, life.Event{Kind: life.Taken})
	d.projected(was, t, s)
	if s.paused && d.p.cfg.Life.Of(t.Name).Why().Code.ByFile() {
		d.back = append(d.back, t.Name)
	}
}

// projected makes an attempt due where other columns leave than those that the rows before
// were made of. A table that stands is read anew when it is resumed.
func (d *declaring) projected(was *checkpoint.Table, t *event.Table, s *tableState) {
	before := d.p.schemas.known[was.Schema]
	if before == nil || before.Projection == t.Schema.Projection || s.paused || d.p.cfg.NoSnapshot {
		return
	}
	d.p.ck.state.SetDue(was.Name, CauseConfiguration)
	d.p.report(s, life.Event{Kind: life.Due, Cause: CauseConfiguration})
	d.changed = true
}

// left pauses the tables that are recorded and not captured any more. What is in their
// queues stays there for the targets.
func (d *declaring) left(captured []*event.Table) {
	for _, row := range d.p.ck.state.Live() {
		name := event.TableName(row.Name)
		if slices.ContainsFunc(captured, func(t *event.Table) bool { return t.Name == name }) {
			continue
		}
		why := fmt.Sprintf("table %s is not captured any more: no pattern of source.tables in the pipeline file names it, or the server has it "+
			"no longer; name it again, and it goes on with a new snapshot", name)
		d.pause(name, life.LeftOut, event.PauseReason{Code: event.PauseExcluded, Text: why})
	}
}

// owes reports whether a table that no record knows owes an attempt. Where its queues have
// had messages the targets have rows of a table of its name, which go with one, whatever the
// file says of snapshots.
func (d *declaring) owes(t *event.Table) bool {
	if !d.p.cfg.NoSnapshot {
		return true
	}
	topic := event.TopicName(d.p.cfg.Pipeline, t.Name)
	for key, q := range d.p.queues {
		if key.Topic == topic && q.last != 0 {
			return true
		}
	}
	return false
}

// again ends the record that a table is dropped.
func (d *declaring) again(name checkpoint.TableName) {
	st := d.p.ck.state
	if slices.ContainsFunc(st.Paused, func(x checkpoint.Paused) bool { return x.Table == name && x.Code == event.PauseDropped }) {
		st.Resume(name)
		d.p.cfg.Life.Report(event.TableName(name), life.Event{Kind: life.Created})
	}
}

// pause notes a pause that the file asks for. A table that is paused for another reason
// keeps that, and its life says all the same that the file does not want it.
func (d *declaring) pause(name event.TableName, kind life.Kind, why event.PauseReason) {
	s, st := d.p.named[name], d.p.ck.state
	why.Where = event.Position(st.Position)
	at := slices.IndexFunc(st.Paused, func(x checkpoint.Paused) bool { return event.TableName(x.Table) == name })
	if at >= 0 && st.Paused[at].Code == why.Code && st.Paused[at].Text == why.Text {
		why.Where = event.Position(st.Paused[at].Where) // it stands since then
	}
	d.p.report(s, life.Event{Kind: kind, Reason: why})
	x := pausedRecord(name, why)
	if at >= 0 && (!st.Paused[at].Code.ByFile() || st.Paused[at] == x) {
		return
	}
	st.Resume(x.Table)
	st.Paused = append(st.Paused, x)
	d.changed = true
	d.paused = append(d.paused, x)
}

// tell calls those who wait for what was found. It is durable by then.
func (d *declaring) tell() {
	for _, x := range d.paused {
		name := event.TableName(x.Table)
		d.p.log.Warn("table paused by the pipeline file", slog.String("table", name.String()), slog.String("code", string(x.Code)),
			slog.String("reason", x.Text))
	}
	for _, t := range d.back {
		if d.p.cfg.OnBack != nil {
			d.p.cfg.OnBack(t)
		}
	}
}

// routeChange says how the route that a table is to have differs from the one that its
// queues were filled by; "" when it does not. The key counts only under the recorded
// schema: one that a statement has changed comes with an attempt, and a table without a
// key of its own is paused by its source.
func (p *Publisher) routeChange(was *checkpoint.Table, t *event.Table) string {
	now := p.tableRow(t)
	if was.Queues == now.Queues && !p.keyChanged(was, t) {
		return ""
	}
	return routeText(t.Name, was.Queues, was.Key, now.Queues, now.Key)
}

func (p *Publisher) keyChanged(was *checkpoint.Table, t *event.Table) bool {
	return was.Schema == t.Schema.ID && len(t.KeyColumns) > 0 && !slices.Equal(was.Key, p.tableRow(t).Key)
}

func routeText(name event.TableName, wasQueues int, wasKey []string, queues int, key []string) string {
	return fmt.Sprintf("the queues of table %s were filled as %d by the key (%s), the pipeline file asks for %d by (%s): the order of a "+
		"row's changes would be lost on the way; put `%s: {queues: %d, key: [%s]}` under tables in the pipeline file, and the table goes on "+
		"with a new snapshot. Another route takes a pipeline of another name",
		name, wasQueues, strings.Join(wasKey, ", "), queues, strings.Join(key, ", "), name, wasQueues, strings.Join(wasKey, ", "))
}

// misfit pauses a table that comes with another number of queues than it has.
func (p *Publisher) misfit(s *tableState, t *event.Table) {
	s.route = routeText(t.Name, len(s.queues), keyNames(s.table), max(t.Queues, 1), keyNames(t))
	p.pauseTable(s, event.PauseReason{Code: event.PauseRoute, Text: s.route})
}

func keyNames(t *event.Table) (names []string) {
	if t.Schema == nil {
		return nil
	}
	for _, k := range t.KeyColumns {
		names = append(names, t.Schema.Columns[k].Name)
	}
	return names
}

// rowOf is the record of a table under a new definition. Its route stays what its queues
// were filled by, also while the file asks for another.
func (p *Publisher) rowOf(s *tableState, t *event.Table) checkpoint.Table {
	row := p.tableRow(t)
	row.Queues = len(s.queues)
	if s.routeKey != nil {
		s.routeKey = renamed(s.routeKey, s.table.Schema, t.Schema)
		row.Key = s.routeKey
	}
	return row
}

// renamed gives columns the names that they have in another definition of their table.
func renamed(names []string, old, now *event.Schema) []string {
	out := slices.Clone(names)
	if old == nil {
		return out
	}
	for i, name := range out {
		c := old.ColumnByName(name)
		if c < 0 {
			continue
		}
		if k := slices.IndexFunc(now.Columns, func(x event.Column) bool { return x.ID == old.Columns[c].ID }); k >= 0 {
			out[i] = now.Columns[k].Name
		}
	}
	return out
}
