package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
)

// millrace is the path of the binary, built once for all tests of the package.
var millrace = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("MILLRACE_BINARY"); given != "" {
		return given, nil
	}
	dir, err := os.MkdirTemp("", "millrace-faults-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "millrace")
	out, err := exec.Command("go", "build", "-o", path, "github.com/millrace/millrace/cmd/millrace").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("MILLRACE_BINARY") == "" {
		if path, err := millrace(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// seedOf is MILLRACE_SEED, or a new seed that is printed.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("MILLRACE_SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("MILLRACE_SEED=%d", seed)
	return seed
}

// faultTime is how long a random run goes on.
func faultTime(t *testing.T) time.Duration {
	t.Helper()
	if given := os.Getenv("MILLRACE_FAULT_TIME"); given != "" {
		d, err := time.ParseDuration(given)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 25 * time.Second
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := testenv.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// program is a command of the binary that can be started again with the same arguments.
type program struct {
	t      *testing.T
	dir    string
	name   string
	env    []string
	args   []string
	proc   *testenv.Process
	starts int
}

// start runs the command; the test's end kills it.
func (p *program) start() {
	p.t.Helper()
	path, err := millrace()
	if err != nil {
		p.t.Fatal(err)
	}
	p.starts++
	proc, err := testenv.StartProcess(p.dir, fmt.Sprintf("%s-%d", p.name, p.starts), p.env, path, p.args...)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.proc == nil {
		p.t.Cleanup(func() { p.proc.Kill() })
	}
	p.proc = proc
}

// kill is SIGKILL.
func (p *program) kill() { p.proc.Kill() }

// terminate asks the process to end and fails the test if it does not within the half
// minute that a supervisor gives it.
func (p *program) terminate() {
	p.t.Helper()
	if err := p.proc.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.proc.Done():
	case <-time.After(2 * time.Minute):
		p.t.Fatalf("%s did not end within 30 s of SIGTERM:\n%s", p.name, p.proc.Log())
	}
	if err := p.proc.Err(); err != nil {
		p.t.Fatalf("%s ended with %v after SIGTERM:\n%s", p.name, err, p.proc.Log())
	}
}

// alive fails the test if the process ended by itself.
func (p *program) alive() {
	p.t.Helper()
	select {
	case <-p.proc.Done():
		p.t.Fatalf("%s ended by itself: %v\n%s", p.name, p.proc.Err(), p.proc.Log())
	default:
	}
}
