package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// EndpointConfig says where a pipeline's topics are.
type EndpointConfig struct {
	NameServers string // "host:9876;other:9876"
	// Broker is the name of the broker that holds the pipeline's topics.
	Broker string
	// Worker is a random id of this process.
	Worker string
	// Options are handed to every client; tests put their hooks here.
	Options []client.Option
}

// Endpoint is the sink side's way to a broker: one connection set for each consumer
// group, shared by the tables of a sink. Its methods may be called concurrently.
type Endpoint struct {
	cfg EndpointConfig
	log *slog.Logger
	// writerOptions are for publishers' writers only; set before use.
	writerOptions []client.WriterOption

	mu       sync.Mutex
	readers  map[string]*client.Reader
	controls map[string]*Control
	schemas  map[string]*Schemas
	writers  []*client.Writer
	closed   bool
}

// NewEndpoint makes an endpoint; it connects on first use.
func NewEndpoint(cfg EndpointConfig, log *slog.Logger) *Endpoint {
	return &Endpoint{
		cfg: cfg, log: log, readers: map[string]*client.Reader{},
		controls: map[string]*Control{}, schemas: map[string]*Schemas{},
	}
}

// Close ends every connection. Subscriptions must have ended before.
func (e *Endpoint) Close(ctx context.Context) error {
	e.mu.Lock()
	writers, readers := e.writers, e.readers
	e.writers, e.readers, e.closed = nil, nil, true
	e.mu.Unlock()
	var errs []error
	for _, w := range writers { // they take their leave of the broker
		errs = append(errs, w.Close(ctx))
	}
	for _, r := range readers {
		errs = append(errs, r.Close(ctx))
	}
	return errors.Join(errs...)
}

// readerLocked asks nobody: a reader connects when it is used.
func (e *Endpoint) readerLocked(ctx context.Context, group string) (*client.Reader, error) {
	if e.closed {
		return nil, client.ErrClosed
	}
	if r := e.readers[group]; r != nil {
		return r, nil
	}
	opts := []client.ReaderOption{client.WithNameServers(e.cfg.NameServers), client.WithLogger(e.log), client.WithGroup(group)}
	for _, o := range e.cfg.Options {
		opts = append(opts, o)
	}
	r, err := client.NewReader(opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	if err := r.Start(ctx); err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	e.readers[group] = r
	return r, nil
}

// QueuesOf are the queues of a table's data topic.
func (e *Endpoint) QueuesOf(pipelineName string, table event.TableName, queues int) []pipeline.QueueID {
	ids := make([]pipeline.QueueID, queues)
	for i := range ids {
		ids[i] = pipeline.QueueID{Broker: e.cfg.Broker, Topic: event.TopicName(pipelineName, table), Queue: i}
	}
	return ids
}

// Subscribe makes a subscription for an owner of a target table. Run starts it.
func (e *Endpoint) Subscribe(ctx context.Context, pipelineName, sink string, cfg SubscriptionConfig) (*Subscription, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, err := e.readerLocked(ctx, event.SinkGroup(pipelineName, sink))
	if err != nil {
		return nil, err
	}
	return NewSubscription(cfg, r, e.log), nil
}

// Schemas is the reader of a pipeline's schema topic.
func (e *Endpoint) Schemas(ctx context.Context, pipelineName string) (*Schemas, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.schemas[pipelineName]; s != nil {
		return s, nil
	}
	r, err := e.readerLocked(ctx, client.DefaultReaderGroup)
	if err != nil {
		return nil, err
	}
	e.schemas[pipelineName] = NewSchemas(r, pipelineName, e.cfg.Broker)
	return e.schemas[pipelineName], nil
}

// RefreshOrigin keeps the origin of a pipeline's claims from ageing out, where this process has
// claimed anything.
func (e *Endpoint) RefreshOrigin(ctx context.Context, pipelineName string) error {
	e.mu.Lock()
	c := e.controls[pipelineName]
	e.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.Refresh(ctx)
}

// Control gives out generations of a pipeline's target tables.
func (e *Endpoint) Control(ctx context.Context, pipelineName string) (*Control, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.controls[pipelineName]; c != nil {
		return c, nil
	}
	r, err := e.readerLocked(ctx, client.DefaultReaderGroup)
	if err != nil {
		return nil, err
	}
	opts := []client.WriterOption{client.WithNameServers(e.cfg.NameServers), client.WithLogger(e.log)}
	for _, o := range e.cfg.Options {
		opts = append(opts, o)
	}
	w, err := client.NewWriter(event.ControlTopic(pipelineName), opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	if err := w.Start(ctx); err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	e.writers = append(e.writers, w)
	e.controls[pipelineName] = NewControl(w, r, pipelineName, e.cfg.Broker, e.cfg.Worker)
	return e.controls[pipelineName], nil
}
