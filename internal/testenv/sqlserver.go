package testenv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// ServerOptions say how a private database server is started.
type ServerOptions struct {
	// Args go behind the built-in ones and so override them.
	Args []string
	// ServerID is its server_id; 0 is 1.
	ServerID int
	// Data is a data directory to start on a copy of; "" is a fresh one.
	Data string
	// Port is the TCP port; 0 takes a free one.
	Port int
}

// Server is a private MariaDB or MySQL server with row-based binary logs. Its
// administrator is root without password, over TCP on the loopback address.
type Server struct {
	Kind    string // mariadb | mysql
	Version string // what the server answered
	Dir     string
	Data    string // data directory; copy it while the server is stopped
	Addr    string
	Port    int

	program program
	opts    ServerOptions
	proc    *Process
}

// program is an unpacked or installed server.
type program struct {
	kind string
	path string
	pre  []string // arguments in front of all others (the loader's)
	base string   // basedir
	env  []string
}

// DSN is for go-sql-driver.
func (s *Server) DSN(db string) string {
	return "root:@tcp(" + s.Addr + ")/" + db + "?multiStatements=true&timeout=10s"
}

// Open opens a pool of connections to the server.
func (s *Server) Open(db string) (*sql.DB, error) { return sql.Open("mysql", s.DSN(db)) }

// Client is a shell command that connects a client to the server as its administrator:
// the one that was unpacked beside the server, else the machine's.
func (s *Server) Client() string {
	name := "mysql"
	if s.Kind == "mariadb" {
		name = "mariadb"
	}
	path, env := name, ""
	if own := filepath.Join(s.program.base, "bin", name); s.program.kind == "mariadb" && exists(own) {
		path, env = own, strings.Join(s.program.env, " ")+" "
	}
	return fmt.Sprintf("%s%s --no-defaults --protocol=tcp -h 127.0.0.1 -P %d -u root", env, path, s.Port)
}

// Log is the end of the server's own log.
func (s *Server) Log() string { return s.proc.Log() }

// Pid is the process id.
func (s *Server) Pid() int { return s.proc.Pid() }

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.proc.Kill() }

// Stop shuts the server down in order.
func (s *Server) Stop() error { return s.proc.Stop(3 * time.Minute) }

// Start starts the server again on its data and port after Stop or Kill. Further
// arguments stay in force.
func (s *Server) Start(ctx context.Context, args ...string) error {
	s.opts.Args = append(s.opts.Args, args...)
	return s.start(ctx)
}

// startServer prepares a data directory below dir and starts p on it.
func startServer(ctx context.Context, p program, dir string, opts ServerOptions) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{Kind: p.kind, Dir: dir, Data: filepath.Join(dir, "data"), Port: opts.Port, program: p, opts: opts}
	if s.opts.ServerID == 0 {
		s.opts.ServerID = 1
	}
	if _, err := os.Stat(s.Data); err != nil {
		from := opts.Data
		if from == "" {
			if from, err = p.template(ctx); err != nil {
				return nil, err
			}
		}
		if err := copyTree(ctx, from, s.Data); err != nil {
			return nil, err
		}
	}
	for try := 0; ; try++ {
		if opts.Port == 0 {
			if s.Port, err = FreePort(); err != nil {
				return nil, err
			}
		}
		s.Addr = "127.0.0.1:" + strconv.Itoa(s.Port)
		// Somebody else may have taken the port before the server did.
		if err = s.start(ctx); err == nil || opts.Port != 0 || try == 4 || !strings.Contains(err.Error(), "Address already in use") {
			return s, err
		}
	}
}

func (s *Server) start(ctx context.Context) error {
	init := filepath.Join(s.Dir, "init.sql")
	// On a copied data directory the statements find their work done.
	text := "SET sql_log_bin=0;\nCREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY '';\n" +
		"GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
	if err := os.WriteFile(init, []byte(text), 0o644); err != nil {
		return err
	}
	socket := filepath.Join(s.Dir, "s.sock")
	if len(socket) > 100 { // the limit of a unix socket's path is 108
		socket = filepath.Join(os.TempDir(), "millrace-"+strconv.Itoa(s.Port)+".sock")
	}
	// A server that starts removes what looks left over in its directory of temporary
	// tables, another one's included.
	temporary := filepath.Join(s.Dir, "tmp")
	if err := os.MkdirAll(temporary, 0o755); err != nil {
		return err
	}
	args := append(s.program.args(), "--datadir="+s.Data, "--tmpdir="+temporary, "--socket="+socket, "--port="+strconv.Itoa(s.Port),
		"--bind-address=127.0.0.1", "--init-file="+init, "--pid-file="+filepath.Join(s.Dir, "server.pid"),
		"--server-id="+strconv.Itoa(s.opts.ServerID), "--log-bin=binlog", "--binlog-format=ROW",
		"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--skip-name-resolve")
	args = append(args, s.program.serverArgs()...)
	args = append(args, s.opts.Args...)
	p, err := StartProcess(s.Dir, s.program.kind, s.program.env, s.program.path, args...)
	if err != nil {
		return err
	}
	s.proc = p
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := p.WaitReady(ctx, s.ping); err != nil {
		p.Kill()
		return err
	}
	return nil
}

// ping connects and keeps the version that the server answers with.
func (s *Server) ping(ctx context.Context) error {
	cfg, err := mysql.ParseDSN(s.DSN(""))
	if err != nil {
		return err
	}
	cfg.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	return db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&s.Version)
}

// args are those of every run of the program.
func (p program) args() []string {
	args := append([]string{}, p.pre...)
	args = append(args, "--no-defaults")
	if p.base != "" {
		args = append(args, "--basedir="+p.base)
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	return args
}

// serverArgs are those of a serving run that depend on the kind. What a server of a test does
// without, MySQL's statistics of itself above all, is half of what its start costs.
func (p program) serverArgs() []string {
	if p.kind == "mysql" {
		return []string{"--mysqlx=OFF", "--gtid-mode=ON", "--enforce-gtid-consistency=ON",
			"--innodb-buffer-pool-size=64M", "--innodb-log-buffer-size=4M",
			"--innodb-read-io-threads=1", "--innodb-write-io-threads=1", "--performance-schema=OFF", "--secure-file-priv=NULL",
			"--lc-messages-dir=" + filepath.Join(p.base, "share/mysql")}
	}
	return []string{"--innodb-buffer-pool-size=64M", "--gtid-strict-mode=ON", "--plugin-dir=" + filepath.Join(p.base, "lib/mysql/plugin")}
}

// version is what the program answers to --version, shortened to a name.
func (p program) version(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, p.path, append(append([]string{}, p.pre...), "--no-defaults", "--version")...)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w: %s", p.path, err, tail(out, 400))
	}
	return strings.TrimSpace(string(out)), nil
}

// runServer is the shared part of the test helpers: start, and stop with the test.
func runServer(t testing.TB, kind string, start func(ctx context.Context, dir string) (*Server, error)) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	s, err := start(ctx, scratch(t))
	if errors.Is(err, errUnavailable) {
		Missing(t, kind, err)
	}
	if err != nil {
		t.Fatalf("start %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said: …%s", kind, s.Log()[max(0, len(s.Log())-600):])
		}
		s.Kill()
	})
	return s
}

// errUnavailable says that the program could neither be found nor fetched.
var errUnavailable = errors.New("neither found on this machine nor fetched")

func unavailable(kind string, err error) error {
	return fmt.Errorf("%s: %w: %w", kind, errUnavailable, err)
}
