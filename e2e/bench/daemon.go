package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// pipelineHead is what the files of this program's pipelines begin with: address and tables
// are to be filled in.
const pipelineHead = `version: 1
name: bench
source:
  type: mysql
  address: %s
  user: millrace
  password: millrace-bench
  tables: ["%s"]
queues: 4
`

// pipelineFile is the pipeline into a lake; it is shown in the report.
const pipelineFile = pipelineHead + `sinks:
  - name: lake
    type: parquet
    path: %s
    flush: {rows: 200000, bytes: 64MiB, interval: 500ms}
    current: {interval: 2s}
`

// daemon is a `millrace standalone` with the bench's pipeline, or with none.
type daemon struct {
	process *testenv.Process
	client  *httpapi.Client
	lake    string
	file    string // of the pipeline
	env     []string
	beside  func() int // the process of a store that the lake lies in; nil where there is none
	drop    func()
}

// besideSeconds is the CPU time of the store.
func (d *daemon) besideSeconds() float64 {
	if d.beside == nil {
		return 0
	}
	return processSeconds(d.beside())
}

func (b *bench) startDaemon(ctx context.Context, s *source) (*daemon, error) {
	return b.startDaemonFor(ctx, s, "shop.*")
}

// startDaemonFor captures the tables of a pattern; without a source it has no pipeline.
func (b *bench) startDaemonFor(ctx context.Context, s *source, tables string) (*daemon, error) {
	return b.startDaemonIn(ctx, func(lake string) string {
		if s == nil {
			return ""
		}
		return fmt.Sprintf(pipelineFile, s.server.Addr, tables, lake)
	})
}

// startDaemonWith runs the pipeline of a file that needs no lake.
func (b *bench) startDaemonWith(ctx context.Context, text string) (*daemon, error) {
	return b.startDaemonIn(ctx, func(string) string { return text })
}

// startDaemonIn runs the pipeline whose file is made for the place of its lake; none where
// the file is empty.
func (b *bench) startDaemonIn(ctx context.Context, file func(lake string) string, env ...string) (*daemon, error) {
	dir, drop, err := b.scratch("standalone")
	if err != nil {
		return nil, err
	}
	pipelines := filepath.Join(dir, "pipelines")
	if err := os.MkdirAll(pipelines, 0o755); err != nil {
		return nil, err
	}
	d := &daemon{lake: filepath.Join(dir, "lake"), env: env, drop: drop}
	text := file(d.lake)
	if text != "" {
		d.file = filepath.Join(pipelines, "bench.yaml")
		if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	var addrs [3]string
	for i := range addrs {
		port, err := testenv.FreePort()
		if err != nil {
			return nil, err
		}
		addrs[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	args := []string{"standalone", "--data", filepath.Join(dir, "data"), "--pipelines", pipelines, "--http", addrs[0],
		"--namesrv-listen", addrs[1], "--broker-listen", addrs[2]}
	if b.pprof != "" {
		args = append(args, "--pprof", b.pprof)
	}
	if d.process, err = testenv.StartProcess(dir, "standalone", env, b.binary, args...); err != nil {
		return nil, err
	}
	d.client = httpapi.NewClient(addrs[0])
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err = d.process.WaitReady(limited, func(ctx context.Context) error {
		all, err := d.client.Pipelines(ctx)
		if err == nil && text != "" && len(all) == 0 {
			err = errors.New("the pipeline is not there yet")
		}
		return err
	})
	if err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *daemon) stop() {
	_ = d.process.Stop(startLimit) // it was killed then
	d.drop()
}

// until polls the status until done; it fails when the process ends.
func (d *daemon) until(ctx context.Context, what string, done func(pipeline.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var last pipeline.Status
	for {
		s, err := d.client.Pipeline(ctx, "bench")
		if err == nil {
			if last = s; done(s) {
				return nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-d.process.Done():
			return fmt.Errorf("%s: millrace ended by itself:\n%s", what, d.process.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; it is %s %s %s\n%s", what, ctx.Err(), last.State, last.Reason, last.LastErr, d.process.Log())
		}
	}
}

// streaming waits until the snapshots of n tables are done and the stream runs.
func (d *daemon) streaming(ctx context.Context, n int) error {
	return d.until(ctx, "wait for the stream", func(s pipeline.Status) bool {
		for _, t := range s.Tables {
			if t.Snapshot < 100 {
				return false
			}
		}
		return s.State == pipeline.StateRunning && s.Source.Connected && len(s.Tables) >= n
	})
}

// do pauses or resumes the pipeline and waits until it is so.
func (d *daemon) do(ctx context.Context, verb string, state pipeline.State) error {
	if _, err := d.client.Do(ctx, "bench", "", verb); err != nil {
		return fmt.Errorf("%s the pipeline: %w", verb, err)
	}
	if state == "" {
		return nil
	}
	return d.until(ctx, "wait for "+string(state), func(s pipeline.Status) bool { return s.State == state })
}
