package bus

import (
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// Life is what the tables do.
func (p *Publisher) Life() *life.Tables { return p.cfg.Life }

// report tells of something that happened to a table whose rows are published; whether they
// still are follows from it.
func (p *Publisher) report(s *tableState, e life.Event) {
	s.paused = p.cfg.Life.Report(s.table.Name, e).Halted()
}

// owe makes an attempt of a table due with the group, and tells whoever asks the source.
func (p *Publisher) owe(g *group, t event.TableName, cause string) {
	p.owes(g, t, cause)
	if p.cfg.OnDue != nil {
		p.cfg.OnDue(t, cause)
	}
}

// owes makes an attempt due that the source begins by itself.
func (p *Publisher) owes(g *group, t event.TableName, cause string) {
	g.changed = true
	g.rec.Due = append(g.rec.Due, checkpoint.Due{Table: checkpoint.TableName(t), Cause: cause})
	p.cfg.Life.Report(t, life.Event{Kind: life.Due, Cause: cause})
}

// relive makes the tables' lives what the records say: nothing else is on its way.
func (p *Publisher) relive() { p.cfg.Life.Open(p.keepGone(recordedLives(p.ck.state))) }

func recordedLives(st *checkpoint.State) map[event.TableName]life.Recorded {
	all := map[event.TableName]life.Recorded{}
	for _, t := range st.Tables {
		all[event.TableName(t.Name)] = life.Recorded{}
	}
	change := func(name checkpoint.TableName, f func(*life.Recorded)) {
		r := all[event.TableName(name)]
		f(&r)
		all[event.TableName(name)] = r
	}
	for _, x := range st.Paused {
		change(x.Table, func(r *life.Recorded) { r.Pause = reasonOf(x) })
	}
	for _, d := range st.Due {
		change(d.Table, func(r *life.Recorded) {
			r.Attempt = &event.Attempt{Table: event.TableName(d.Table), Cause: d.Cause}
		})
	}
	for _, a := range st.Tries {
		change(a.Table, func(r *life.Recorded) {
			r.Attempt = &event.Attempt{
				Table: event.TableName(a.Table), Begin: a.Begin, Chunk: a.Chunk, Rows: a.Rows, Estimate: a.Estimate, Cause: a.Cause,
			}
		})
	}
	return all
}
