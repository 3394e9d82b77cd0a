package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/httpserve"
)

// loadConfig fills target from --config, the environment under prefix and overrides.
func loadConfig(c *cobra.Command, prefix string, overrides map[string]string, target any) error {
	path, _ := c.Flags().GetString("config")
	var doc *config.Document
	if path != "" {
		var err error
		if doc, err = config.ReadFile(path, lookupEnv); err != nil {
			return asUnread(err)
		}
	}
	return config.Load(doc, config.Layers{Prefix: prefix, Environ: os.Environ(), Overrides: overrides}, target)
}

// asUnread makes a configuration file that is not there, or is none, a mistake of the command
// line.
func asUnread(err error) error {
	var unread *fs.PathError
	if errors.As(err, &unread) {
		return usageError{err}
	}
	return err
}

// given collects the flags that were set, by the path of the key that they override.
func given(c *cobra.Command, paths map[string]string) map[string]string {
	overrides := map[string]string{}
	for flag, path := range paths {
		if f := c.Flags().Lookup(flag); f != nil && f.Changed {
			overrides[path] = f.Value.String()
		}
	}
	return overrides
}

// listenOverrides splits a --…-listen flag into the two keys that it stands for.
func listenOverrides(c *cobra.Command, flag, prefix string, overrides map[string]string) error {
	f := c.Flags().Lookup(flag)
	if f == nil || !f.Changed {
		return nil
	}
	host, port, err := net.SplitHostPort(f.Value.String())
	if err != nil {
		return usageError{fmt.Errorf("--%s %q is not host:port", flag, f.Value)}
	}
	if !isPort(port) {
		return usageError{fmt.Errorf("--%s %s: %q is no port; ports are 0 to 65535", flag, f.Value, port)}
	}
	overrides[prefix+"bindAddress"], overrides[prefix+"listenPort"] = host, port
	return nil
}

// dataDir is the default place of data: /var/lib/millrace when it can be written, else
// the XDG data directory.
func dataDir() string {
	const system = "/var/lib/millrace"
	if writable(system) {
		return system
	}
	if xdg := os.Getenv("XDG_DATA_HOME"); xdg != "" {
		return filepath.Join(xdg, "millrace")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "millrace-data"
	}
	return filepath.Join(home, ".local", "share", "millrace")
}

// writable reports whether files can be made in a directory, which need not be there. Nothing
// is there behind it that was not before: whoever asks may yet be refused for another reason.
func writable(dir string) bool {
	_, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		defer func() { _ = os.Remove(dir) }()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false
	}
	probe, err := os.CreateTemp(dir, ".probe")
	if err != nil {
		return false
	}
	_ = probe.Close()
	return os.Remove(probe.Name()) == nil
}

// newMetrics is a registry with the process's own figures.
func newMetrics() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// listenHTTP takes the address of REST, metrics and health.
func listenHTTP(addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, usageError{fmt.Errorf("http: %q is not host:port", addr)}
	}
	if _, port, _ := net.SplitHostPort(addr); !isPort(port) {
		return nil, usageError{fmt.Errorf("http: %s: %q is no port; ports are 0 to 65535", addr, port)}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, environmentError{fmt.Errorf("http can't listen on %s: %w; --http chooses another address", addr, err)}
	}
	return l, nil
}

// listenOwnHTTP takes the address of a server's metrics and health, where others may not
// reach it unless that is allowed.
func listenOwnHTTP(insecure bool, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err == nil {
		if err := checkExposure(insecure, addr); err != nil {
			return nil, err
		}
	}
	return listenHTTP(addr)
}

// serveHTTP serves metrics, health and what add puts on the mux.
func serveHTTP(ctx context.Context, l net.Listener, reg *prometheus.Registry, ready map[string]httpserve.Check, add func(*http.ServeMux),
	log *slog.Logger) error {
	mux := http.NewServeMux()
	httpserve.Ground(mux, reg, ready)
	if add != nil {
		add(mux)
	}
	return httpserve.Serve(ctx, l, mux, log)
}

// checkExposure refuses an address that is not loopback without --insecure, since nobody
// is authenticated yet.
func checkExposure(insecure bool, addrs ...string) error {
	for _, addr := range addrs {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			host, port = addr, "0"
		}
		if !isPort(port) {
			return usageError{fmt.Errorf("%s: %q is no port; ports are 0 to 65535", addr, port)}
		}
		if ip := net.ParseIP(host); insecure || host == "localhost" || ip != nil && ip.IsLoopback() {
			continue
		}
		if host == "" {
			addr = fmt.Sprintf("every address of this machine (%q)", addr)
		}
		return usageError{fmt.Errorf("%s is not a loopback address and nobody is authenticated there: say --insecure if its "+
			"network is trusted", addr)}
	}
	return nil
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// worker is a random id of this process.
func worker() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
