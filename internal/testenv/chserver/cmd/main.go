// Command cmd is the ClickHouse server that tests start: see package chserver.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/internal/testenv/chserver/engine"
	"github.com/millrace/millrace/internal/testenv/chserver/serve"
)

func main() {
	library := flag.String("library", "", "libchdb.so")
	dir := flag.String("dir", "", "directory of the server's data and configuration")
	listen := flag.String("listen", "127.0.0.1:0", "address of the native protocol")
	options := flag.String("options", "{}", "chserver.Options in JSON")
	parent := flag.Int("parent", 0, "process without which this one ends")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if *parent != 0 {
		go endWith(*parent)
	}
	if err := run(ctx, *library, *dir, *listen, *options); err != nil {
		fmt.Fprintln(os.Stderr, "clickhouse test server:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, library, dir, listen, optionsText string) error {
	var options chserver.Options
	if err := json.Unmarshal([]byte(optionsText), &options); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	native, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	config, err := serve.WriteConfig(dir, options)
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	e, err := engine.Open(library, data, config)
	if err != nil {
		return err
	}
	server, err := serve.New(e, data, options, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	// Nothing is joined behind the end of the native side: the process ends with it.
	go func() {
		s := http.Server{Handler: server.Control(), ReadHeaderTimeout: time.Minute}
		if err := s.Serve(control); err != nil {
			slog.Error("control address", "error", err)
		}
	}()
	if err := announce(dir, chserver.Addresses{Native: native.Addr().String(), Control: control.Addr().String(),
		Version: server.Version()}); err != nil {
		return err
	}
	err = server.Serve(ctx, native)
	e.Close()
	return err
}

// announce writes the addresses where the starter looks for them, whole or not at all.
func announce(dir string, a chserver.Addresses) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, chserver.AddressesFile)
	return errors.Join(os.WriteFile(name+".new", b, 0o644), os.Rename(name+".new", name))
}

// endWith ends this process at once when its parent has died, as a test does that panics or
// runs out of time.
func endWith(parent int) {
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			fmt.Fprintln(os.Stderr, "clickhouse test server: who started it has died")
			os.Exit(1)
		}
	}
}
