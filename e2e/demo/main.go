package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

const password = "millrace-demo"

type options struct {
	binary, config string
	rows           int
	keep, alter    bool
	s3             bool
	clickhouse     bool
	steady         time.Duration
	seed           uint64
	// inspect sees the scene after the comparison, before anything is stopped.
	inspect func(context.Context, *scene) error
}

func main() {
	var o options
	flag.StringVar(&o.binary, "millrace", "bin/millrace", "the binary to run")
	flag.StringVar(&o.config, "pipelines", "", "directory of the pipeline file; empty is configs/demo, configs/demo-s3 or "+
		"configs/demo-clickhouse")
	flag.BoolVar(&o.s3, "s3", false, "keep the lake in a bucket of an object store, which is killed as well")
	flag.BoolVar(&o.clickhouse, "clickhouse", false, "keep the tables in a ClickHouse as well, which is killed too")
	flag.IntVar(&o.rows, "rows", million, "rows of the database before the snapshot")
	flag.BoolVar(&o.keep, "keep", false, "leave everything running at the end and say how to look around")
	flag.BoolVar(&o.alter, "alter", false, "alter one row of the target before the comparison, which must then fail")
	flag.DurationVar(&o.steady, "steady", 20*time.Second, "how long freshness is measured")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of the workload")
	flag.Parse()
	if o.config == "" {
		o.config = "configs/demo"
		switch {
		case o.s3 && o.clickhouse:
			fmt.Fprintln(os.Stderr, "demo: --s3 and --clickhouse are two scenes: run one after the other")
			os.Exit(2)
		case o.s3:
			o.config = "configs/demo-s3"
		case o.clickhouse:
			o.config = "configs/demo-clickhouse"
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	right, err := demo(ctx, o)
	switch {
	case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
		fmt.Fprintln(os.Stderr, "demo: interrupted; what it started is stopped, what it wrote is removed")
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
	case !right:
		fmt.Fprintln(os.Stderr, "demo: source and target differ")
	default:
		return
	}
	if !o.keep && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "demo: its directory is removed; run it again with ARGS=\"--keep --seed %d\" to look at it\n", o.seed)
	}
	os.Exit(1)
}

// demo runs the whole of it. When it returns everything is stopped and its directory is
// removed; with keep both wait for the end of ctx, and the directory stays when something
// went wrong.
func demo(ctx context.Context, o options) (right bool, err error) {
	dir, err := os.MkdirTemp("", "millrace-demo-")
	if err != nil {
		return false, err
	}
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return false, err
	}
	pipelines, err := filepath.Abs(o.config)
	if err != nil {
		return false, err
	}
	p := newProgress()
	p.say("working in %s, seed %d", dir, o.seed)
	server, err := startServer(ctx, dir, p.say)
	if err != nil {
		return false, errors.Join(err, os.RemoveAll(dir))
	}
	s := scene{options: o, server: server, progress: p, dir: dir, lake: lake{dir: filepath.Join(dir, "lake", "orders")},
		file: filepath.Join(pipelines, "orders.yaml")}
	env := []string{"DEMO_MYSQL=" + server.Addr, "DEMO_PASSWORD=" + password, "DEMO_LAKE=" + filepath.Join(dir, "lake"),
		"TMPDIR=" + dir} // with the directory goes what a killed process left there
	if o.s3 {
		p.say("looking for an object store (the first time it is built into the cache)")
		if s.store, err = startStore(ctx, dir); err != nil {
			return false, errors.Join(err, server.Stop(), os.RemoveAll(dir))
		}
		p.say("versitygw answers on %s", s.store.Endpoint)
		env, s.lake.dir = append(env, s.store.env()...), s.store.lake()
	}
	if o.clickhouse {
		p.say("looking for a ClickHouse (the first time its engine is fetched into the cache)")
		if s.olap, err = startOLAP(ctx, dir); err != nil {
			return false, errors.Join(err, s.stopServers(), os.RemoveAll(dir))
		}
		p.say("ClickHouse %s answers on %s", s.olap.Version, s.olap.Addr)
		env = append(env, "DEMO_CLICKHOUSE="+s.olap.Addr)
	}
	if s.millrace, err = newMillrace(binary, dir, pipelines, env); err != nil {
		return false, errors.Join(err, s.stopServers(), os.RemoveAll(dir))
	}
	defer func() {
		if o.keep && err == nil {
			s.lookAround()
			<-ctx.Done()
		}
		err = errors.Join(err, s.tearDown())
		if o.keep && (err != nil || !right) {
			p.say("%s stays, to be looked at; remove it by hand", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	return s.play(ctx)
}

// startServer starts a private MariaDB, or MySQL where none is to be had.
func startServer(ctx context.Context, dir string, say func(string, ...any)) (*testenv.Server, error) {
	options := testenv.ServerOptions{Args: []string{
		"--max-connections=200", "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0", "--innodb-buffer-pool-size=512M",
		"--max-binlog-size=256M", "--innodb-log-file-size=512M",
	}}
	say("looking for a MariaDB or MySQL server (the first time one may be unpacked into the cache)")
	server, err := testenv.StartMariaDB(ctx, dir, options)
	if err != nil {
		say("no MariaDB: %v; trying MySQL", err)
		options.Args = options.Args[:5]
		var second error
		if server, second = testenv.StartMySQL(ctx, dir, options); second != nil {
			return nil, errors.Join(err, second)
		}
	}
	say("%s %s answers on %s", server.Kind, server.Version, server.Addr)
	return server, nil
}
