package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/event"
)

// Schemas finds schemas by their content hash in the pipeline's schema topic, whose
// messages are schemas in their canonical encoding. It implements pipeline.SchemaReader;
// its methods may be called concurrently, and what they return is immutable.
type Schemas struct {
	reader queueReader
	queue  message.Queue

	turn turn  // of who reads the topic on
	next int64 // offset from which it is read on; under turn

	mu    sync.Mutex
	known map[event.SchemaID]*event.Schema
}

// NewSchemas makes a reader of the schema topic, which is one queue on one broker.
func NewSchemas(reader queueReader, pipelineName, broker string) *Schemas {
	return &Schemas{
		reader: reader, known: map[event.SchemaID]*event.Schema{}, next: -1, turn: newTurn(),
		queue: message.Queue{Topic: event.SchemaTopic(pipelineName), BrokerName: broker, QueueID: 0},
	}
}

// schemaPatience is how long an unknown id is looked for. A schema is visible before the
// first group that uses it, so that only a broker that is away makes one wait.
const schemaPatience = 30 * time.Second

// ErrUnknownSchema says that no message of the schema topic has the id.
var ErrUnknownSchema = errors.New("the schema is not in the pipeline's schema topic")

// Schema returns the schema with this id.
func (s *Schemas) Schema(ctx context.Context, id event.SchemaID) (*event.Schema, error) {
	ctx, cancel := context.WithTimeout(ctx, schemaPatience)
	defer cancel()
	for {
		if found := s.find(id); found != nil {
			return found, nil
		}
		err := s.catchUp(ctx)
		if found := s.find(id); found != nil {
			return found, nil
		}
		if err == nil {
			err = ErrUnknownSchema
		}
		if pause.For(ctx, retryPull) != nil {
			return nil, fmt.Errorf("schema %s: %w", id, err)
		}
	}
}

func (s *Schemas) find(id event.SchemaID) *event.Schema {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[id]
}

// catchUp reads what the topic has gained. What is known is found meanwhile.
func (s *Schemas) catchUp(ctx context.Context) error {
	if err := s.turn.take(ctx); err != nil {
		return err
	}
	defer s.turn.give()
	least, end, err := bounds(ctx, s.reader, s.queue)
	if err != nil {
		return err
	}
	for s.next = max(s.next, least); s.next < end; {
		got, err := s.reader.Pull(ctx, s.queue, s.next, client.PullOptions{MaxMsgs: 32, MaxBytes: 4 << 20})
		if err != nil {
			return fmt.Errorf("read %s: %w", queueText(s.queue), err)
		}
		if len(got.Messages) == 0 {
			return nil
		}
		for i := range got.Messages {
			schema, err := event.ParseSchema(got.Messages[i].Body)
			if err != nil {
				return fmt.Errorf("message at offset %d of %s: %w", got.Messages[i].QueueOffset, queueText(s.queue), err)
			}
			s.mu.Lock()
			s.known[schema.ID] = schema
			s.mu.Unlock()
		}
		s.next = got.Messages[len(got.Messages)-1].QueueOffset + 1
	}
	return nil
}
