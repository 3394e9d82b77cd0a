package javainterop

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// TestAJavaStoreIsTakenForWhatItIs imports a store whose log is elsewhere and in which
// delayed messages wait: neither may go unsaid.
func TestAJavaStoreIsTakenForWhatItIs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	elsewhere := filepath.Join(t.TempDir(), "log")
	java := s.javaBroker(map[string]string{"storePathCommitLog": elsewhere})
	s.foreignKeysAreJavas(java.Addr)
	s.createTopics()
	s.fill()
	p := newProducer(t, s.names, nil)
	delayed := func(key, value string) {
		t.Helper()
		m := message.New("single", []byte("late"))
		m.SetProperty(key, value)
		if _, err := p.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	delayed(message.PropertyDelay, "1") // delivered below: it waits no more
	s.sent++
	for range 3 {
		delayed(message.PropertyDelay, "18")
	}
	for range 2 {
		delayed(message.PropertyTimerDeliverMs, fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()))
	}
	before := s.read()
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.stop(java)

	// Without its log the store is refused, and nothing is changed by that.
	cfg := broker.DefaultConfig()
	cfg.BrokerName, cfg.ListenPort, cfg.NamesrvAddr = brokerName, 0, s.names
	cfg.StorePathRootDir, cfg.MappedFileSizeCommitLog = filepath.ToSlash(s.store()), 128<<20
	cfg.MaxHashSlotNum, cfg.MaxIndexNum = 1000, 4000
	for range 2 {
		if _, err := broker.New(cfg, broker.Deps{Log: testLog()}); !errors.Is(err, store.ErrLostTail) ||
			!strings.Contains(err.Error(), "storePathCommitLog") {
			t.Fatalf("a store without its log: %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(s.store(), "dispatchCheckpoint")); err == nil {
		t.Fatal("the refused store was changed")
	}

	var said strings.Builder
	cfg.StorePathCommitLog = filepath.ToSlash(elsewhere)
	reg := prometheus.NewRegistry()
	b, err := broker.New(cfg, broker.Deps{Log: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelError})), Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	ours := run(b.Run)
	t.Cleanup(func() { _ = ours.stop() })
	follows(t, "Millrace", before, s.read())
	if log := said.String(); !strings.Contains(log, "by_delay_level=3 by_timer=2") {
		t.Errorf("it says of what waits: %q", log)
	}
	for kind, want := range map[string]float64{"level": 3, "timer": 2} {
		if got := gauge(t, reg, "millrace_store_undeliverable_delayed_messages", kind); got != want {
			t.Errorf("%v messages wait by %s in the metric, want %v", got, kind, want)
		}
	}
	info, err := newAdmin(t, s.names).BrokerRuntime(t.Context(), brokerName)
	if err != nil || info["undeliverableDelayedMessages"] != "5" {
		t.Errorf("the runtime information says %q, %v", info["undeliverableDelayedMessages"], err)
	}
	if err := ours.stop(); err != nil {
		t.Fatal(err)
	}
}

// foreignKeysAreJavas asks Java's broker for its configuration: each key that we refuse is
// one of its own, and its default is let pass.
func (s *stage) foreignKeysAreJavas(addr string) {
	s.t.Helper()
	asks := rpc.NewClient(rpc.ClientConfig{}, testLog())
	defer asks.Close()
	ans, err := asks.Invoke(s.t.Context(), addr, remoting.NewRequest(protocol.GetBrokerConfig))
	if err != nil || ans.Code != protocol.Success {
		s.t.Fatalf("Java's configuration: %+v, %v", ans, err)
	}
	all := protocol.DecodeProperties(ans.Body)
	// Java does not show what is null, nor its configuration of authentication.
	unseen := []string{"readOnlyCommitLogStorePaths", "haMasterAddress", "authenticationEnabled", "authorizationEnabled"}
	for _, k := range broker.ForeignKeys() {
		value, ok := all[k.Key]
		if !ok && !slices.Contains(unseen, k.Key) {
			s.t.Errorf("%s is no key of RocketMQ's", k.Key)
		}
		if err := k.Refuse(value); err != nil {
			s.t.Errorf("RocketMQ's default is refused: %v", err)
		}
	}
}

func gauge(t *testing.T, reg *prometheus.Registry, name, kind string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == "kind" && l.GetValue() == kind {
					return m.GetGauge().GetValue()
				}
			}
		}
	}
	t.Fatalf("no metric %s of kind %s", name, kind)
	return 0
}
