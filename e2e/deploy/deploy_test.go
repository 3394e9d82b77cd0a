package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "millrace")
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, "github.com/millrace/millrace/cmd/millrace")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

func freePort(t *testing.T) string {
	t.Helper()
	port, err := testenv.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// waitHealthy polls /healthz until it answers.
func waitHealthy(ctx context.Context, addr string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			err = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not healthy: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// runs starts the command, waits until it is healthy, sends SIGTERM and wants status 0.
func runs(t *testing.T, cmd *exec.Cmd, http string) {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	healthy := waitHealthy(ctx, http)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(healthy, cmd.Wait()); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out.String())
	}
}

var execStart = regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/millrace (\w+) --config /etc/millrace/(\w+)\.yaml$`)

func TestUnitsRunAndStop(t *testing.T) {
	binary := build(t)
	units, err := filepath.Glob("../../deploy/systemd/*.service")
	if err != nil || len(units) != 4 {
		t.Fatalf("units %v, %v", units, err)
	}
	for _, unit := range units {
		t.Run(filepath.Base(unit), func(t *testing.T) {
			text, err := os.ReadFile(unit)
			if err != nil {
				t.Fatal(err)
			}
			command := execStart.FindStringSubmatch(string(text))
			if command == nil {
				t.Fatalf("no ExecStart in\n%s", text)
			}
			config, err := filepath.Abs("../../configs/" + command[2] + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			http := freePort(t)
			cmd := exec.Command(binary, append([]string{command[1], "--config", config}, private(t, command[1], http)...)...)
			cmd.Dir = t.TempDir() // the examples' paths are relative
			runs(t, cmd, http)
		})
	}
}

// private are the flags that keep a command off the machine's usual ports.
func private(t *testing.T, command, http string) []string {
	flags := map[string][]string{
		"namesrv":    {"--listen", freePort(t)},
		"broker":     {"--listen", freePort(t), "--namesrv", freePort(t), "--data", t.TempDir()},
		"connect":    {"--namesrv", freePort(t), "--pipelines", t.TempDir()},
		"standalone": {"--namesrv-listen", freePort(t), "--broker-listen", freePort(t), "--data", t.TempDir(), "--pipelines", t.TempDir()},
	}
	return append(flags[command], "--http", http)
}

func TestTheBinaryNeedsNothingBesideItself(t *testing.T) {
	if os.Getuid() != 0 {
		testenv.Missing(t, "root", errors.New("chroot needs root"))
	}
	root := t.TempDir()
	binary, err := os.ReadFile(build(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "millrace"), binary, 0o755); err != nil {
		t.Fatal(err)
	}
	http := freePort(t)
	cmd := exec.Command("/millrace", "standalone", "--data", "/data", "--http", http, "--namesrv-listen", freePort(t),
		"--broker-listen", freePort(t))
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	runs(t, cmd, http)
}

func TestTheImageIsMadeFromNothing(t *testing.T) {
	text, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^FROM scratch$`).Match(text) {
		t.Errorf("not from scratch:\n%s", text)
	}
}
