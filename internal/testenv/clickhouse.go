package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace/internal/testenv/chserver"
)

// realClickHouse names the variable with the DSN of a real server, on which the tests run
// that need no more than ClickHouse.
const realClickHouse = "MILLRACE_TEST_CLICKHOUSE"

// ClickHouseDatabase is a database of a test's own on a ClickHouse.
type ClickHouseDatabase struct {
	Name string
	DSN  string // for clickhouse-go; it names the database
}

// Options are the DSN's.
func (d ClickHouseDatabase) Options() (*clickhouse.Options, error) { return clickhouse.ParseDSN(d.DSN) }

// Open opens a pool of connections, which the caller closes.
func (d ClickHouseDatabase) Open() (driver.Conn, error) {
	o, err := d.Options()
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(o)
}

// ClickHouse gives a test a database on the server that MILLRACE_TEST_CLICKHOUSE names, or
// on one started for it. What the latter cannot prove is in package chserver's doc.go.
func ClickHouse(t testing.TB) ClickHouseDatabase {
	t.Helper()
	if dsn := os.Getenv(realClickHouse); dsn != "" {
		return clickHouseDatabase(t, dsn)
	}
	return ClickHouseWithFaults(t, chserver.Options{}).ClickHouseDatabase
}

// ClickHouseWithFaults starts a server for a test that needs it to fail, or to be set up in a
// way. Where MILLRACE_TEST_CLICKHOUSE names a real server the test is skipped, and listed.
func ClickHouseWithFaults(t testing.TB, options chserver.Options) *ClickHouseServer {
	t.Helper()
	if os.Getenv(realClickHouse) != "" {
		record(fmt.Sprintf("skipped: %s needs a ClickHouse that fails when it is told to, and %s names a real one", t.Name(), realClickHouse))
		t.Skipf("%s names a real server", realClickHouse)
	}
	if MaySkip("clickhouse") {
		Missing(t, "clickhouse", errors.New("left out by MILLRACE_SKIP"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	s, err := StartClickHouse(ctx, scratch(t), options)
	if errors.Is(err, errUnavailable) {
		Missing(t, "clickhouse", err)
	}
	if err != nil {
		t.Fatalf("start ClickHouse: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ClickHouse said: …%s", s.Log()[max(0, len(s.Log())-600):])
		}
		s.Kill()
	})
	return s
}

// clickHouseDatabase makes a database on a real server and drops it with the test.
func clickHouseDatabase(t testing.TB, dsn string) ClickHouseDatabase {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	options, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatalf("%s: %v", realClickHouse, err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatalf("%s: %v", realClickHouse, err)
	}
	d := ClickHouseDatabase{Name: fmt.Sprintf("millrace_test_%x", sha256.Sum256([]byte(t.Name()+time.Now().String())))[:30]}
	if err := conn.Exec(ctx, "CREATE DATABASE "+d.Name); err != nil {
		t.Fatalf("%s: %v", realClickHouse, err)
	}
	t.Cleanup(func() {
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		if err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+d.Name+" SYNC"); err != nil {
			t.Errorf("%s: %v", realClickHouse, err)
		}
	})
	d.DSN = withDatabase(dsn, d.Name)
	return d
}

// withDatabase puts a database into a DSN: scheme://user@host/database?settings.
func withDatabase(dsn, database string) string {
	head, settings, found := strings.Cut(dsn, "?")
	scheme, rest, _ := strings.Cut(head, "://")
	host, _, _ := strings.Cut(rest, "/")
	if found {
		settings = "?" + settings
	}
	return scheme + "://" + host + "/" + database + settings
}

// ClickHouseServer is a running ClickHouse test server.
type ClickHouseServer struct {
	ClickHouseDatabase // its own, of the user default or the first of the options' users
	Addr               string
	Version            string // what it says it is
	Dir                string

	library, program string
	options          chserver.Options
	proc             *Process
	control          *chserver.Control
}

// StartClickHouse starts a server with its files in dir. The caller stops it; a server whose
// starter has died ends by itself.
func StartClickHouse(ctx context.Context, dir string, options chserver.Options) (*ClickHouseServer, error) {
	library, err := findLibchdb(ctx)
	if err != nil {
		return nil, unavailable("clickhouse", err)
	}
	program, err := buildClickHouse(ctx)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &ClickHouseServer{Dir: dir, library: library, program: program, options: options}
	for try := 0; ; try++ {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		s.Addr = fmt.Sprintf("127.0.0.1:%d", port)
		// Somebody else may have taken the port before the server did.
		if err = s.Start(ctx); err == nil {
			break
		}
		if try == 4 || !strings.Contains(err.Error(), "address already in use") {
			return nil, err
		}
	}
	return s, nil
}

// buildClickHouse compiles the server's program into the cache, one for each source tree.
// Go looks whether it is there already.
func buildClickHouse(ctx context.Context) (string, error) {
	mod, err := output(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, fmt.Sprintf("clickhouse-test-server-%x", sha256.Sum256(mod))[:len("clickhouse-test-server-")+12])
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/millrace/millrace/internal/testenv/chserver/cmd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the ClickHouse test server: %w: %s", err, tail(out, 2000))
	}
	return path, nil
}

// Start starts the server again on its data and port, after Stop or Kill.
func (s *ClickHouseServer) Start(ctx context.Context) error {
	options, err := json.Marshal(s.options)
	if err != nil {
		return err
	}
	addresses := filepath.Join(s.Dir, chserver.AddressesFile)
	if err := os.Remove(addresses); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.proc, err = StartProcess(s.Dir, "clickhouse", nil, s.program,
		"-library", s.library, "-dir", s.Dir, "-listen", s.Addr, "-options", string(options), "-parent", strconv.Itoa(os.Getpid()))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := s.proc.WaitReady(ctx, func(context.Context) error { return s.announced(addresses) }); err != nil {
		s.proc.Kill()
		return err
	}
	return s.makeDatabase(ctx)
}

// StartWith is Start with other options.
func (s *ClickHouseServer) StartWith(ctx context.Context, options chserver.Options) error {
	s.options = options
	return s.Start(ctx)
}

// announced reads what a server that listens has written.
func (s *ClickHouseServer) announced(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var a chserver.Addresses
	if err := json.Unmarshal(b, &a); err != nil {
		return err
	}
	s.Version, s.control = a.Version, chserver.NewControl(a.Control)
	return nil
}

// makeDatabase makes the server's own database, through the control address: no user may be
// allowed to.
func (s *ClickHouseServer) makeDatabase(ctx context.Context) error {
	s.Name = "millrace_test"
	user := "default"
	if len(s.options.Users) > 0 {
		user = s.options.Users[0].Name + ":" + s.options.Users[0].Password
	}
	s.DSN = fmt.Sprintf("clickhouse://%s@%s/%s", user, s.Addr, s.Name)
	return s.control.Run(ctx, "CREATE DATABASE IF NOT EXISTS "+s.Name)
}

// Admin runs a statement with every privilege, whatever the options' users may do, and
// returns what it answers as tab-separated lines.
func (s *ClickHouseServer) Admin(ctx context.Context, sql string) (string, error) {
	return s.control.Query(ctx, sql)
}

// Log is the end of what the server wrote.
func (s *ClickHouseServer) Log() string { return s.proc.Log() }

// Pid is the process id.
func (s *ClickHouseServer) Pid() int { return s.proc.Pid() }

// Done is closed when the process has ended, as it does at a fault that crashes it.
func (s *ClickHouseServer) Done() <-chan struct{} { return s.proc.Done() }

// Kill ends the server as kill -9 does.
func (s *ClickHouseServer) Kill() { s.proc.Kill() }

// Stop shuts the server down in order.
func (s *ClickHouseServer) Stop() error { return s.proc.Stop(3 * time.Minute) }

// Pause stops the process where it stands; its sockets stay open and silent.
func (s *ClickHouseServer) Pause(ctx context.Context) error {
	if err := s.proc.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return s.proc.WaitReady(ctx, func(context.Context) error {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Pid()))
		if err != nil {
			return err
		}
		if _, rest, _ := strings.Cut(string(state), ") "); !strings.HasPrefix(rest, "T") {
			return fmt.Errorf("the process is in state %.1s", rest)
		}
		return nil
	})
}

// Resume lets a paused process go on.
func (s *ClickHouseServer) Resume() error { return s.proc.Signal(syscall.SIGCONT) }
