package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
)

type sendOptions struct {
	inFlight, size, batch int
	rate                  float64
	transactions          bool
	warmup, duration      time.Duration
}

func newBenchSend() *cobra.Command {
	c := &cobra.Command{
		Use: "send", Short: "Measure sending", Args: noArgs,
		Long: `Keeps --in-flight messages waiting for an answer, over one connection, and prints how many
arrived per second and how long the answers took. With --rate messages leave at fixed
times instead, whether answers come or not, and latency counts from those times.`,
		Example: "  millrace bench send --in-flight 64 --size 1024 --pid $(pidof millrace)\n  millrace bench send --rate 10000",
	}
	var o sendOptions
	c.Flags().IntVar(&o.inFlight, "in-flight", 64, "messages (batches, transactions) that wait for an answer")
	c.Flags().IntVar(&o.size, "size", 1024, "bytes of a body")
	c.Flags().IntVar(&o.batch, "batch", 1, "messages sent as one batch")
	c.Flags().Float64Var(&o.rate, "rate", 0, "messages per second that leave at fixed times, instead of --in-flight")
	c.Flags().BoolVar(&o.transactions, "transactions", false, "send transactional messages and commit each")
	brokerFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.inFlight < 1 || o.size < 1 || o.batch < 1 || o.rate < 0 {
			return usageError{errors.New("--in-flight, --size and --batch must be above zero")}
		}
		if o.batch > 1 && o.transactions || o.rate > 0 && (o.transactions || o.batch > 1) {
			return usageError{errors.New("--batch, --transactions and --rate exclude each other")}
		}
		o.duration, _ = c.Flags().GetDuration("seconds")
		o.warmup, _ = c.Flags().GetDuration("warmup")
		return profiled(c, func() error { return benchSend(c.Context(), c, o) })
	}
	return c
}

// openLoopLimit bounds what waits when a broker does not keep up with --rate.
const openLoopLimit = 100_000

// quietCollector lets the heap of a load generator grow, since collecting costs the broker on
// the same machine its time.
func quietCollector() { debug.SetGCPercent(1000) }

func benchSend(ctx context.Context, c *cobra.Command, o sendOptions) error {
	topic, err := openTopic(ctx, c, true)
	if err != nil {
		return err
	}
	defer topic.close(ctx)
	producer, err := client.NewProducer(client.WithNameServers(nameServers(c)), client.WithGroup("bench_producer"), client.WithRetries(0),
		client.WithCompression(message.CompressionZLIB, -1), client.WithMaxInFlight(openLoopLimit+o.inFlight, 1<<30),
		client.WithTransactionChecker(func(context.Context, *client.ReceivedMessage) client.TransactionState {
			return client.TransactionCommit
		}))
	if err != nil {
		return err
	}
	if err := producer.Start(ctx); err != nil {
		return environmentError{err}
	}
	defer producer.Close(context.WithoutCancel(ctx))
	l := newLoad(producer, topic.name, o)
	l.start()
	defer l.end()
	if err := pause.For(ctx, o.warmup); err != nil {
		return err
	}
	before, err := topic.end(ctx)
	if err != nil {
		return err
	}
	own, broker := meters(c)
	l.reset()
	started := time.Now()
	if err := pause.For(ctx, o.duration); err != nil {
		return err
	}
	l.end()
	elapsed := time.Since(started)
	r := benchResult{Kind: "send"}
	after, err := topic.settled(ctx)
	if err != nil {
		return err
	}
	r.Messages = after - before
	r.finish(elapsed, r.Messages*int64(o.size), own, broker)
	r.P50, r.P99, r.P999 = l.times.at(0.5), l.times.at(0.99), l.times.at(0.999)
	if r.Failed = l.failed; l.failure != nil {
		r.Failure = l.failure.Error()
	}
	return r.print(c)
}

// load keeps messages in flight until it is ended.
type load struct {
	producer *client.Producer
	message  *message.Message // sent again and again: a producer does not change it
	o        sendOptions

	over   atomic.Bool
	wg     sync.WaitGroup
	flying sync.WaitGroup
	slots  chan struct{}

	mu      sync.Mutex // answers of one connection come one by one: it is hardly ever contended
	times   histogram
	failed  int64
	failure error
}

func newLoad(p *client.Producer, topic string, o sendOptions) *load {
	body := make([]byte, o.size)
	for i := range body {
		body[i] = byte(rand.UintN(256))
	}
	return &load{producer: p, message: message.New(topic, body), o: o, slots: make(chan struct{}, o.inFlight)}
}

func (l *load) start() {
	switch {
	case l.o.rate > 0:
		l.wg.Go(l.atRate)
	case l.o.transactions || l.o.batch > 1: // these have no form that does not wait
		for range l.o.inFlight {
			l.wg.Go(l.oneByOne)
		}
	default:
		for range l.o.inFlight {
			l.slots <- struct{}{}
		}
		l.wg.Go(l.window)
	}
}

// reset forgets what was seen so far.
func (l *load) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times, l.failed, l.failure = histogram{}, 0, nil
}

// end stops sending and returns when every answer is there.
func (l *load) end() {
	l.over.Store(true)
	l.wg.Wait()
	l.flying.Wait()
}

func (l *load) answered(began time.Time, err error) {
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.times.add(took)
		return
	}
	l.failed++
	if l.failure == nil {
		l.failure = err
	}
}

// window sends as slots get free.
func (l *load) window() {
	for !l.over.Load() {
		<-l.slots
		began := time.Now()
		l.flying.Add(1)
		l.producer.SendAsync(context.Background(), l.message, func(_ client.SendResult, err error) {
			l.answered(began, err)
			l.slots <- struct{}{}
			l.flying.Done()
		})
	}
}

// atRate sends at fixed times. A message that leaves late counts from when it should have
// left.
func (l *load) atRate() {
	began := time.Now()
	for n := 0; !l.over.Load(); n++ {
		due := began.Add(time.Duration(float64(n) / l.o.rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			_ = pause.For(context.Background(), wait) // never ends early
		}
		l.flying.Add(1)
		l.producer.SendAsync(context.Background(), l.message, func(_ client.SendResult, err error) {
			l.answered(due, err)
			l.flying.Done()
		})
	}
}

// oneByOne sends batches or transactions, each when the one before is answered.
func (l *load) oneByOne() {
	ctx := context.Background()
	batch := make([]*message.Message, l.o.batch)
	for i := range batch {
		batch[i] = l.message
	}
	commit := func(context.Context, *message.Message) client.TransactionState { return client.TransactionCommit }
	for !l.over.Load() {
		var err error
		began := time.Now()
		if l.o.transactions {
			_, err = l.producer.SendInTransaction(ctx, l.message, commit)
		} else {
			_, err = l.producer.SendBatch(ctx, batch)
		}
		l.answered(began, err)
	}
}
