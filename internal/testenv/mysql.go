package testenv

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// MySQL starts a private MySQL, with GTIDs, for a test.
func MySQL(t testing.TB, args ...string) *Server {
	t.Helper()
	return runServer(t, "mysql", func(ctx context.Context, dir string) (*Server, error) {
		return StartMySQL(ctx, dir, ServerOptions{Args: args})
	})
}

// StartMySQL starts a private MySQL with its data below dir. The caller stops it.
func StartMySQL(ctx context.Context, dir string, opts ServerOptions) (*Server, error) {
	p, err := findMySQL(ctx)
	if err != nil {
		return nil, unavailable("mysql", err)
	}
	return startServer(ctx, p, dir, opts)
}

// findMySQL finds a server that says it is MySQL, or unpacks Debian unstable's with
// every library it needs, its C library included, so that it runs on any Linux.
func findMySQL(ctx context.Context) (program, error) {
	for _, name := range []string{os.Getenv("MILLRACE_MYSQLD"), "mysqld", "/usr/sbin/mysqld"} {
		if p, ok := installed(ctx, "mysql", name); ok {
			return p, nil
		}
	}
	root, err := Cached(ctx, "mysql", func(ctx context.Context, dir string) error {
		return aptSource{dir: filepath.Join(dir, "apt"), suite: "sid"}.unpack(ctx, dir, "mysql-server-core")
	})
	if err != nil {
		return program{}, err
	}
	loader, libs := "", []string{filepath.Join(root, "usr/lib")}
	for _, pattern := range []string{"usr/lib64/ld-linux-*.so.*", "lib64/ld-linux-*.so.*", "usr/lib/ld-linux-*.so.*",
		"usr/lib/*-linux-gnu/ld-linux-*.so.*"} {
		if found, _ := filepath.Glob(filepath.Join(root, pattern)); len(found) > 0 {
			loader = found[0]
			break
		}
	}
	if loader == "" {
		return program{}, errors.New("the unpacked packages hold no loader")
	}
	for _, pattern := range []string{"usr/lib/*-linux-gnu", "lib/*-linux-gnu"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		libs = append(libs, found...)
	}
	p := program{kind: "mysql", path: loader, base: filepath.Join(root, "usr"),
		pre: []string{"--library-path", strings.Join(libs, ":"), filepath.Join(root, "usr/sbin/mysqld")}}
	_, err = p.version(ctx)
	return p, err
}
