package main

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// stage is a set of services that stop together.
type stage []func(context.Context) error

// runStages runs stages of which each uses those behind it: all at once, until ctx ends
// or a service returns; then they stop in the order given, each joined before the next
// is told, so that nothing loses what it stands on.
func runStages(ctx context.Context, stages ...stage) error {
	over, end := context.WithCancel(ctx)
	defer end()
	groups, stops := make([]*errgroup.Group, len(stages)), make([]context.CancelFunc, len(stages))
	for i := len(stages) - 1; i >= 0; i-- {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		g, gctx := errgroup.WithContext(own)
		for _, run := range stages[i] {
			g.Go(func() error {
				err := run(gctx)
				if own.Err() == nil { // nobody asked it to stop: the others have to
					end()
				}
				return err
			})
		}
		groups[i], stops[i] = g, stop
	}
	<-over.Done()
	var errs []error
	for i := range stages {
		stops[i]()
		if err := groups[i].Wait(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
