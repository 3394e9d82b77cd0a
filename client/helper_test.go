package client

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/millrace/millrace/client/internal/session"
)

var storeHost = netip.MustParseAddrPort("127.0.0.1:10911")

func testOptions(names string) Option {
	return sharedOption(func(c *session.Config) {
		c.NameServers = session.ParseNameServers(names)
		c.RetryBackoff = 10 * time.Millisecond
	})
}

// within is a context for one test step.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	t.Cleanup(cancel)
	return ctx
}

type startable interface {
	Start(context.Context) error
	Close(context.Context) error
}

// started starts a client and closes it when the test ends.
func started[T startable](t testing.TB) func(T, error) T {
	return func(c T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(within(t)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
			defer cancel()
			if err := c.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return c
	}
}

// eventually waits for a condition that no channel tells of.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it never happened that %s", what)
		}
	}
}
