package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/namesrv"
)

// startCluster runs a name server and a broker, and returns the name server's address.
func startCluster(t *testing.T) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ncfg := namesrv.DefaultConfig()
	ncfg.ListenPort = 0
	names, err := namesrv.New(ncfg, namesrv.Deps{}, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg := broker.DefaultConfig()
	cfg.BrokerName, cfg.ListenPort, cfg.NamesrvAddr = "broker-a", 0, names.Addr()
	cfg.StorePathRootDir = filepath.ToSlash(t.TempDir())
	cfg.MaxHashSlotNum, cfg.MaxIndexNum = 1000, 4000
	b, err := broker.New(cfg, broker.Deps{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range []func(context.Context) error{names.Run, b.Run} {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	names.Await(ctx, cfg.BrokerName)
	return names.Addr()
}

func TestTopicsAreDeletedWithCare(t *testing.T) {
	names := startCluster(t)
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"create scratch --queues 1", exitOK, "scratch has 1 queues"},
		{"create shop--orders --queues 1 --attribute millrace.writer=shop", exitOK, ""},
		{"delete scratch", exitConfiguration, "--yes"},
		{"delete scratch --yes", exitOK, "scratch is deleted"},
		{"delete scratch --yes", exitRuntime, "no such topic"},
		{"delete shop--orders --yes", exitRuntime, "millrace pipeline delete shop"},
		{"stats shop--orders", exitOK, "broker-a"},
		{"delete shop--orders --yes --force", exitOK, "shop--orders is deleted"},
		{"delete shop--orders --yes --force", exitRuntime, "no such topic"},
	} {
		out, status := execute(t, append([]string{"admin", "topic", "--namesrv", names}, strings.Fields(c.args)...)...)
		if status != c.status || !strings.Contains(out, c.says) {
			t.Errorf("admin topic %s: status %d, %s", c.args, status, out)
		}
	}
}
