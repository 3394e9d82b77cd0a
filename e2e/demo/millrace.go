package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// millrace is the process under test; it is started again on the same data and ports.
type millrace struct {
	binary, dir, pipelines string
	http, namesrv, broker  int
	env                    []string
	process                *testenv.Process
	starts                 int
}

func newMillrace(binary, dir, pipelines string, env []string) (*millrace, error) {
	m := &millrace{binary: binary, dir: dir, pipelines: pipelines, env: env}
	for _, port := range []*int{&m.http, &m.namesrv, &m.broker} {
		free, err := testenv.FreePort()
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		*port = free
	}
	return m, nil
}

func (m *millrace) start(context.Context) error {
	m.starts++
	p, err := testenv.StartProcess(m.dir, fmt.Sprintf("millrace-%d", m.starts), m.env, m.binary, "standalone",
		"--data", m.dir+"/data", "--pipelines", m.pipelines, "--http", fmt.Sprintf("127.0.0.1:%d", m.http),
		"--namesrv-listen", fmt.Sprintf("127.0.0.1:%d", m.namesrv), "--broker-listen", fmt.Sprintf("127.0.0.1:%d", m.broker))
	if err != nil {
		return err
	}
	m.process = p
	return nil
}

// kill is SIGKILL.
func (m *millrace) kill() { m.process.Kill() }

func (m *millrace) client() *httpapi.Client {
	return httpapi.NewClient(fmt.Sprintf("127.0.0.1:%d", m.http))
}

// status asks the daemon; an error while it starts is normal.
func (m *millrace) status(ctx context.Context) (pipeline.Status, error) {
	select {
	case <-m.process.Done():
		return pipeline.Status{}, fmt.Errorf("millrace ended by itself:\n%s", m.process.Log())
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return m.client().Pipeline(ctx, "orders")
}

// until polls the status every interval until done says so. show sees every status. A
// busy machine may take any time: it gives up only when nothing has moved for patience.
func (m *millrace) until(ctx context.Context, interval time.Duration, what string, show func(pipeline.Status),
	done func(pipeline.Status) bool) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var last pipeline.Status
	still := newStillness()
	for {
		s, err := m.status(ctx)
		if err == nil {
			last = s
			show(s)
			if done(s) {
				return nil
			}
		}
		if still.seen(progressOf(last)) {
			return fmt.Errorf("%s: nothing has moved for %s; last state %s (%s)\n%s", what, patience, last.State, last.Reason, m.process.Log())
		}
		select {
		case <-m.process.Done():
			return fmt.Errorf("%s: millrace ended by itself:\n%s", what, m.process.Log())
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}
}

// verify runs `millrace pipeline verify` and returns what it printed and whether both
// sides were equal.
func (m *millrace) verify(ctx context.Context, file string) (string, bool, error) {
	cmd := exec.CommandContext(ctx, m.binary, "pipeline", "verify", "--daemon", fmt.Sprintf("127.0.0.1:%d", m.http), file)
	cmd.Env = append(cmd.Environ(), m.env...)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil { // it was killed
		return string(out), false, ctx.Err()
	}
	var status *exec.ExitError
	if errors.As(err, &status) && status.ExitCode() == 1 {
		return string(out), false, nil
	}
	if err != nil {
		return string(out), false, fmt.Errorf("millrace pipeline verify: %w\n%s", err, out)
	}
	return string(out), true, nil
}
