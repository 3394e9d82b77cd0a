package bus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/event"
)

// controlWriter is what Control needs of client.Writer.
type controlWriter interface {
	Open(ctx context.Context, broker string, term uint64, opener string) (client.WriterState, error)
	Send(ctx context.Context, q message.Queue, m *message.Message, link client.Link) (client.SendResult, error)
}

// claimRecord is one message of the control topic, as JSON: docs/format/control.md.
type claimRecord struct {
	Kind       string `json:"kind"` // "claim" or "origin"
	Sink       string `json:"sink,omitempty"`
	Table      string `json:"table,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	Worker     string `json:"worker"`
	Origin     string `json:"origin,omitempty"`
}

// Claimed is a generation, and whose it is.
type Claimed struct {
	Generation uint64
	// Origin is a random name of the queue that gave it out: generations of one origin rise,
	// and nothing is known of how those of two stand to each other.
	Origin string
}

// Control gives out generations (delivery K1): a claim is a record in the pipeline's
// control queue, appended right behind the one before it, so that no two workers can
// take the same generation. Its methods may be called concurrently.
type Control struct {
	writer controlWriter
	reader queueReader
	queue  message.Queue
	worker string
	// refresh is how old the newest record may become.
	refresh time.Duration

	turn   turn // of who claims; the rest is under it
	opened bool
	term   uint64
	last   uint64 // mr_hi of the queue's last message
	next   int64  // offset up to which claims are known
	taken  map[claimKey]uint64
	origin string    // "" while no record names it
	sent   time.Time // when this process wrote a record last
}

type claimKey struct{ sink, table string }

// NewControl makes the claims' side of a worker. worker is a random id of this process.
func NewControl(w controlWriter, r queueReader, pipelineName, broker, worker string) *Control {
	return &Control{
		writer: w, reader: r, worker: worker, refresh: schemaRefresh, turn: newTurn(), taken: map[claimKey]uint64{},
		queue: message.Queue{Topic: event.ControlTopic(pipelineName), BrokerName: broker, QueueID: 0},
	}
}

// Claim takes the next generation of a target table: above every one claimed in the
// control queue and above atLeast, the highest one that the target knows. It is durable
// on return.
func (c *Control) Claim(ctx context.Context, sink string, table event.TableName, atLeast uint64) (Claimed, error) {
	if err := c.turn.take(ctx); err != nil {
		return Claimed{}, fmt.Errorf("claim %s of sink %s: %w", table, sink, err)
	}
	defer c.turn.give()
	for {
		claimed, err := c.claim(ctx, sink, table, atLeast)
		var gap *client.GapError
		var duplicate *client.DuplicateError
		switch {
		case err == nil:
			return claimed, nil
		case errors.Is(err, client.ErrFenced), errors.As(err, &gap), errors.As(err, &duplicate), errors.Is(err, client.ErrUncertain):
			c.opened = false // another worker claimed meanwhile, or an answer was lost: read what is true
		default:
			return Claimed{}, fmt.Errorf("claim %s of sink %s: %w", table, sink, err)
		}
		if err := pause.For(ctx, retryPull); err != nil {
			return Claimed{}, fmt.Errorf("claim %s of sink %s: %w", table, sink, err)
		}
	}
}

func (c *Control) claim(ctx context.Context, sink string, table event.TableName, atLeast uint64) (Claimed, error) {
	if !c.opened {
		if err := c.open(ctx); err != nil {
			return Claimed{}, err
		}
	}
	key := claimKey{sink, table.String()}
	generation := max(c.taken[key], atLeast) + 1
	if err := c.send(ctx, claimRecord{Kind: "claim", Sink: sink, Table: key.table, Generation: generation}); err != nil {
		return Claimed{}, err
	}
	c.taken[key] = generation
	return Claimed{generation, c.origin}, nil
}

// send appends a record behind the last one. The queue's first record gives it its origin.
func (c *Control) send(ctx context.Context, r claimRecord) error {
	r.Worker, r.Origin = c.worker, c.origin
	if r.Origin == "" {
		r.Origin = rand.Text()
	}
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	number := c.last + 1
	id := event.Identity{Tx: fmt.Sprintf("claim/%d", number)}.String()
	m := &message.Message{Topic: c.queue.Topic, Body: body, Properties: map[string]string{message.PropertyTags: "mark"}}
	if _, err := c.writer.Send(ctx, c.queue, m, client.Link{Lo: number, Hi: number, Prev: c.last, From: id, To: id}); err != nil {
		return err
	}
	c.last, c.origin, c.sent = number, r.Origin, time.Now()
	return nil
}

// Refresh writes the origin anew before the record that named it last ages out. It does
// nothing where this process has claimed nothing, or has lost its turn to another one, which
// does it then.
func (c *Control) Refresh(ctx context.Context) error {
	if err := c.turn.take(ctx); err != nil {
		return err
	}
	defer c.turn.give()
	if !c.opened || c.origin == "" || time.Since(c.sent) < c.refresh {
		return nil
	}
	if err := c.send(ctx, claimRecord{Kind: "origin"}); err != nil {
		c.opened = false
		return fmt.Errorf("refresh %s: %w", queueText(c.queue), err)
	}
	return nil
}

// open fences other workers' claims, then reads what was claimed.
func (c *Control) open(ctx context.Context) error {
	term := c.term + 1
	for {
		state, err := c.writer.Open(ctx, c.queue.BrokerName, term, fmt.Sprintf("%s/%d", c.worker, term))
		var stale *client.StaleError
		if errors.As(err, &stale) {
			term = stale.Known + 1
			continue
		}
		if err != nil {
			return err
		}
		c.term, c.last = term, 0
		for _, q := range state.Queues {
			if q.Queue.Topic == c.queue.Topic && q.Queue.QueueID == c.queue.QueueID {
				c.last = q.Hi
				if err := readable(ctx, c.reader, c.queue, q.Max); err != nil {
					return err
				}
			}
		}
		break
	}
	if err := c.catchUp(ctx); err != nil {
		return err
	}
	c.opened = true
	return nil
}

func (c *Control) catchUp(ctx context.Context) error {
	least, end, err := bounds(ctx, c.reader, c.queue)
	if err != nil {
		return err
	}
	if c.next > end { // the broker lost its tail: what it lost counts no more here, the target's generations do
		c.next, c.taken, c.origin = least, map[claimKey]uint64{}, ""
	}
	for c.next = max(c.next, least); c.next < end; {
		got, err := c.reader.Pull(ctx, c.queue, c.next, client.PullOptions{MaxMsgs: 32, MaxBytes: 1 << 20})
		if err != nil {
			return fmt.Errorf("read %s: %w", queueText(c.queue), err)
		}
		if len(got.Messages) == 0 {
			return fmt.Errorf("read %s: the broker has no message at offset %d of %d", queueText(c.queue), c.next, end)
		}
		for i := range got.Messages {
			var r claimRecord
			if err := json.Unmarshal(got.Messages[i].Body, &r); err != nil {
				return fmt.Errorf("message at offset %d of %s: %w", got.Messages[i].QueueOffset, queueText(c.queue), err)
			}
			if r.Kind == "claim" {
				key := claimKey{r.Sink, r.Table}
				c.taken[key] = max(c.taken[key], r.Generation)
			}
			if r.Origin != "" {
				c.origin = r.Origin
			}
			c.next = got.Messages[i].QueueOffset + 1
		}
	}
	return nil
}
