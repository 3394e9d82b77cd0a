package bus

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// forgetEvery is how often the records are looked through for tables to forget.
const forgetEvery = time.Hour

// forgetLoop looks through the records once the tables are declared, and then from time to
// time. It waits for the broker beside everything else: what it asks is about tables that
// nobody is in a hurry with, and there may be thousands of them.
func (p *Publisher) forgetLoop(ctx context.Context) error {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-p.declared:
		}
		p.forget(ctx)
	}
}

// forget takes tables out of the records that the source has no longer, or that the pipeline
// file leaves out, and of which nothing can be needed any more:
//
//   - a replay: no group that is not known to be visible speaks of the table. One that goes
//     back further than retention keeps messages, to a Base that still has the table, finds
//     where its queues end at the broker;
//   - a sink that lags, or comes later: its queues hold no message. The broker keeps what the
//     slowest sink still needs, and what it gave up nobody can read;
//   - a table that is made again under the name, or named by the file again: its queues go on
//     behind the last number that the broker has of them, and an attempt is due because they
//     have one.
//
// So these tables take room for as long as the broker keeps their messages. What the broker
// does not answer is asked again the next time.
func (p *Publisher) forget(ctx context.Context) {
	for _, t := range p.ck.over() {
		name := event.TableName(t.row.Name)
		switch empty, err := p.emptied(ctx, &t.row); {
		case errors.As(err, new(*client.AnswerError)): // of this table alone
		case err != nil:
			p.log.Debug("it is not known whether the queues of a table that is over are empty",
				slog.String("table", name.String()), slog.Any("error", err))
			return
		case empty && p.ck.forget(&t):
			p.log.Info("a table is forgotten: it is dropped or left out, and nothing of it is left in its queues",
				slog.String("table", name.String()))
			if p.cfg.Life.Forget(name) && p.cfg.OnForgotten != nil {
				p.cfg.OnForgotten(name)
			}
		}
	}
}

// overTable is a recorded table whose rows are published no longer for good, and the last
// numbers of its queues when that was seen.
type overTable struct {
	row   checkpoint.Table
	lasts []checkpoint.QueueState
}

// over are the tables to forget once their queues are empty. Whether the file leaves a table
// out is known once the tables are declared. Of one that was dropped before anything of it
// was published the records say just that.
func (l *checkpointLog) over() (found []overTable) {
	l.mu.Lock()
	defer l.mu.Unlock()
	recorded := map[checkpoint.TableName]bool{}
	for _, t := range l.state.Tables {
		recorded[t.Name] = true
		if t.Gone || leftOut(l.p.cfg.Life.Of(event.TableName(t.Name))) {
			found = append(found, overTable{row: t, lasts: l.queuesLocked(&t)})
		}
	}
	for _, x := range l.state.Paused {
		if x.Code == event.PauseDropped && !recorded[x.Table] {
			topic := event.TopicName(l.p.cfg.Pipeline, event.TableName(x.Table))
			found = append(found, overTable{row: checkpoint.Table{Name: x.Table, Topic: topic, Gone: true}})
		}
	}
	return found
}

// leftOut reports whether the file leaves a table out that nobody asked to pause: such a wish
// holds until it is withdrawn.
func leftOut(t life.Table) bool {
	return t.Held().Code == event.PauseExcluded && t.Why().Code != event.PauseRequest
}

func (l *checkpointLog) queuesLocked(t *checkpoint.Table) (all []checkpoint.QueueState) {
	for _, q := range l.state.Queues {
		if q.Queue.Topic == t.Topic {
			all = append(all, q)
		}
	}
	return all
}

// forget takes a table out of the records whose queues were found empty. It does not when
// the records have come to say something else of it meanwhile.
func (l *checkpointLog) forget(t *overTable) bool {
	l.mu.Lock()
	defer l.unlock()
	other := slices.ContainsFunc(l.state.Tables, func(x checkpoint.Table) bool { return x.Name == t.row.Name && x.Gone != t.row.Gone })
	if other || !slices.Equal(l.queuesLocked(&t.row), t.lasts) || !l.state.Forget(t.row.Name) {
		return false
	}
	l.sinceBase++ // a Base is to tell it
	return true
}

// emptied reports whether a table's queues hold no message that could be read.
func (p *Publisher) emptied(ctx context.Context, t *checkpoint.Table) (bool, error) {
	for id := range max(t.Queues, 1) {
		least, end, err := bounds(ctx, p.d.reader, message.Queue{Topic: t.Topic, BrokerName: p.cfg.Broker, QueueID: int32(id)})
		switch {
		case isGone(err):
		case err != nil:
			return false, err
		case least < end:
			return false, nil
		}
	}
	return true, nil
}

// keepGone adds to what the records say the tables that this process saw dropped and that the
// records, some of which the broker lost, do not speak of: they are not there again.
func (p *Publisher) keepGone(recorded map[event.TableName]life.Recorded) map[event.TableName]life.Recorded {
	for name, t := range p.cfg.Life.All() {
		if _, there := recorded[name]; !there && t.Gone().Code != "" {
			recorded[name] = life.Recorded{Pause: t.Gone()}
		}
	}
	return recorded
}
