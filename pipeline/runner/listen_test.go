package runner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"

	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/life"
	"github.com/millrace/millrace/pipeline/spec"
)

// TestEveryListenerHears: several wait for one table to be taken up. Whoever has what he
// wants, or gives up, takes nothing from the others, and nothing stays of those who left.
func TestEveryListenerHears(t *testing.T) {
	p := newPipe(&spec.Pipeline{Name: "erp"}, Deps{
		Log:      slog.New(slog.DiscardHandler),
		Endpoint: func() *bus.Endpoint { return bus.NewEndpoint(bus.EndpointConfig{}, slog.New(slog.DiscardHandler)) },
	})
	table := event.TableName{DB: "erp", Table: "orders"}
	const listeners = 8
	var heard [listeners]context.Context
	var ends [listeners]func()
	var together sync.WaitGroup
	for i := range listeners {
		together.Go(func() {
			ctx, again := context.WithCancelCause(context.Background())
			heard[i], ends[i] = ctx, p.listen(table, again)
			if i%2 == 0 {
				ends[i]()
			}
		})
	}
	together.Wait()
	p.lives.Report(table, life.Event{Kind: life.Paused, Reason: event.PauseReason{Code: event.PauseCharset, Text: "of latin2"}})
	for i, ctx := range heard {
		if got, want := errors.Is(context.Cause(ctx), httpapi.ErrState), i%2 == 1; got != want {
			t.Errorf("listener %d has heard: %v, want %v", i, got, want)
		}
	}
	for i := range listeners {
		ends[i]()
	}
	if len(p.again) != 0 {
		t.Errorf("there stay %v", p.again)
	}
}
