package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/pprof"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/httpserve"
)

// pprofFlag adds --pprof to a server's command.
func pprofFlag(c *cobra.Command) {
	c.Flags().String("pprof", "", "loopback address that serves Go profiles at /debug/pprof (default: none)")
}

// servePprof serves profiles, or nothing without --pprof, until ctx ends. Whoever reads
// profiles reads what is in memory, so that no flag opens them to a network.
func servePprof(ctx context.Context, c *cobra.Command, log *slog.Logger) error {
	addr, _ := c.Flags().GetString("pprof")
	if addr == "" {
		<-ctx.Done()
		return nil
	}
	if err := checkExposure(false, addr); err != nil {
		return err
	}
	l, err := listenHTTP(addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	return httpserve.Serve(ctx, l, mux, log)
}
