package pipelinetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

// Audit is what a pipeline's queues hold, read message by message.
type Audit struct {
	Pipeline, Broker string

	reader *client.Reader
	wrong  []error
	listed map[listing]bool
	// Rows are the rows of each queue, in order; End is each queue's last number.
	Rows map[pipeline.QueueID][]AuditRow
	End  map[pipeline.QueueID]event.Seq
}

// AuditRow is a row in a queue.
type AuditRow struct {
	Seq event.Seq
	ID  event.Identity
}

type listing struct {
	queue string
	hi    event.Seq
}

// RunAudit reads everything that a pipeline's queues hold and checks I1, I2, I3 and I11. The
// pipeline stands still meanwhile. The error is what is wrong; what was read is there
// with it.
func RunAudit(ctx context.Context, r *client.Reader, pipelineName, broker string, s *Script) (*Audit, error) {
	a := &Audit{
		Pipeline: pipelineName, Broker: broker, reader: r, listed: map[listing]bool{},
		Rows: map[pipeline.QueueID][]AuditRow{}, End: map[pipeline.QueueID]event.Seq{},
	}
	if err := a.records(ctx); err != nil {
		return a, err
	}
	for _, t := range s.Names() {
		seen := map[event.Identity]int{}
		for q := range s.content(t).queues {
			if err := a.queue(ctx, t, q, seen); err != nil {
				return a, err
			}
		}
		a.stream(s, t, seen)
	}
	return a, errors.Join(a.wrong...)
}

func (a *Audit) fault(format string, args ...any) {
	a.wrong = append(a.wrong, fmt.Errorf(format, args...))
}

// records reads the checkpoint queue: what valid groups list.
func (a *Audit) records(ctx context.Context) error {
	q := message.Queue{Topic: event.CheckpointTopic(a.Pipeline), BrokerName: a.Broker}
	var messages []checkpoint.Message
	err := a.each(ctx, q, func(m *client.ReceivedMessage) error {
		r, err := checkpoint.Decode(m.Body)
		messages = append(messages, checkpoint.Message{Offset: m.QueueOffset, Record: r})
		return err
	})
	if err != nil {
		return err
	}
	log, err := checkpoint.ReadLog(messages, true)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if _, err := log.State(); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	for _, g := range log.Groups {
		for _, h := range g.Halves {
			a.listed[listing{h.Queue.String(), h.Hi}] = true
		}
	}
	return nil
}

func (a *Audit) each(ctx context.Context, q message.Queue, f func(*client.ReceivedMessage) error) error {
	end, err := a.reader.Max(ctx, q)
	if err != nil {
		return err
	}
	for at := int64(0); at < end; {
		got, err := a.reader.Pull(ctx, q, at, client.PullOptions{MaxMsgs: 32})
		if err != nil {
			return fmt.Errorf("%s at %d: %w", q.Topic, at, err)
		}
		if len(got.Messages) == 0 {
			return fmt.Errorf("%s has nothing at %d of %d", q.Topic, at, end)
		}
		for i := range got.Messages {
			if err := f(&got.Messages[i]); err != nil {
				return fmt.Errorf("%s at %d: %w", q.Topic, got.Messages[i].QueueOffset, err)
			}
			at = got.Messages[i].QueueOffset + 1
		}
	}
	return nil
}

// queue checks one queue's chain and what its messages are listed by.
func (a *Audit) queue(ctx context.Context, t event.TableName, number int, seen map[event.Identity]int) error {
	id := pipeline.QueueID{Broker: a.Broker, Topic: event.TopicName(a.Pipeline, t), Queue: number}
	key := checkpoint.Queue{Broker: id.Broker, Topic: id.Topic, ID: id.Queue}.String()
	var last event.Seq
	var schema event.SchemaID
	marks := map[event.Identity]bool{}
	err := a.each(ctx, message.Queue{Topic: id.Topic, BrokerName: id.Broker, QueueID: int32(number)}, func(m *client.ReceivedMessage) error {
		s := new(event.Slice)
		if err := event.ParseSlice(m.Body, s); err != nil {
			return err
		}
		if s.Prev != last || s.Lo <= last {
			a.fault("I1: %s at %d: %d to %d follow %d, the message before ends with %d", key, m.QueueOffset, s.Lo, s.Hi, s.Prev, last)
		}
		last = s.Hi
		if !a.listed[listing{key, s.Hi}] {
			a.fault("I3: %s at %d: no valid group lists the message that ends with %d", key, m.QueueOffset, s.Hi)
		}
		if s.Kind == event.KindDDL || s.Kind == event.KindRow {
			if s.Kind == event.KindRow && schema != (event.SchemaID{}) && schema != s.Schema {
				a.fault("I11: %s at %d: rows under a schema that no DDL brought", key, m.QueueOffset)
			}
			schema = s.Schema
		}
		if s.Mark != nil {
			if marks[s.Mark.ID] {
				a.fault("I2: %s at %d: the mark %s again", key, m.QueueOffset, s.Mark.ID)
			}
			marks[s.Mark.ID] = true
		}
		for _, r := range s.Rows {
			row := event.Identity{Tx: s.Txs[r.Tx].ID, Index: r.Index, Part: r.Part}
			if was, twice := seen[row]; twice {
				a.fault("I2: %s at %d: %s, which queue %d holds", key, m.QueueOffset, row, was)
			}
			seen[row] = number
			a.Rows[id] = append(a.Rows[id], AuditRow{r.Seq, row})
		}
		return nil
	})
	a.End[id] = last
	return err
}

// stream checks that every row of the log behind the first opening is in a queue.
func (a *Audit) stream(s *Script, t event.TableName, seen map[event.Identity]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.txs[max(s.start, 0):s.shown] {
		index := uint64(0)
		for i := range x.changes {
			if x.changes[i].table != t {
				continue
			}
			if _, ok := seen[event.Identity{Tx: x.id, Index: index}]; !ok {
				a.fault("I4: row %d of transaction %s is in no queue of %s", index, x.id, t)
			}
			index++
		}
	}
}

// Holds checks I10 of one state of a target: that all the queue's rows up to each mark are
// in it. has tells whether the target holds a row.
func (a *Audit) Holds(marks []pipeline.QueueMark, has func(event.Identity) bool) error {
	var wrong []error
	for _, m := range marks {
		for _, r := range a.Rows[m.Queue] {
			if r.Seq <= m.Seq && !has(r.ID) {
				wrong = append(wrong, fmt.Errorf("I10: %s/%d: the mark is %d, row %d (%s) is not in the target", m.Queue.Topic,
					m.Queue.Queue, m.Seq, r.Seq, r.ID))
			}
		}
	}
	return errors.Join(wrong...)
}
