package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/namesrv"
)

// namesrvConfig is the file of `millrace namesrv`.
type namesrvConfig struct {
	HTTP           string `yaml:"http"` // metrics and health; empty: none
	namesrv.Config `yaml:",inline"`
}

func newNamesrv() *cobra.Command {
	c := &cobra.Command{
		Use: "namesrv", Short: "Run a name server", Args: noArgs,
		Long: `Runs a name server: brokers register here, clients find them here. Name servers are stateless
and know nothing of each other; run two or three and give all of them to everybody.`,
		Example: "  millrace namesrv --config configs/namesrv.yaml\n  MILLRACE_NAMESRV__LISTENPORT=9877 millrace namesrv",
	}
	c.Flags().StringP("config", "c", "", "YAML file (configs/namesrv.yaml shows every key)")
	c.Flags().String("listen", "", "address to listen on (default 127.0.0.1:9876)")
	c.Flags().String("http", "", "address of metrics and health (default: none)")
	c.Flags().Bool("insecure", false, "allow an address that is not loopback")
	c.RunE = func(c *cobra.Command, _ []string) error {
		log, err := logger(c)
		if err != nil {
			return err
		}
		cfg := namesrvConfig{Config: namesrv.DefaultConfig()}
		overrides := given(c, map[string]string{"http": "http", "insecure": "insecure"})
		if err := listenOverrides(c, "listen", "", overrides); err != nil {
			return err
		}
		if err := loadConfig(c, "MILLRACE_NAMESRV", overrides, &cfg); err != nil {
			return err
		}
		if err := checkExposure(cfg.Insecure, cfg.BindAddress); err != nil {
			return err
		}
		var l net.Listener
		if cfg.HTTP != "" {
			if l, err = listenOwnHTTP(cfg.Insecure, cfg.HTTP); err != nil {
				return err
			}
			defer l.Close()
		}
		server, err := namesrv.New(cfg.Config, namesrv.Deps{}, log)
		if err != nil {
			return environmentError{err}
		}
		g, ctx := errgroup.WithContext(c.Context())
		g.Go(func() error { return server.Run(ctx) })
		if cfg.HTTP != "" {
			g.Go(func() error {
				return serveHTTP(ctx, l, newMetrics(), map[string]httpserve.Check{}, func(*http.ServeMux) {}, log)
			})
		}
		return ended(c.Context(), g.Wait())
	}
	return c
}

// ended drops the error of an end that was asked for.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
