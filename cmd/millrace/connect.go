package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/connectors"
	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/runner"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks"
)

// connectConfig is the file of `millrace connect`.
type connectConfig struct {
	Pipelines   string `yaml:"pipelines"`
	Data        string `yaml:"data"`
	HTTP        string `yaml:"http"`
	NamesrvAddr string `yaml:"namesrvAddr"`
	// BrokerName is the broker that holds the pipelines' topics.
	BrokerName string `yaml:"brokerName"`
	Insecure   bool   `yaml:"insecure"`
}

func newConnect() *cobra.Command {
	c := &cobra.Command{
		Use: "connect", Short: "Run every pipeline of a directory", Args: noArgs,
		Long: `Runs every pipeline that is declared in a directory of YAML files, reloads them when they
change, and serves REST, metrics and health. One process runs all of them; sharing work
between several is not done yet.`,
		Example: "  millrace connect --pipelines /etc/millrace/pipelines --broker broker-a",
	}
	c.Flags().StringP("config", "c", "", "YAML file (configs/connect.yaml shows every key)")
	c.Flags().String("pipelines", "", "directory of pipeline files")
	c.Flags().String("data", "", "directory of the daemon's own state")
	c.Flags().String("http", "", "address of REST, metrics and health (default "+defaultDaemon+")")
	c.Flags().String("namesrv", "", "name servers, host:port;host:port (default $NAMESRV_ADDR, else 127.0.0.1:9876)")
	c.Flags().String("broker", "", "name of the broker that holds the pipelines' topics")
	c.Flags().Bool("insecure", false, "allow an address that is not loopback")
	pprofFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, err := logger(c)
		if err != nil {
			return err
		}
		cfg := connectConfig{HTTP: defaultDaemon, NamesrvAddr: defaultNamesrv}
		if addr, ok := lookupEnv("NAMESRV_ADDR"); ok && addr != "" {
			cfg.NamesrvAddr = addr
		}
		overrides := given(c, map[string]string{"pipelines": "pipelines", "data": "data", "http": "http", "namesrv": "namesrvAddr",
			"broker": "brokerName", "insecure": "insecure"})
		if err := loadConfig(c, "MILLRACE_CONNECT", overrides, &cfg); err != nil {
			return err
		}
		if cfg.Data == "" {
			cfg.Data = filepath.Join(dataDir(), "connect")
		}
		if cfg.Pipelines == "" || cfg.BrokerName == "" {
			return usageError{fmt.Errorf("connect needs a directory of pipelines (--pipelines) and the name of a broker (--broker)")}
		}
		if err := checkExposure(cfg.Insecure, cfg.HTTP); err != nil {
			return err
		}
		if err := isDirectory(cfg.Pipelines); err != nil {
			return err
		}
		reg := newMetrics()
		d, err := newDaemon(cfg, reg, log)
		if err != nil {
			return err
		}
		l, err := listenHTTP(cfg.HTTP)
		if err != nil {
			return err
		}
		g, ctx := errgroup.WithContext(c.Context())
		g.Go(func() error { return d.Run(ctx) })
		g.Go(func() error { return servePprof(ctx, c, log) })
		g.Go(func() error { return keepMemoryLow(ctx) })
		g.Go(func() error { return serveDaemon(ctx, l, reg, d, nil, log) })
		return ended(c.Context(), g.Wait())
	}
	return c
}

// isDirectory refuses a directory of pipelines that is not there: a daemon without it would
// run nothing and say nothing.
func isDirectory(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return environmentError{fmt.Errorf("the directory of pipelines: %w; make it, or name another with --pipelines", err)}
	case !info.IsDir():
		return environmentError{fmt.Errorf("the directory of pipelines: %s is a file; name the directory that it is in with --pipelines", path)}
	}
	return nil
}

// newDaemon joins the tables of sources and sinks, the bus and the runner.
func newDaemon(cfg connectConfig, reg *prometheus.Registry, log *slog.Logger) (*runner.Runner, error) {
	id := worker()
	endpoint := func() *bus.Endpoint {
		return bus.NewEndpoint(bus.EndpointConfig{NameServers: cfg.NamesrvAddr, Broker: cfg.BrokerName, Worker: id}, log)
	}
	d, err := runner.New(runner.Config{Pipelines: cfg.Pipelines, State: cfg.Data}, kinds(), runner.Deps{
		Source: func(p *spec.Pipeline) (pipeline.Source, error) {
			return connectors.Types()[p.Source.Type].New(p, connectors.Deps{
				Log:     log.With(slog.String("pipeline", p.Name)),
				Reg:     replacing{prometheus.WrapRegistererWith(prometheus.Labels{"pipeline": p.Name}, reg)},
				Scratch: filepath.Join(cfg.Data, "scratch"),
			})
		},
		Snapshot: func(p *spec.Pipeline) pipeline.SnapshotMode { return connectors.Types()[p.Source.Type].Snapshot(p) },
		Config:   func(p *spec.Pipeline) json.RawMessage { return connectors.Types()[p.Source.Type].Config(p) },
		Sink: func(p *spec.Pipeline, s spec.Sink) (pipeline.Sink, error) {
			return sinks.New(s.Type, s.Config, sinks.Deps{
				FS: vfs.OS(), Reg: reg, Log: log.With(slog.String("pipeline", p.Name), slog.String("sink", s.Name)),
				Scratch: cfg.Data,
			})
		},
		SourceReader: func(p *spec.Pipeline) (pipeline.Reader, error) { return connectors.Types()[p.Source.Type].Readback(p) },
		TargetReader: sinks.Readback,
		Endpoint:     endpoint,
		Log:          log,
	})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(reg.Register(d.Collector()), reg.Register(d.SelfChecks())); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return d, nil
}

// serveDaemon serves REST beside metrics and health.
func serveDaemon(ctx context.Context, l net.Listener, reg *prometheus.Registry, d *runner.Runner, more map[string]httpserve.Check,
	log *slog.Logger) error {
	ready := map[string]httpserve.Check{"pipelines": d.Ready}
	for name, check := range more {
		ready[name] = check
	}
	log.Info("daemon listens", slog.String("addr", l.Addr().String()),
		slog.String("status", "millrace pipeline status --daemon "+l.Addr().String()))
	return serveHTTP(ctx, l, reg, ready, func(mux *http.ServeMux) { httpapi.Handle(mux, d) }, log)
}
