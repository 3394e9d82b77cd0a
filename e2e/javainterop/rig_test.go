package javainterop

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
)

const brokerName = "broker-a"

// TestMain lets every JVM compile cheaply: none lives long enough for more.
func TestMain(m *testing.M) {
	const name = "JAVA_TOOL_OPTIONS"
	if os.Getenv(name) == "" {
		if err := os.Setenv(name, "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func testLog() *slog.Logger {
	var out io.Writer = io.Discard
	if os.Getenv("MILLRACE_TEST_LOG") != "" {
		out = os.Stderr
	}
	return slog.New(slog.NewTextHandler(out, nil))
}

// service is something of ours that runs.
type service struct {
	cancel context.CancelFunc
	done   chan error
}

func run(f func(context.Context) error) *service {
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- f(ctx) }()
	return s
}

// stop ends the service in order; it may be called again.
func (s *service) stop() error {
	if s == nil || s.cancel == nil {
		return nil
	}
	s.cancel()
	s.cancel = nil
	return <-s.done
}

// ourBroker starts a Millrace broker on a store that Java's may have made, and returns
// when the name server leads to it.
func ourBroker(t *testing.T, store, names string, change func(*broker.Config)) *service {
	t.Helper()
	cfg := broker.DefaultConfig()
	cfg.BrokerName, cfg.ListenPort, cfg.NamesrvAddr = brokerName, 0, names
	cfg.StorePathRootDir = filepath.ToSlash(store)
	cfg.MappedFileSizeCommitLog = 128 << 20
	cfg.MaxHashSlotNum, cfg.MaxIndexNum = 1000, 4000
	if change != nil {
		change(&cfg)
	}
	b, err := broker.New(cfg, broker.Deps{Log: testLog()})
	if err != nil {
		t.Fatal(err)
	}
	s := run(b.Run)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("our broker, on stop: %v", err)
		}
	})
	a := newAdmin(t, names)
	waitFor(t, "the name server to know our broker", func() error {
		c, err := a.ClusterInfo(t.Context())
		if err != nil {
			return err
		}
		for _, known := range c.Brokers {
			if known.Addrs[0] == b.Addr() {
				return nil
			}
		}
		return fmt.Errorf("it knows %v", c.Brokers)
	})
	return s
}

func newAdmin(t *testing.T, names string) *admin.Client {
	t.Helper()
	a, err := admin.New(client.WithNameServers(names))
	if err == nil {
		err = a.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) })
	return a
}

func newReader(t *testing.T, names string) *client.Reader {
	t.Helper()
	r, err := client.NewReader(client.WithNameServers(names), client.WithGroup(longGroup))
	if err == nil {
		err = r.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

func newProducer(t *testing.T, names string, check client.TransactionChecker) *client.Producer {
	t.Helper()
	opts := []client.ProducerOption{client.WithNameServers(names), client.WithGroup("javainterop-p"),
		client.WithHeartbeatInterval(time.Second)}
	if check != nil {
		opts = append(opts, client.WithTransactionChecker(check))
	}
	p, err := client.NewProducer(opts...)
	if err == nil {
		err = p.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		_ = p.Close(ctx) // its broker may be gone
	})
	return p
}

// waitFor asks until ok says nil.
func waitFor(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain for %s: %v", what, err)
		case <-tick.C:
		}
	}
}
