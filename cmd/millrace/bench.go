package main

import (
	"context"
	"fmt"
	"os"
	"runtime/pprof"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
)

func newBench() *cobra.Command {
	c := &cobra.Command{
		Use: "bench", Short: "Measure a broker, Millrace's or Apache RocketMQ's, or a pipeline", Args: noArgs,
		Long: `Sends to or reads from a topic and prints rates and latencies, beside the CPU, memory, GC,
disk and network that it took, of this process and, with --pid, of the broker. What
counts is what arrived: sends are counted by the topic's offsets. "bench pipeline" watches
a running pipeline and counts what its targets show.`,
		Example: "  millrace bench send --in-flight 64 --seconds 20s\n  millrace bench pull\n  millrace bench pipeline pipelines/orders.yaml",
	}
	c.PersistentFlags().Bool("json", false, "print JSON")
	c.PersistentFlags().Duration("seconds", 10*time.Second, "how long to measure")
	c.PersistentFlags().String("cpuprofile", "", "write a CPU profile of this process to a file")
	c.AddCommand(newBenchSend(), newBenchPull(), newBenchPipeline())
	return c
}

// brokerFlags are those of the measurements that speak to a broker.
func brokerFlags(c *cobra.Command) {
	c.Flags().String("namesrv", "", "name servers (default $NAMESRV_ADDR, else "+defaultNamesrv+")")
	c.Flags().String("topic", "bench", "topic; made with --queues queues when it is missing")
	c.Flags().Int("queues", 4, "queues of the topic")
	c.Flags().Int("pid", 0, "process id of the broker on this machine, to show what it took")
	c.Flags().Duration("warmup", time.Second, "time under load before the measurement begins")
}

// benchResult is what a measurement found.
type benchResult struct {
	Kind      string  `json:"kind"`
	Messages  int64   `json:"messages"` // at the receiver
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	MiBPerSec float64 `json:"mib_per_second"`
	Failed    int64   `json:"failed"`
	Failure   string  `json:"failure,omitempty"` // the first one
	P50       float64 `json:"p50_ms,omitempty"`
	P99       float64 `json:"p99_ms,omitempty"`
	P999      float64 `json:"p999_ms,omitempty"`
	Own       usage   `json:"own"`
	Broker    *usage  `json:"broker,omitempty"`
	// BrokerMicros and OwnMicros are CPU time per message.
	BrokerMicros float64 `json:"broker_cpu_us_per_message,omitempty"`
	OwnMicros    float64 `json:"own_cpu_us_per_message"`
}

func (r *benchResult) finish(elapsed time.Duration, bytes int64, own, broker *meter) {
	r.Seconds = elapsed.Seconds()
	r.PerSecond = float64(r.Messages) / r.Seconds
	r.MiBPerSec = float64(bytes) / (1 << 20) / r.Seconds
	r.Own = own.since()
	perMessage := func(u usage) float64 { return u.CPUSeconds * 1e6 / float64(max(r.Messages, 1)) }
	r.OwnMicros = perMessage(r.Own)
	if broker != nil {
		used := broker.since()
		r.Broker, r.BrokerMicros = &used, perMessage(used)
	}
}

func (r *benchResult) print(c *cobra.Command) error {
	if wantsJSON(c) {
		return printJSON(c.OutOrStdout(), r)
	}
	w := c.OutOrStdout()
	fmt.Fprintf(w, "%s: %d messages in %.1f s = %.0f/s, %.1f MiB/s, %d failed\n", r.Kind, r.Messages, r.Seconds,
		r.PerSecond, r.MiBPerSec, r.Failed)
	if r.Failure != "" {
		fmt.Fprintf(w, "first failure: %s\n", r.Failure)
	}
	if r.P50 > 0 {
		fmt.Fprintf(w, "latency: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms\n", r.P50, r.P99, r.P999)
	}
	r.Own.print(w, "bench")
	fmt.Fprintf(w, "bench CPU per message: %.2f µs\n", r.OwnMicros)
	if r.Broker != nil {
		r.Broker.print(w, "broker")
		fmt.Fprintf(w, "broker CPU per message: %.2f µs\n", r.BrokerMicros)
	}
	return nil
}

func meters(c *cobra.Command) (own, broker *meter) {
	own = startMeter(0)
	if pid, _ := c.Flags().GetInt("pid"); pid > 0 {
		broker = startMeter(pid)
	}
	return own, broker
}

// profiled runs f, under a CPU profile when --cpuprofile asks for one.
func profiled(c *cobra.Command, f func() error) error {
	quietCollector()
	path, _ := c.Flags().GetString("cpuprofile")
	if path == "" {
		return f()
	}
	out, err := os.Create(path)
	if err != nil {
		return environmentError{fmt.Errorf("write a profile: %w", err)}
	}
	defer out.Close()
	if err := pprof.StartCPUProfile(out); err != nil {
		return fmt.Errorf("write a profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return f()
}

// bench is the topic that is measured and the way to its offsets.
type benchTopic struct {
	name  string
	admin *admin.Client
}

// openTopic connects, and makes the topic when it is missing and create says so. The
// caller closes it.
func openTopic(ctx context.Context, c *cobra.Command, create bool) (*benchTopic, error) {
	name, _ := c.Flags().GetString("topic")
	queues, _ := c.Flags().GetInt("queues")
	a, err := admin.New(client.WithNameServers(nameServers(c)))
	if err != nil {
		return nil, usageError{err}
	}
	if err := a.Start(ctx); err != nil {
		return nil, environmentError{err}
	}
	t := &benchTopic{name: name, admin: a}
	if _, err := t.end(ctx); err == nil || !create {
		return t, nil
	}
	if err := a.CreateTopic(ctx, admin.TopicConfig{Name: name, Queues: queues}, ""); err != nil {
		t.close(ctx)
		return nil, environmentError{fmt.Errorf("make topic %s: %w", name, err)}
	}
	for {
		_, err := t.end(ctx)
		if err == nil {
			return t, nil
		}
		select {
		case <-time.After(200 * time.Millisecond): // stock brokers register topics in their own time
		case <-ctx.Done():
			t.close(ctx)
			return nil, environmentError{err}
		}
	}
}

func (t *benchTopic) close(ctx context.Context) { _ = t.admin.Close(context.WithoutCancel(ctx)) }

// end is the sum of the queues' end offsets.
func (t *benchTopic) end(ctx context.Context) (sum int64, err error) {
	queues, err := t.admin.TopicStats(ctx, t.name)
	if err == nil && len(queues) == 0 {
		err = fmt.Errorf("the topic %s has no queues", t.name)
	}
	for _, q := range queues {
		sum += q.Max
	}
	return sum, err
}

// settled is the sum of end offsets once it stays the same: brokers show a message a
// moment after they have acknowledged it.
func (t *benchTopic) settled(ctx context.Context) (int64, error) {
	last, err := t.end(ctx)
	for err == nil {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return last, ctx.Err()
		}
		var now int64
		if now, err = t.end(ctx); now == last {
			break
		}
		last = now
	}
	return last, err
}
