package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/message"
)

func newBench() *cobra.Command {
	c := &cobra.Command{
		Use: "bench", Short: "Measure a broker, Millrace's or Apache RocketMQ's", Args: noArgs,
		Long: `Sends to or reads from a topic and prints rates and latencies, beside the CPU, memory, GC,
disk and network that it took, of this process and, with --pid, of the broker. What
counts is what arrived: sends are counted by the topic's offsets.`,
		Example: "  millrace bench send --in-flight 64 --seconds 20\n  millrace bench pull",
	}
	c.PersistentFlags().String("namesrv", "", "name servers (default $NAMESRV_ADDR, else "+defaultNamesrv+")")
	c.PersistentFlags().String("topic", "bench", "topic; made with --queues queues when it is missing")
	c.PersistentFlags().Int("queues", 4, "queues of the topic")
	c.PersistentFlags().Int("pid", 0, "process id of the broker on this machine, to show what it took")
	c.PersistentFlags().Bool("json", false, "print JSON")
	c.PersistentFlags().Duration("seconds", 10*time.Second, "how long to measure")
	c.AddCommand(newBenchSend(), newBenchPull())
	return c
}

// benchResult is what a measurement found.
type benchResult struct {
	Kind      string  `json:"kind"`
	Messages  int64   `json:"messages"` // at the receiver
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	MiBPerSec float64 `json:"mib_per_second"`
	Failed    int64   `json:"failed"`
	P50       float64 `json:"p50_ms,omitempty"`
	P99       float64 `json:"p99_ms,omitempty"`
	P999      float64 `json:"p999_ms,omitempty"`
	Own       usage   `json:"own"`
	Broker    *usage  `json:"broker,omitempty"`
	// BrokerMicros is the broker's CPU time per message.
	BrokerMicros float64 `json:"broker_cpu_us_per_message,omitempty"`
}

func (r *benchResult) finish(elapsed time.Duration, bytes int64, own, broker *meter) {
	r.Seconds = elapsed.Seconds()
	r.PerSecond = float64(r.Messages) / r.Seconds
	r.MiBPerSec = float64(bytes) / (1 << 20) / r.Seconds
	r.Own = own.since()
	if broker != nil {
		used := broker.since()
		r.Broker = &used
		if r.Messages > 0 {
			r.BrokerMicros = used.CPUSeconds * 1e6 / float64(r.Messages)
		}
	}
}

func (r *benchResult) print(c *cobra.Command) error {
	if wantsJSON(c) {
		return printJSON(c.OutOrStdout(), r)
	}
	w := c.OutOrStdout()
	fmt.Fprintf(w, "%s: %d messages in %.1f s = %.0f/s, %.1f MiB/s, %d failed\n", r.Kind, r.Messages, r.Seconds, r.PerSecond, r.MiBPerSec, r.Failed)
	if r.P50 > 0 {
		fmt.Fprintf(w, "latency: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms\n", r.P50, r.P99, r.P999)
	}
	r.Own.print(w, "bench")
	if r.Broker != nil {
		r.Broker.print(w, "broker")
		fmt.Fprintf(w, "broker CPU per message: %.2f µs\n", r.BrokerMicros)
	}
	return nil
}

type sendOptions struct {
	inFlight, size, batch int
	transactions          bool
}

func newBenchSend() *cobra.Command {
	c := &cobra.Command{
		Use: "send", Short: "Measure sending", Args: noArgs,
		Example: "  millrace bench send --in-flight 64 --size 1024 --pid $(pidof millrace)",
	}
	var o sendOptions
	c.Flags().IntVar(&o.inFlight, "in-flight", 64, "messages (batches, transactions) that wait for an answer")
	c.Flags().IntVar(&o.size, "size", 1024, "bytes of a body")
	c.Flags().IntVar(&o.batch, "batch", 1, "messages sent as one batch")
	c.Flags().BoolVar(&o.transactions, "transactions", false, "send transactional messages and commit each")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if o.inFlight < 1 || o.size < 1 || o.batch < 1 || o.batch > 1 && o.transactions {
			return usageError{errors.New("--in-flight, --size and --batch must be above zero, and transactions go one by one")}
		}
		return benchSend(c.Context(), c, o)
	}
	return c
}

func benchSend(ctx context.Context, c *cobra.Command, o sendOptions) error {
	topic, _ := c.Flags().GetString("topic")
	duration, _ := c.Flags().GetDuration("seconds")
	before, err := prepareTopic(ctx, c, topic)
	if err != nil {
		return err
	}
	producer, err := client.NewProducer(client.WithNameServers(nameServers(c)), client.WithGroup("bench_producer"), client.WithRetries(0),
		client.WithCompression(message.CompressionZLIB, -1), client.WithTransactionChecker(func(context.Context, *client.ReceivedMessage) client.TransactionState {
			return client.TransactionCommit
		}))
	if err != nil {
		return err
	}
	if err := producer.Start(ctx); err != nil {
		return environmentError{err}
	}
	defer producer.Close(context.WithoutCancel(ctx))
	own, broker := meters(c)
	started := time.Now()
	failed, latencies := sendFor(ctx, producer, topic, duration, o)
	elapsed := time.Since(started)
	after, err := endOffsets(ctx, c, topic)
	if err != nil {
		return err
	}
	r := benchResult{Kind: "send", Messages: after - before, Failed: failed}
	r.P50, r.P99, r.P999 = latencies.at(0.5), latencies.at(0.99), latencies.at(0.999)
	r.finish(elapsed, r.Messages*int64(o.size), own, broker)
	return r.print(c)
}

// sendFor keeps o.inFlight senders busy for a time.
func sendFor(ctx context.Context, p *client.Producer, topic string, d time.Duration, o sendOptions) (failed int64, all *histogram) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	body := make([]byte, o.size)
	for i := range body {
		body[i] = byte(rand.UintN(256))
	}
	var (
		wg       sync.WaitGroup
		failures atomic.Int64
		parts    = make([]histogram, o.inFlight)
	)
	for i := range o.inFlight {
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				if err := sendOne(context.WithoutCancel(ctx), p, topic, body, o); err != nil {
					failures.Add(1)
					continue
				}
				parts[i].add(time.Since(began))
			}
		})
	}
	wg.Wait()
	all = &histogram{}
	for i := range parts {
		all.merge(&parts[i])
	}
	return failures.Load(), all
}

func sendOne(ctx context.Context, p *client.Producer, topic string, body []byte, o sendOptions) error {
	switch {
	case o.transactions:
		_, err := p.SendInTransaction(ctx, message.New(topic, body), func(context.Context, *message.Message) client.TransactionState { return client.TransactionCommit })
		return err
	case o.batch > 1:
		batch := make([]*message.Message, o.batch)
		for i := range batch {
			batch[i] = message.New(topic, body)
		}
		_, err := p.SendBatch(ctx, batch)
		return err
	default:
		_, err := p.Send(ctx, message.New(topic, body))
		return err
	}
}

func newBenchPull() *cobra.Command {
	c := &cobra.Command{
		Use: "pull", Short: "Measure reading a topic from its beginning", Args: noArgs,
		Example: "  millrace bench send --seconds 10s && millrace bench pull",
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return benchPull(c.Context(), c) }
	return c
}

func benchPull(ctx context.Context, c *cobra.Command) error {
	topic, _ := c.Flags().GetString("topic")
	duration, _ := c.Flags().GetDuration("seconds")
	reader, err := client.NewReader(client.WithNameServers(nameServers(c)), client.WithGroup("bench_reader"))
	if err != nil {
		return err
	}
	if err := reader.Start(ctx); err != nil {
		return environmentError{err}
	}
	defer reader.Close(context.WithoutCancel(ctx))
	queues, err := reader.Queues(ctx, topic)
	if err != nil {
		return environmentError{err}
	}
	own, broker := meters(c)
	var messages, bytes atomic.Int64
	failures := make([]error, len(queues))
	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var wg sync.WaitGroup
	for i, q := range queues {
		wg.Go(func() { failures[i] = pullAll(limited, reader, q, &messages, &bytes) })
	}
	wg.Wait()
	elapsed := time.Since(started)
	if err := errors.Join(failures...); err != nil {
		return err
	}
	r := benchResult{Kind: "pull", Messages: messages.Load()}
	r.finish(elapsed, bytes.Load(), own, broker)
	return r.print(c)
}

// pullAll reads a queue from its beginning to its present end.
func pullAll(ctx context.Context, r *client.Reader, q message.Queue, messages, bytes *atomic.Int64) error {
	at, err := r.Min(ctx, q)
	if err != nil {
		return err
	}
	end, err := r.Max(ctx, q)
	if err != nil {
		return err
	}
	for at < end && ctx.Err() == nil {
		got, err := r.Pull(ctx, q, at, client.PullOptions{MaxMsgs: 256, MaxBytes: 1 << 20})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if got.Next <= at {
			return fmt.Errorf("%v: the broker does not move on from offset %d of %d", q, at, end)
		}
		for i := range got.Messages {
			bytes.Add(int64(len(got.Messages[i].Body)))
		}
		messages.Add(int64(len(got.Messages)))
		at = got.Next
	}
	return nil
}

// prepareTopic makes the topic when it is missing and returns the sum of its end offsets.
func prepareTopic(ctx context.Context, c *cobra.Command, topic string) (int64, error) {
	queues, _ := c.Flags().GetInt("queues")
	if sum, err := endOffsets(ctx, c, topic); err == nil {
		return sum, nil
	}
	a, err := admin.New(client.WithNameServers(nameServers(c)))
	if err != nil {
		return 0, usageError{err}
	}
	if err := a.Start(ctx); err != nil {
		return 0, environmentError{err}
	}
	defer a.Close(context.WithoutCancel(ctx))
	if err := a.CreateTopic(ctx, admin.TopicConfig{Name: topic, Queues: queues}, ""); err != nil {
		return 0, environmentError{fmt.Errorf("make topic %s: %w", topic, err)}
	}
	for {
		sum, err := endOffsets(ctx, c, topic)
		if err == nil {
			return sum, nil
		}
		select {
		case <-time.After(200 * time.Millisecond): // stock brokers register topics in their own time
		case <-ctx.Done():
			return 0, environmentError{err}
		}
	}
}

func endOffsets(ctx context.Context, c *cobra.Command, topic string) (sum int64, err error) {
	a, err := admin.New(client.WithNameServers(nameServers(c)))
	if err != nil {
		return 0, usageError{err}
	}
	if err := a.Start(ctx); err != nil {
		return 0, environmentError{err}
	}
	defer a.Close(context.WithoutCancel(ctx))
	queues, err := a.TopicStats(ctx, topic)
	if err == nil && len(queues) == 0 {
		err = fmt.Errorf("the topic %s has no queues", topic)
	}
	for _, q := range queues {
		sum += q.Max
	}
	return sum, err
}

func meters(c *cobra.Command) (own, broker *meter) {
	own = startMeter(0)
	if pid, _ := c.Flags().GetInt("pid"); pid > 0 {
		broker = startMeter(pid)
	}
	return own, broker
}
