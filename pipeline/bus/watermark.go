package bus

import (
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// Watermark says up to when the queues of a pipeline are complete: what the source's log
// held at Time, by the source's clock, is visible in them, up to the numbers that it names.
// A target whose marks have reached these has all of it, also where nothing came for long.
type Watermark struct {
	Time  time.Time // zero = not known
	lasts map[pipeline.QueueID]event.Seq
	held  map[event.TableName]bool
}

// Covers reports whether a target with these marks has all that a table's queues held. A
// table that is paused, or whose snapshot is due or in progress, is never covered: what it
// lacks is in no queue.
func (w *Watermark) Covers(t event.TableName, queues []pipeline.QueueID, marks []pipeline.QueueMark) bool {
	if w == nil || w.Time.IsZero() || w.held[t] {
		return false
	}
	for _, q := range queues {
		last, known := w.lasts[q]
		if !known {
			return false // the queue is newer than the watermark
		}
		for _, m := range marks {
			if m.Queue == q && m.Known && m.Seq >= last {
				last = 0
			}
		}
		if last != 0 {
			return false
		}
	}
	return true
}

// Holds reports whether a table does not flow by this watermark.
func (w *Watermark) Holds(t event.TableName) bool { return w != nil && w.held[t] }

// lasts is what the queues hold once the group that carries it is visible, and the tables
// that do not flow then.
type lasts struct {
	queues map[pipeline.QueueID]event.Seq
	held   []event.TableName
}

// lastsEvery is how often a group takes the queues' ends along.
const lastsEvery = 500 * time.Millisecond

// markLasts lets the group that is being closed take the queues' ends along when it is time.
func (p *Publisher) markLasts(g *group) {
	if now := time.Now(); now.Sub(p.lastsAt) >= lastsEvery {
		g.lasts, p.lastsAt = p.lasts(), now
	}
}

func (p *Publisher) lasts() *lasts {
	l := &lasts{queues: make(map[pipeline.QueueID]event.Seq, len(p.queues))}
	for key, q := range p.queues {
		l.queues[pipeline.QueueID{Broker: key.Broker, Topic: key.Topic, Queue: key.ID}] = q.last
	}
	for name, table := range p.cfg.Life.All() {
		if !table.Flows() {
			l.held = append(l.held, name)
		}
	}
	return l
}

// raiseWaterLocked shows what resolved groups prove. A table flows by it only if it did when
// the group was closed, and still does.
func (p *Publisher) raiseWaterLocked(batch []*group) {
	for i := len(batch) - 1; i >= 0; i-- {
		if g := batch[i]; g.lasts != nil {
			p.water.Store(newWatermark(g.rec.To.Time, g.lasts, p.cfg.Life.All()))
			return
		}
	}
}

// firstWaterLocked shows what is true after an opening: everything that is recorded is
// visible.
func (p *Publisher) firstWaterLocked() {
	p.water.Store(newWatermark(p.ck.state.Position.Time, p.lasts(), p.cfg.Life.All()))
}

func newWatermark(at int64, l *lasts, lives map[event.TableName]life.Table) *Watermark {
	w := &Watermark{lasts: l.queues, held: map[event.TableName]bool{}}
	if at > 0 {
		w.Time = time.UnixMicro(at).UTC()
	}
	for _, t := range l.held {
		w.held[t] = true
	}
	for name, table := range lives {
		if !table.Flows() {
			w.held[name] = true
		}
	}
	return w
}

// Watermark is what the queues are known to hold. Any goroutine may ask; it never waits.
func (p *Publisher) Watermark() *Watermark { return p.water.Load() }
