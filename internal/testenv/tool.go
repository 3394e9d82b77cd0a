package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// tool finds a program without a service of its own (a JDK, Maven, Python). One that is
// missing is installed with apt, after saying so, when this is root; otherwise the error
// is the command to run.
func tool(ctx context.Context, name string, packages ...string) (string, error) {
	return ensure(ctx, func() (string, error) { return exec.LookPath(name) }, name, packages)
}

// ensure is tool for whatever find looks for.
func ensure(ctx context.Context, find func() (string, error), what string, packages []string) (string, error) {
	path, err := find()
	if err == nil {
		return path, nil
	}
	command := "apt-get install -y --no-install-recommends " + strings.Join(packages, " ")
	if os.Getuid() != 0 {
		return "", fmt.Errorf("%s is not on this machine: run `sudo %s`: %w", what, command, err)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", fmt.Errorf("%s is not on this machine, and neither is apt-get: install %s: %w", what, strings.Join(packages, " or "), err)
	}
	fmt.Fprintf(os.Stderr, "%s is missing: %s\n", what, command)
	out, err := aptInstall(ctx, packages)
	if err != nil { // the machine's lists may be old or empty
		if exec.CommandContext(ctx, "apt-get", "update").Run() == nil {
			out, err = aptInstall(ctx, packages)
		}
	}
	if path, err := find(); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%s is missing and `%s` did not bring it: %w: %s", what, command, err, tail(out, 2000))
}

func aptInstall(ctx context.Context, packages []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"install", "-y", "--no-install-recommends"}, packages...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return cmd.CombinedOutput()
}
