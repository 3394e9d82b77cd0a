package bus

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

// basePart is how much of a state one message of a Base carries.
const basePart = 512 << 10

// maxEpoch is the highest epoch; numbers above it would not fit.
const maxEpoch = 32766

// checkpointLog appends records: one at a time, each behind the one before it.
type checkpointLog struct {
	p *Publisher
	q message.Queue

	mu        sync.Mutex
	state     *checkpoint.State // after the last record
	last      uint64            // number of the queue's last message
	valid     uint64            // number of the last Group or Base
	base      int64             // offset of the newest Base
	baseAt    time.Time
	sinceBase int

	wished map[checkpoint.TableName]wished
	sum    sum

	shown atomic.Pointer[PublisherStatus] // when the lock was last released
}

func (l *checkpointLog) init(p *Publisher) {
	l.p, l.base, l.wished = p, -1, map[checkpoint.TableName]wished{}
	l.q = message.Queue{Topic: event.CheckpointTopic(p.cfg.Pipeline), BrokerName: p.cfg.Broker}
	l.shown.Store(&PublisherStatus{})
}

// appendLocked appends one record. It is durable on return.
func (l *checkpointLog) appendLocked(ctx context.Context, r *checkpoint.Record, props map[string]string) (int64, error) {
	r.Term, r.Num = l.p.term, l.last+1
	if r.Type != checkpoint.TypeOpen {
		r.Pred = l.valid
	}
	body, err := checkpoint.Encode(r)
	if err != nil {
		return 0, l.p.wrap("checkpoint", err)
	}
	id := event.MarkIdentity("record", event.Seq(r.Num)).String()
	m := &message.Message{Topic: l.q.Topic, Body: body, Properties: props}
	done, err := l.p.d.writer.Send(ctx, l.q, m, client.Link{Lo: r.Num, Hi: r.Num, Prev: l.last, From: id, To: id})
	if err != nil {
		return 0, l.p.wrap("append a record to the checkpoint", err)
	}
	l.last = r.Num
	return done.QueueOffset, nil
}

// decideLocked appends a group's record and adds it to the state.
func (l *checkpointLog) decideLocked(ctx context.Context, g *checkpoint.Group) error {
	g.N, g.Resolved = l.state.N+1, l.state.Resolved
	r := &checkpoint.Record{Type: checkpoint.TypeGroup, Group: g}
	if _, err := l.appendLocked(ctx, r, map[string]string{message.PropertyTags: "mark"}); err != nil {
		if !seeded.On(seeded.ChainBroken) {
			return err
		}
		return nil
	}
	l.valid = r.Num
	l.sinceBase++
	return l.state.Apply(g)
}

// writeBaseLocked appends the whole state.
func (l *checkpointLog) writeBaseLocked(ctx context.Context) error {
	s := l.state.Clone()
	s.PrevBase = l.base
	parts, err := checkpoint.SplitBase(s, basePart)
	if err != nil {
		return l.p.wrap("checkpoint", err)
	}
	for i, data := range parts {
		props := map[string]string{message.PropertyTags: "mark"}
		if i == len(parts)-1 {
			props[message.PropertyBase] = strconv.Itoa(len(parts))
		}
		r := &checkpoint.Record{Type: checkpoint.TypeBase, Part: &checkpoint.Part{Index: i, Of: len(parts), Data: data}}
		offset, err := l.appendLocked(ctx, r, props)
		if err != nil {
			return err
		}
		if i == len(parts)-1 {
			l.base, l.valid = offset, r.Num
		}
	}
	l.state.PrevBase = s.PrevBase
	l.baseAt, l.sinceBase = time.Now(), 0
	return nil
}

// raiseEpochLocked makes a higher epoch durable before its first number is used. Tables
// whose rows are still being trimmed, and those given, get an attempt that is due.
func (l *checkpointLog) raiseEpochLocked(ctx context.Context, cause string, tables ...event.TableName) error {
	if l.state.Epoch >= maxEpoch {
		return l.p.wrap("raise the epoch", fmt.Errorf("%d is the highest there is: make a new pipeline", maxEpoch))
	}
	l.state.Epoch++
	for _, t := range tables {
		if !l.goneLocked(checkpoint.TableName(t)) {
			l.state.SetDue(checkpoint.TableName(t), cause)
		}
	}
	dueForTrimmed(l.state, cause)
	l.p.log.Warn("epoch raised", slog.String("cause", cause), slog.Int("epoch", int(l.state.Epoch)))
	return l.writeBaseLocked(ctx)
}

// goneLocked reports whether the records say that the source has a table no longer: nothing
// of it can be read anew.
func (l *checkpointLog) goneLocked(t checkpoint.TableName) bool {
	return slices.ContainsFunc(l.state.Tables, func(x checkpoint.Table) bool { return x.Name == t && x.Gone })
}

// dueForTrimmed makes an attempt due for each table with a queue that is being trimmed.
func dueForTrimmed(s *checkpoint.State, cause string) {
	for _, t := range s.Live() {
		for _, q := range s.Queues {
			if q.TrimUpto != 0 && q.Queue.Topic == t.Topic {
				s.SetDue(t.Name, cause)
				break
			}
		}
	}
}

// RaiseEpoch makes an epoch above every one known durable and says where to go on. It is
// for a source that is another server, or whose numbers are in doubt.
func (p *Publisher) RaiseEpoch(ctx context.Context, cause string) (pipeline.Resume, error) {
	return p.RaiseEpochTo(ctx, 0, cause)
}

// RaiseEpochTo is RaiseEpoch to at least an epoch, with an attempt due for the tables. It
// is for targets that know numbers which the queues have lost: only a BEGIN above them
// takes up such a table again.
func (p *Publisher) RaiseEpochTo(ctx context.Context, least uint16, cause string, tables ...event.TableName) (pipeline.Resume, error) {
	return p.begunAnew(ctx, func(ctx context.Context) error {
		if least > maxEpoch {
			return p.wrap("raise the epoch", fmt.Errorf("%d is above %d: make a new pipeline", least, maxEpoch))
		}
		if least > 0 {
			p.ck.state.Epoch = max(p.ck.state.Epoch, least-1)
		}
		return p.ck.raiseEpochLocked(ctx, cause, tables...)
	})
}

// resumeLocked is what a source needs to go on behind the state.
func (p *Publisher) resumeLocked() pipeline.Resume {
	s := p.ck.state
	r := pipeline.Resume{
		Position: event.Position(s.Position), Epoch: s.Epoch,
		Schemas: map[event.TableName]*event.Schema{}, Paused: map[event.TableName]event.PauseReason{},
	}
	p.schemas.mu.Lock()
	defer p.schemas.mu.Unlock()
	for _, t := range s.Live() {
		if schema := p.schemas.known[t.Schema]; schema != nil {
			r.Schemas[event.TableName(t.Name)] = schema
		}
	}
	for _, x := range s.Taken {
		if x.Epoch == s.Position.Epoch {
			r.Reserved = append(r.Reserved, event.Reservation{At: x.At, Count: x.Count})
		}
	}
	for _, a := range s.Tries {
		r.Attempts = append(r.Attempts, event.Attempt{
			Table: event.TableName(a.Table), Begin: a.Begin, Chunk: a.Chunk, Cursor: a.Cursor, Rows: a.Rows, Estimate: a.Estimate, Cause: a.Cause,
		})
	}
	for _, d := range s.Due {
		r.Attempts = append(r.Attempts, event.Attempt{Table: event.TableName(d.Table), Cause: d.Cause})
	}
	for _, x := range s.Paused {
		if x.Code != event.PauseDropped {
			r.Paused[event.TableName(x.Table)] = reasonOf(x)
		}
	}
	return r
}
