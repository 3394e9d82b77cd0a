package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// execute runs a command line and returns what it printed and its exit status.
func execute(t *testing.T, args ...string) (string, int) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	err := dispatch(t.Context(), root, args)
	if err == nil {
		return out.String(), exitOK
	}
	return out.String() + err.Error(), exitCode(err)
}

func TestEveryCommandHelpsWithAnExample(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" || c.Parent() != nil && c.Parent().Name() == "completion" {
			return
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no summary or no example", c.CommandPath())
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(newRoot())
}

func TestExitStatuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("version: 1\nname: a\nsuorce: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unset := filepath.Join(dir, "unset.yaml")
	if err := os.WriteFile(unset, []byte("listenPort: ${NOT_SET_ANYWHERE}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"version"}, exitOK, "millrace 0."},
		{[]string{"--version"}, exitOK, "millrace 0."},
		{[]string{"-v"}, exitOK, "millrace 0."},
		{[]string{"unknown", "--help"}, exitConfiguration, `millrace has no command "unknown"`},
		{[]string{"pipeline", "stat", "-h"}, exitConfiguration, `did you mean "status"?`},
		{[]string{"help", "unknown"}, exitConfiguration, `millrace has no command "unknown"`},
		{[]string{"help", "admin", "topic"}, exitOK, "Available Commands"},
		{[]string{"pipeline", "--help"}, exitOK, "Available Commands"},
		{[]string{"version", "--log-level", "loud"}, exitConfiguration, `--log-level "loud"`},
		{[]string{"pipeline", "status", "--log-format", "xml"}, exitConfiguration, `--log-format "xml"`},
		{[]string{"pipeline", "status", "--daemon", "nonsense"}, exitConfiguration, `"nonsense" is not host:port`},
		{[]string{"pipeline", "pause", "a", "--daemon", ""}, exitConfiguration, `"" is not host:port`},
		{[]string{"pipeline", "delete", "a", "--yes", "--daemon", "ftp://there"}, exitConfiguration, `"ftp://there" is not host:port`},
		{[]string{"broker", "--config", dir}, exitConfiguration, "is a directory"},
		{[]string{"namesrv", "--http", ":99999", "--insecure"}, exitConfiguration, "is no port"},
		{[]string{"namesrv", "--http", ":8083"}, exitConfiguration, "every address of this machine"},
		{[]string{"pipeline", "verify", filepath.Join(dir, "missing.yaml")}, exitEnvironment, "missing.yaml"},
		{[]string{"pipeline", "verify", dir}, exitEnvironment, "is a directory"},
		{[]string{"admin", "topic", "create", "bad name"}, exitConfiguration, `"bad name"`},
		{[]string{"admin", "topic", "create", "a", "--queues", "0"}, exitConfiguration, "--queues 0"},
		{[]string{"admin"}, exitOK, "Available Commands"},
		{[]string{"brokr"}, exitConfiguration, `did you mean "broker"?`},
		{[]string{"admin", "topic", "lst"}, exitConfiguration, `millrace admin topic has no command "lst"; did you mean "list"?`},
		{[]string{"pipeline", "validate", bad}, exitConfiguration, `bad.yaml:3:1: suorce: unknown key; did you mean "source"?`},
		{[]string{"pipeline", "validate"}, exitConfiguration, "name a pipeline file"},
		{[]string{"pipeline", "validate", t.TempDir()}, exitConfiguration, "holds no pipeline file (*.yaml, *.yml)"},
		{[]string{"pipeline", "validate", filepath.Join(dir, "missing.yaml")}, exitEnvironment, "missing.yaml"},
		{[]string{"pipeline", "status", "--daemon", "127.0.0.1:1"}, exitEnvironment, "--daemon or MILLRACE_DAEMON names another"},
		{[]string{"pipeline", "status", "a", "b"}, exitConfiguration, "takes the name of one pipeline"},
		{[]string{"connect", "--broker", "b", "--pipelines", filepath.Join(dir, "missing")}, exitEnvironment, "missing: no such file or directory; make it"},
		{[]string{"connect", "--broker", "b", "--pipelines", bad}, exitEnvironment, "bad.yaml is a file"},
		{[]string{"standalone", "--data", dir, "--pipelines", filepath.Join(dir, "missing")}, exitEnvironment, "missing: no such file or directory; make it"},
		{[]string{"namesrv", "--config", unset}, exitConfiguration, "NOT_SET_ANYWHERE is not set"},
		{[]string{"namesrv", "--listen", "0.0.0.0:0"}, exitConfiguration, "--insecure"},
		{[]string{"namesrv", "--no-such-flag"}, exitConfiguration, "unknown flag"},
		{[]string{"broker", "--config", filepath.Join(dir, "missing.yaml")}, exitConfiguration, "missing.yaml"},
		{[]string{"connect"}, exitConfiguration, "--pipelines"},
		{[]string{"version", "extra"}, exitConfiguration, "takes no arguments"},
		{[]string{"admin", "cluster", "--namesrv", "127.0.0.1:1"}, exitEnvironment, "127.0.0.1:1"},
	} {
		out, status := execute(t, c.args...)
		if status != c.status || !strings.Contains(out, c.says) {
			t.Errorf("%v: status %d, want %d; said %q, want %q", c.args, status, c.status, out, c.says)
		}
	}
}
