package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
)

func newBenchPull() *cobra.Command {
	c := &cobra.Command{
		Use: "pull", Short: "Measure reading a topic from its beginning", Args: noArgs,
		Long: `Reads every queue from its beginning to its end, one pull at a time per queue. A backlog
that is shorter than --seconds is read again; the broker then reads it from memory.`,
		Example: "  millrace bench send --seconds 10s && millrace bench pull",
	}
	brokerFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return profiled(c, func() error { return benchPull(c.Context(), c) })
	}
	return c
}

func benchPull(ctx context.Context, c *cobra.Command) error {
	name, _ := c.Flags().GetString("topic")
	duration, _ := c.Flags().GetDuration("seconds")
	warmup, _ := c.Flags().GetDuration("warmup")
	reader, err := client.NewReader(client.WithNameServers(nameServers(c)), client.WithGroup("bench_reader"))
	if err != nil {
		return err
	}
	if err := reader.Start(ctx); err != nil {
		return environmentError{err}
	}
	defer reader.Close(context.WithoutCancel(ctx))
	queues, err := reader.Queues(ctx, name)
	if err != nil {
		return environmentError{err}
	}
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg    sync.WaitGroup
		count pullCount
	)
	failures := make([]error, len(queues))
	for i, q := range queues {
		wg.Go(func() { failures[i] = pullAgain(limited, reader, q, &count) })
	}
	if err := pause.For(ctx, warmup); err != nil {
		return err
	}
	own, broker := meters(c)
	started, messages, bytes := time.Now(), count.messages.Load(), count.bytes.Load()
	if err := pause.For(ctx, duration); err != nil {
		return err
	}
	elapsed, messages, bytes := time.Since(started), count.messages.Load()-messages, count.bytes.Load()-bytes
	r := benchResult{Kind: "pull", Messages: messages}
	r.finish(elapsed, bytes, own, broker)
	cancel()
	wg.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	return r.print(c)
}

type pullCount struct{ messages, bytes atomic.Int64 }

// pullAgain reads a queue from its beginning to the end that it has then, over and over.
func pullAgain(ctx context.Context, r *client.Reader, q message.Queue, count *pullCount) error {
	for ctx.Err() == nil {
		seen, err := pullAll(ctx, r, q, count)
		if err != nil && !errors.Is(err, context.Canceled) { // that is how the time ends
			return err
		}
		if seen == 0 {
			break
		}
	}
	return nil
}

// pullAll reads a queue once and returns how many messages it has.
func pullAll(ctx context.Context, r *client.Reader, q message.Queue, count *pullCount) (seen int64, err error) {
	at, err := r.Min(ctx, q)
	if err != nil {
		return 0, err
	}
	end, err := r.Max(ctx, q)
	if err != nil {
		return 0, err
	}
	for at < end {
		got, err := r.Pull(ctx, q, at, client.PullOptions{MaxMsgs: 512, MaxBytes: 1 << 20})
		if err != nil {
			return seen, err
		}
		if got.Next <= at {
			return seen, fmt.Errorf("%v: the broker does not move on from offset %d of %d", q, at, end)
		}
		size := 0
		for i := range got.Messages {
			size += len(got.Messages[i].Body)
		}
		seen += int64(len(got.Messages))
		count.bytes.Add(int64(size))
		count.messages.Add(int64(len(got.Messages)))
		at = got.Next
		got.Release()
	}
	return seen, nil
}
