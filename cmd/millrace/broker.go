package main

import (
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/httpserve"
)

// brokerConfig is the file of `millrace broker`: RocketMQ's keys and two of ours.
type brokerConfig struct {
	HTTP          string `yaml:"http"` // metrics and health; empty: none
	broker.Config `yaml:",inline"`
}

func newBroker() *cobra.Command {
	c := &cobra.Command{
		Use: "broker", Short: "Run a broker", Args: noArgs,
		Long: `Runs a broker. The keys of its configuration are RocketMQ's own, in YAML or, in a file whose
name ends with .conf or .properties, as RocketMQ writes them; there, keys that mean
nothing here are warned of and ignored, and those whose loss would change what the file
means refuse the start.`,
		Example: "  millrace broker -c configs/broker.yaml\n  millrace broker -c /etc/rocketmq/broker.conf --namesrv 127.0.0.1:9876",
	}
	c.Flags().StringP("config", "c", "", "YAML or properties file (configs/broker.yaml shows every key)")
	c.Flags().String("listen", "", "address to listen on (default 127.0.0.1:10911)")
	c.Flags().String("namesrv", "", "name servers, host:port;host:port (default $NAMESRV_ADDR, else 127.0.0.1:9876)")
	c.Flags().String("data", "", "directory of the store (default /var/lib/millrace/store, or below the XDG data directory)")
	c.Flags().String("http", "", "address of metrics and health (default: none)")
	c.Flags().Bool("insecure", false, "allow an address that is not loopback")
	pprofFlag(c)
	c.RunE = runBroker
	return c
}

func runBroker(c *cobra.Command, _ []string) error {
	log, err := logger(c)
	if err != nil {
		return err
	}
	cfg := brokerConfig{Config: broker.DefaultConfig()}
	overrides := given(c, map[string]string{"namesrv": "namesrvAddr", "data": "storePathRootDir", "http": "http", "insecure": "insecure"})
	if err := listenOverrides(c, "listen", "", overrides); err != nil {
		return err
	}
	if addr, ok := lookupEnv("NAMESRV_ADDR"); ok && addr != "" && overrides["namesrvAddr"] == "" {
		overrides["namesrvAddr"] = addr
	}
	doc, warnings, err := brokerDocument(c)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	if err := config.Load(doc, config.Layers{Prefix: "MILLRACE_BROKER", Environ: os.Environ(), Overrides: overrides}, &cfg); err != nil {
		return err
	}
	if cfg.StorePathRootDir == "" {
		cfg.StorePathRootDir = dataDir() + "/store"
	}
	if err := cfg.Validate(); err != nil {
		return usageError{err}
	}
	var l net.Listener
	if cfg.HTTP != "" {
		if l, err = listenOwnHTTP(cfg.Insecure, cfg.HTTP); err != nil {
			return err
		}
		defer l.Close()
	}
	reg := newMetrics()
	b, err := broker.New(cfg.Config, broker.Deps{Registerer: reg, Log: log})
	if err != nil {
		return environmentError{err}
	}
	g, ctx := errgroup.WithContext(c.Context())
	g.Go(func() error { return b.Run(ctx) })
	g.Go(func() error { return servePprof(ctx, c, log) })
	if cfg.HTTP != "" {
		g.Go(func() error {
			return serveHTTP(ctx, l, reg, map[string]httpserve.Check{"store": b.Err}, nil, log)
		})
	}
	return ended(c.Context(), g.Wait())
}

// brokerDocument reads YAML, or RocketMQ's properties.
func brokerDocument(c *cobra.Command) (*config.Document, []string, error) {
	path, _ := c.Flags().GetString("config")
	switch {
	case path == "":
		return nil, nil, nil
	case strings.HasSuffix(path, ".conf"), strings.HasSuffix(path, ".properties"):
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, usageError{fmt.Errorf("read configuration: %w", err)}
		}
		return config.ParseProperties(path, data, reflect.TypeFor[brokerConfig](), broker.RefuseForeign)
	default:
		doc, err := config.ReadFile(path, lookupEnv)
		return doc, nil, asUnread(err)
	}
}
