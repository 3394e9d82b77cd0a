package bus

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// forgetEvery is how often the records are looked through for tables to forget.
const forgetEvery = time.Hour

// forgetLocked takes dropped tables out of the state of which nothing can be needed any more:
//
//   - a replay: no group that is not known to be visible speaks of the table. One that goes
//     back further than retention keeps messages, to a Base that still has the table, finds
//     where its queues end at the broker;
//   - a sink that lags, or comes later: its queues hold no message. The broker keeps what the
//     slowest sink still needs, and what it gave up nobody can read;
//   - a table that is made again under the name: its queues go on behind the last number that
//     the broker has of them, and an attempt is due because they have one.
//
// So dropped tables take room for as long as the broker keeps their messages. What the broker
// does not answer is asked again the next time.
func (l *checkpointLog) forgetLocked(ctx context.Context) {
	l.forgotAt = time.Now()
	for _, t := range l.state.Clone().Tables {
		if !t.Gone {
			continue
		}
		switch empty, err := l.emptied(ctx, &t); {
		case errors.As(err, new(*client.AnswerError)): // of this table alone
		case err != nil:
			l.p.log.Debug("it is not known whether a dropped table's queues are empty", slog.String("table", event.TableName(t.Name).String()), slog.Any("error", err))
			return
		case empty && l.state.Forget(t.Name):
			l.sinceBase++ // a Base is to tell it
			l.p.log.Info("a dropped table is forgotten: nothing of it is left in its queues", slog.String("table", event.TableName(t.Name).String()))
		}
	}
}

// emptied reports whether a table's queues hold no message that could be read.
func (l *checkpointLog) emptied(ctx context.Context, t *checkpoint.Table) (bool, error) {
	for id := range max(t.Queues, 1) {
		least, end, err := bounds(ctx, l.p.d.reader, message.Queue{Topic: t.Topic, BrokerName: l.p.cfg.Broker, QueueID: int32(id)})
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
// records have forgotten: they are not there again.
func (p *Publisher) keepGone(recorded map[event.TableName]life.Recorded) map[event.TableName]life.Recorded {
	for name, t := range p.cfg.Life.All() {
		if _, there := recorded[name]; !there && t.Gone().Code != "" {
			recorded[name] = life.Recorded{Pause: t.Gone()}
		}
	}
	return recorded
}
