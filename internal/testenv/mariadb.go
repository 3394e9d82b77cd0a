package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// MariaDB starts a private MariaDB for a test.
func MariaDB(t testing.TB, args ...string) *Server {
	t.Helper()
	return runServer(t, "mariadb", func(ctx context.Context, dir string) (*Server, error) {
		return StartMariaDB(ctx, dir, ServerOptions{Args: args})
	})
}

// StartMariaDB starts a private MariaDB with its data below dir. The caller stops it.
func StartMariaDB(ctx context.Context, dir string, opts ServerOptions) (*Server, error) {
	p, err := findMariaDB(ctx)
	if err != nil {
		return nil, unavailable("mariadb", err)
	}
	return startServer(ctx, p, dir, opts)
}

// findMariaDB finds a server that says it is MariaDB, or unpacks Debian's or Ubuntu's.
func findMariaDB(ctx context.Context) (program, error) {
	for _, name := range []string{os.Getenv("MILLRACE_MARIADBD"), "mariadbd", "/usr/sbin/mariadbd", "mysqld", "/usr/sbin/mysqld"} {
		if p, ok := installed(ctx, "mariadb", name); ok {
			return p, nil
		}
	}
	root, err := Cached(ctx, "mariadb", func(ctx context.Context, dir string) error {
		return aptSource{dir: filepath.Join(dir, "apt")}.unpack(ctx, dir, "mariadb-server-core", "mariadb-client-core")
	})
	if err != nil {
		return program{}, err
	}
	libs := filepath.Join(root, "usr/lib")
	if dirs, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu")); len(dirs) > 0 {
		libs = strings.Join(append(dirs, libs), ":")
	}
	p := program{kind: "mariadb", path: filepath.Join(root, "usr/sbin/mariadbd"), base: filepath.Join(root, "usr"),
		env: []string{"LD_LIBRARY_PATH=" + libs}}
	_, err = p.version(ctx)
	return p, err
}

// MariaDBPlugins is the directory of the server's loadable plugins, for --plugin-dir: that
// of the installed server, or Debian's beside the unpacked one.
func MariaDBPlugins(t testing.TB) string {
	t.Helper()
	dir, err := findMariaDBPlugins(t.Context())
	if err != nil {
		Missing(t, "mariadb", unavailable("mariadb's plugins", err))
	}
	return dir
}

func findMariaDBPlugins(ctx context.Context) (string, error) {
	const plugin = "auth_ed25519.so"
	p, err := findMariaDB(ctx)
	if err != nil {
		return "", err
	}
	if own := filepath.Join(p.base, "lib/mysql/plugin"); exists(filepath.Join(own, plugin)) {
		return own, nil
	}
	root, err := Cached(ctx, "mariadb-plugins", func(ctx context.Context, dir string) error {
		return aptSource{dir: filepath.Join(dir, "apt")}.unpackAlone(ctx, dir, "mariadb-server")
	})
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "usr/lib/mysql/plugin")
	if !exists(filepath.Join(dir, plugin)) {
		return "", fmt.Errorf("the package mariadb-server holds no %s", plugin)
	}
	return dir, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// installed looks at a program of the machine; what it answers decides what it is.
func installed(ctx context.Context, kind, name string) (program, bool) {
	if name == "" {
		return program{}, false
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return program{}, false
	}
	p := program{kind: kind, path: path, base: filepath.Dir(filepath.Dir(path))}
	v, err := p.version(ctx)
	return p, err == nil && strings.Contains(v, "MariaDB") == (kind == "mariadb")
}

// template is an initialised data directory that servers start on copies of.
func (p program) template(ctx context.Context) (string, error) {
	name := p.kind + "-data-sparse"
	if v, err := p.version(ctx); err == nil {
		f := strings.Fields(strings.NewReplacer("/", "_", ",", "").Replace(v))
		for i := range f {
			if f[i] == "Ver" && i+1 < len(f) {
				name += "-" + f[i+1]
			}
		}
	}
	dir, err := Cached(ctx, name, func(ctx context.Context, dir string) error {
		full := filepath.Join(dir, "full")
		if err := p.initialize(ctx, full); err != nil {
			return err
		}
		if err := copyTree(ctx, full, filepath.Join(dir, "data")); err != nil { // most of it is zeros
			return err
		}
		return os.RemoveAll(full)
	})
	return filepath.Join(dir, "data"), err
}

func (p program) initialize(ctx context.Context, data string) error {
	if p.kind == "mysql" {
		if err := p.run(ctx, "", p.path, append(p.args(), "--initialize-insecure", "--datadir="+data,
			"--innodb-redo-log-capacity=8388608", "--lc-messages-dir="+filepath.Join(p.base, "share/mysql"))...); err != nil {
			return err
		}
		// Every server makes its own identity.
		_ = os.Remove(filepath.Join(data, "auto.cnf"))
		return nil
	}
	script := filepath.Join(p.base, "bin/mariadb-install-db")
	if _, err := os.Stat(script); err != nil {
		script = filepath.Join(p.base, "bin/mysql_install_db")
	}
	args := []string{"--no-defaults", "--basedir=" + p.base, "--datadir=" + data, "--auth-root-authentication-method=normal", "--skip-test-db"}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	return p.run(ctx, "", script, args...)
}

func (p program) run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return &exec.Error{Name: name + ": " + tail(out, 1500), Err: err}
	}
	return nil
}
