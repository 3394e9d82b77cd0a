package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/namesrv"
)

// standaloneConfig is the file of `millrace standalone`: the parts, one beside the other.
type standaloneConfig struct {
	Data      string         `yaml:"data"`
	HTTP      string         `yaml:"http"`
	Pipelines string         `yaml:"pipelines"`
	Insecure  bool           `yaml:"insecure"`
	Namesrv   namesrv.Config `yaml:"namesrv"`
	Broker    broker.Config  `yaml:"broker"`
}

func newStandalone() *cobra.Command {
	c := &cobra.Command{
		Use: "standalone", Short: "Run name server, broker and pipelines in one process", Args: noArgs,
		Long: `Runs a name server, a broker and the pipeline daemon in one process, with all data below one
directory: the quickest way from a database to a lake.`,
		Example: "  millrace standalone --data ./data --pipelines ./pipelines\n  millrace standalone --config configs/standalone.yaml",
	}
	c.Flags().StringP("config", "c", "", "YAML file (configs/standalone.yaml shows every key)")
	c.Flags().String("data", "", "directory of all data (default /var/lib/millrace, or the XDG data directory)")
	c.Flags().String("pipelines", "", "directory of pipeline files (default: pipelines/ below the data)")
	c.Flags().String("http", "", "address of REST, metrics and health (default "+defaultDaemon+")")
	c.Flags().String("namesrv-listen", "", "address of the name server (default 127.0.0.1:9876)")
	c.Flags().String("broker-listen", "", "address of the broker (default 127.0.0.1:10911)")
	c.Flags().Bool("insecure", false, "allow addresses that are not loopback")
	pprofFlag(c)
	c.RunE = runStandalone
	return c
}

// standaloneSettings are the file, the environment and the flags.
func standaloneSettings(c *cobra.Command) (standaloneConfig, error) {
	cfg := standaloneConfig{HTTP: defaultDaemon, Namesrv: namesrv.DefaultConfig(), Broker: broker.DefaultConfig()}
	overrides := given(c, map[string]string{"data": "data", "pipelines": "pipelines", "http": "http", "insecure": "insecure"})
	for flag, prefix := range map[string]string{"namesrv-listen": "namesrv.", "broker-listen": "broker."} {
		if err := listenOverrides(c, flag, prefix, overrides); err != nil {
			return cfg, err
		}
	}
	if err := loadConfig(c, "MILLRACE_STANDALONE", overrides, &cfg); err != nil {
		return cfg, err
	}
	if cfg.Data == "" {
		cfg.Data = dataDir()
	}
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return cfg, environmentError{err}
	}
	cfg.Data = data
	if cfg.Pipelines == "" {
		cfg.Pipelines = filepath.Join(cfg.Data, "pipelines")
		if err := os.MkdirAll(cfg.Pipelines, 0o755); err != nil {
			return cfg, environmentError{fmt.Errorf("make a data directory: %w; --data chooses another place", err)}
		}
	}
	if cfg.Broker.StorePathRootDir == "" {
		cfg.Broker.StorePathRootDir = filepath.Join(cfg.Data, "store")
	}
	if cfg.Namesrv.KVConfigPath == "" {
		cfg.Namesrv.KVConfigPath = filepath.Join(cfg.Data, "namesrv", "kvConfig.json")
	}
	cfg.Broker.Insecure = cfg.Broker.Insecure || cfg.Insecure
	cfg.Namesrv.Insecure = cfg.Namesrv.Insecure || cfg.Insecure
	return cfg, checkExposure(cfg.Insecure, cfg.HTTP, cfg.Namesrv.BindAddress, cfg.Broker.BindAddress)
}

// registerTime is how long the pipelines wait for the broker before they ask for it.
const registerTime = 5 * time.Second

func runStandalone(c *cobra.Command, _ []string) error {
	log, err := logger(c)
	if err != nil {
		return err
	}
	cfg, err := standaloneSettings(c)
	if err != nil {
		return err
	}
	if err := isDirectory(cfg.Pipelines); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Namesrv.KVConfigPath), 0o755); err != nil {
		return environmentError{fmt.Errorf("make a data directory: %w; --data chooses another place", err)}
	}
	names, err := namesrv.New(cfg.Namesrv, namesrv.Deps{}, log)
	if err != nil {
		return environmentError{err}
	}
	reg := newMetrics()
	cfg.Broker.NamesrvAddr = names.Addr()
	b, err := broker.New(cfg.Broker, broker.Deps{Registerer: reg, Log: log})
	if err != nil {
		_ = names.Close()
		return environmentError{err}
	}
	d, err := newDaemon(connectConfig{
		Pipelines: cfg.Pipelines, Data: filepath.Join(cfg.Data, "connect"), NamesrvAddr: names.Addr(), BrokerName: cfg.Broker.BrokerName,
	}, reg, log)
	if err != nil {
		return err
	}
	l, err := listenHTTP(cfg.HTTP)
	if err != nil {
		return err
	}
	serve := func(ctx context.Context) error {
		return serveDaemon(ctx, l, reg, d, map[string]httpserve.Check{"store": b.Err}, log)
	}
	profiles := func(ctx context.Context) error { return servePprof(ctx, c, log) }
	// Nothing that is there in a moment is said to be missing.
	pipelines := func(ctx context.Context) error {
		wait, cancel := context.WithTimeout(ctx, registerTime)
		names.Await(wait, cfg.Broker.BrokerName)
		cancel()
		return d.Run(ctx)
	}
	// The pipelines stop first, then the broker that they write to, then the name server.
	return runStages(c.Context(), stage{pipelines, serve, profiles, keepMemoryLow}, stage{b.Run}, stage{names.Run})
}
