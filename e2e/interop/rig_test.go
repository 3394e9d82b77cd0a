package interop

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/rlog"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/namesrv"
)

func TestMain(m *testing.M) {
	if os.Getenv("MILLRACE_TEST_LOG") == "" {
		rlog.SetLogLevel("fatal")
	}
	os.Exit(m.Run())
}

// cluster is a name server and one broker.
type cluster struct {
	names  *namesrv.Server
	broker *broker.Broker
}

func startCluster(t *testing.T, change func(*broker.Config)) *cluster {
	t.Helper()
	log := slog.New(slog.NewTextHandler(logOutput(), nil))
	ncfg := namesrv.DefaultConfig()
	ncfg.ListenPort = 0
	names, err := namesrv.New(ncfg, namesrv.Deps{}, log)
	if err != nil {
		t.Fatal(err)
	}
	run(t, names.Run)
	cfg := broker.DefaultConfig()
	cfg.BrokerName, cfg.ListenPort, cfg.NamesrvAddr = "broker-a", 0, names.Addr()
	cfg.StorePathRootDir = filepath.ToSlash(t.TempDir())
	cfg.MappedFileSizeCommitLog = 64 << 20
	cfg.MaxHashSlotNum, cfg.MaxIndexNum = 1000, 4000
	if change != nil {
		change(&cfg)
	}
	b, err := broker.New(cfg, broker.Deps{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	run(t, b.Run)
	return &cluster{names: names, broker: b}
}

func logOutput() io.Writer {
	if os.Getenv("MILLRACE_TEST_LOG") != "" {
		return os.Stderr
	}
	return io.Discard
}

func run(t *testing.T, service func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("on stop: %v", err)
		}
	})
}

func (c *cluster) resolver() primitive.NsResolver {
	return primitive.NewPassthroughResolver([]string{c.names.Addr()})
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}

// tally counts what each of several consumers got, by text.
type tally struct {
	mu  sync.Mutex
	got map[string]map[string]int // text → consumer → times
}

func newTally() *tally { return &tally{got: map[string]map[string]int{}} }

func (l *tally) add(consumer, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.got[text] == nil {
		l.got[text] = map[string]int{}
	}
	l.got[text][consumer]++
}

func (l *tally) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got)
}

// consumers is how many consumers got something of the texts that begin with prefix.
func (l *tally) consumers(prefix string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := map[string]bool{}
	for text, by := range l.got {
		if len(text) >= len(prefix) && text[:len(prefix)] == prefix {
			for c := range by {
				set[c] = true
			}
		}
	}
	return len(set)
}

func text(prefix string, n int) string { return fmt.Sprintf("%s-%03d", prefix, n) }
