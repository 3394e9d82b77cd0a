package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/message"
)

// connectPublisher makes the connections of one opening.
func (e *Endpoint) connectPublisher(pipelineName, broker string) func(context.Context) (publisherDeps, error) {
	return func(ctx context.Context) (publisherDeps, error) {
		checks := make(chan client.Half, 64)
		var (
			wopts = []client.WriterOption{client.WithNameServers(e.cfg.NameServers), client.WithLogger(e.log)}
			ropts = []client.ReaderOption{client.WithNameServers(e.cfg.NameServers), client.WithLogger(e.log)}
			aopts = []client.Option{client.WithNameServers(e.cfg.NameServers), client.WithLogger(e.log)}
		)
		for _, o := range e.cfg.Options {
			wopts, ropts, aopts = append(wopts, o), append(ropts, o), append(aopts, o)
		}
		a, err := admin.New(aopts...)
		if err == nil {
			err = a.Start(ctx)
		}
		if err != nil {
			return publisherDeps{}, fmt.Errorf("connect to the broker: %w", err)
		}
		limit, err := messageLimit(ctx, a, broker)
		if err != nil {
			return publisherDeps{}, errors.Join(err, a.Close(ctx))
		}
		wopts = append(append(wopts, e.writerOptions...), client.WithMaxMessageSize(limit))
		w, err1 := client.NewWriter(pipelineName, wopts...)
		r, err2 := client.NewReader(ropts...)
		if err := errors.Join(err1, err2); err != nil {
			return publisherDeps{}, errors.Join(fmt.Errorf("connect to the broker: %w", err), a.Close(ctx))
		}
		w.OnCheck(func(h client.Half) {
			select {
			case checks <- h:
			default: // the broker asks again
			}
		})
		if err := errors.Join(w.Start(ctx), r.Start(ctx)); err != nil {
			return publisherDeps{}, fmt.Errorf("connect to the broker: %w", err)
		}
		return publisherDeps{
			writer: w, reader: r, topics: a, checks: checks, maxMessage: limit,
			close: func(ctx context.Context) error {
				return errors.Join(w.Close(ctx), r.Close(ctx), a.Close(ctx))
			},
		}, nil
	}
}

// messageLimit is the largest body that the broker takes: what is above it must pause its
// table, not be sent again and again.
func messageLimit(ctx context.Context, a *admin.Client, broker string) (int, error) {
	cfg, err := a.BrokerConfig(ctx, broker)
	if err != nil {
		return 0, fmt.Errorf("connect to the broker: %w", err)
	}
	limit, err := strconv.Atoi(cfg["maxMessageSize"])
	if err == nil && limit > 0 {
		return min(limit, message.MaxBodyLen), nil
	}
	return 4 << 20, nil // RocketMQ's own
}
