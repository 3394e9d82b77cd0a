package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
)

// connectPublisher makes the connections of one opening.
func (e *Endpoint) connectPublisher(pipelineName string) func(context.Context) (publisherDeps, error) {
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
		wopts = append(wopts, e.writerOptions...)
		w, err1 := client.NewWriter(pipelineName, wopts...)
		r, err2 := client.NewReader(ropts...)
		a, err3 := admin.New(aopts...)
		if err := errors.Join(err1, err2, err3); err != nil {
			return publisherDeps{}, fmt.Errorf("connect to the broker: %w", err)
		}
		w.OnCheck(func(h client.Half) {
			select {
			case checks <- h:
			default: // the broker asks again
			}
		})
		if err := errors.Join(w.Start(ctx), r.Start(ctx), a.Start(ctx)); err != nil {
			return publisherDeps{}, fmt.Errorf("connect to the broker: %w", err)
		}
		return publisherDeps{
			writer: w, reader: r, topics: a, checks: checks,
			close: func(ctx context.Context) error {
				return errors.Join(w.Close(ctx), r.Close(ctx), a.Close(ctx))
			},
		}, nil
	}
}
