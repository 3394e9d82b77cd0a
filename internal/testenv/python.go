package testenv

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Python packages that tests read targets with: a real Delta reader and what it hands
// rows over in.
const (
	deltalakeVersion = "1.6.6"
	pyarrowVersion   = "26.0.1"
)

// Deltalake is a Python interpreter with the packages deltalake and pyarrow.
type Deltalake struct {
	python   string
	packages string
}

// NewDeltalake finds the packages in the cache, or fetches them there with the machine's
// own pip and its settings. Without them the test ends (see Missing).
func NewDeltalake(t testing.TB) *Deltalake {
	t.Helper()
	d, err := findDeltalake(context.Background())
	if err != nil {
		Missing(t, "deltalake", err)
	}
	return d
}

func findDeltalake(ctx context.Context) (*Deltalake, error) {
	python, err := tool(ctx, "python3", "python3", "python3-pip")
	if err != nil {
		return nil, err
	}
	name := "python-deltalake-" + deltalakeVersion + "-pyarrow-" + pyarrowVersion
	dir, err := Cached(ctx, name, func(ctx context.Context, dir string) error {
		havePip := func() (string, error) {
			return python, exec.CommandContext(ctx, python, "-m", "pip", "--version").Run()
		}
		if _, err := ensure(ctx, havePip, "Python's pip", []string{"python3-pip"}); err != nil {
			return err
		}
		_, err := output(ctx, "", python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
			"--target", dir, "deltalake=="+deltalakeVersion, "pyarrow=="+pyarrowVersion)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Deltalake{python: python, packages: dir}, nil
}

// Run runs a script, which finds its arguments in sys.argv[1:], and returns what it prints.
func (d *Deltalake) Run(ctx context.Context, script string, args ...string) ([]byte, error) {
	// The reader's threads do not always survive the interpreter's own end.
	script += "\nimport os, sys\nsys.stdout.flush()\nos._exit(0)\n"
	cmd := exec.CommandContext(ctx, d.python, append([]string{"-c", script}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+d.packages, "PYTHONIOENCODING=utf-8")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("python: %w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}
