package bus

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/event"
)

// trimmed reports whether the queue holds the item already. What was met once is
// forgotten: the set shrinks until the reader has passed all of it.
func (p *Publisher) trimmed(q *queueState, seq event.Seq, id event.Identity) bool {
	if seeded.On(seeded.TrimBySeq) {
		return seq <= q.trim.upto
	}
	if _, held := q.trim.ids[id]; !held {
		return false
	}
	delete(q.trim.ids, id)
	if len(q.trim.ids) == 0 {
		p.endTrim(q)
	}
	return true
}

func (p *Publisher) endTrim(q *queueState) {
	q.trim = nil
	delete(p.trims, q)
}

// passTrims ends the trimming of queues whose messages the reader has passed: numbers of
// one epoch rise with the log. Under another epoch the sets run empty, or BEGIN, which is
// not emitted before the reader has passed them, ends them.
func (p *Publisher) passTrims(seq event.Seq) {
	for q := range p.trims {
		if q.trim != nil && q.trim.upto.Epoch() == seq.Epoch() && seq > q.trim.upto {
			p.endTrim(q)
		}
	}
}

// readTrim reads the identities of what a queue holds behind from, up to upto.
func readTrim(ctx context.Context, r queueReader, q message.Queue, from, upto event.Seq) (*trimSet, error) {
	t := &trimSet{ids: map[event.Identity]struct{}{}, from: from, upto: upto}
	err := eachSlice(ctx, r, q, from+1, func(s *event.Slice) bool {
		if s.Lo > upto {
			return false
		}
		for i := range s.Rows {
			row := &s.Rows[i]
			t.ids[event.Identity{Tx: s.Txs[row.Tx].ID, Index: row.Index, Part: row.Part}] = struct{}{}
		}
		for i := range s.Txs {
			if s.Txs[i].End {
				t.ids[event.TxEndIdentity(s.Txs[i].ID)] = struct{}{}
			}
		}
		if s.Mark != nil {
			t.ids[s.Mark.ID] = struct{}{}
		}
		return true
	})
	return t, err
}

// eachSlice calls f for the messages of a queue whose last number is at least from, in
// order, until f returns false.
func eachSlice(ctx context.Context, r queueReader, q message.Queue, from event.Seq, f func(*event.Slice) bool) error {
	least, end, err := bounds(ctx, r, q)
	if err != nil {
		return err
	}
	at, err := search(ctx, r, q, from, least, end)
	if err != nil {
		return err
	}
	var s event.Slice
	for at < end {
		got, err := r.Pull(ctx, q, at, client.PullOptions{MaxMsgs: 32, MaxBytes: 4 << 20})
		if err != nil {
			return fmt.Errorf("read %s at offset %d: %w", queueText(q), at, err)
		}
		if len(got.Messages) == 0 {
			return fmt.Errorf("read %s: the broker has no message at offset %d of %d", queueText(q), at, end)
		}
		for i := range got.Messages {
			m := &got.Messages[i]
			if err := event.ParseSlice(m.Body, &s); err != nil {
				return fmt.Errorf("message at offset %d of %s: %w", m.QueueOffset, queueText(q), err)
			}
			if !f(&s) {
				return nil
			}
			at = m.QueueOffset + 1
		}
	}
	return nil
}

// holds reports whether a queue has a message that ends with this number and identity.
func holds(ctx context.Context, r queueReader, q message.Queue, hi event.Seq, to event.Identity) (bool, error) {
	found := false
	err := eachSlice(ctx, r, q, hi, func(s *event.Slice) bool {
		found = s.Hi == hi && s.To == to
		return false
	})
	return found, err
}
