package testenv

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// aptSource is where packages come from: the machine's own settings, or one suite of
// the mirror that the machine already uses, with package lists of its own.
type aptSource struct {
	dir   string // private state
	suite string // "" = the machine's own sources
}

// unpack downloads packages with everything they need that the machine does not have
// and unpacks them below root. It needs no privileges and installs nothing.
func (a aptSource) unpack(ctx context.Context, root string, packages ...string) error {
	return a.fetch(ctx, root, closure, packages)
}

// unpackAlone does the same without what the packages need.
func (a aptSource) unpackAlone(ctx context.Context, root string, packages ...string) error {
	return a.fetch(ctx, root, func(ctx context.Context, options, packages []string) ([]string, error) {
		_, err := closure(ctx, options, packages) // whether they can be had at all
		return packages, err
	}, packages)
}

func (a aptSource) fetch(ctx context.Context, root string, which func(ctx context.Context, options, packages []string) ([]string, error),
	packages []string) error {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not on this machine, and %s was not found either; install it", tool, strings.Join(packages, ", "))
		}
	}
	options, err := a.options(ctx)
	if err != nil {
		return err
	}
	names, err := which(ctx, options, packages)
	if err != nil && a.suite == "" {
		// The machine's lists are old or empty: take fresh ones aside.
		a.suite = "-"
		if options, err = a.options(ctx); err == nil {
			names, err = which(ctx, options, packages)
		}
	}
	if err != nil {
		return err
	}
	debs := filepath.Join(a.dir, "debs")
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return err
	}
	args := append(append(options, "-qq", "download"), names...)
	if _, err := output(ctx, debs, "apt-get", args...); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil || len(files) == 0 {
		return errors.Join(errors.New("apt-get download brought no package"), err)
	}
	for _, f := range files {
		if _, err := output(ctx, debs, "dpkg-deb", "-x", f, root); err != nil {
			return err
		}
	}
	return os.RemoveAll(a.dir)
}

// closure lists the packages that would be installed.
func closure(ctx context.Context, options, packages []string) ([]string, error) {
	args := append(append(options, "-qq", "--print-uris", "-y", "--no-install-recommends", "install"), packages...)
	out, err := output(ctx, "", "apt-get", args...)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var names []string
	add := func(n string) {
		if n != "" && !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	for _, p := range packages {
		add(p)
	}
	sc := bufio.NewScanner(bytes.NewReader(out))
	for sc.Scan() {
		// 'uri' file_version_arch.deb size hash
		if f := strings.Fields(sc.Text()); len(f) >= 2 && strings.HasPrefix(f[0], "'") {
			name, _, _ := strings.Cut(f[1], "_")
			add(name)
		}
	}
	return names, nil
}

// options are apt's, with lists and caches in a.dir where a suite is named.
func (a aptSource) options(ctx context.Context) ([]string, error) {
	base := []string{"-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"}
	if a.suite == "" {
		return base, nil
	}
	for _, d := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	options := append(base, "-o", "Dir::State::lists="+filepath.Join(a.dir, "lists"), "-o", "Dir::Cache="+filepath.Join(a.dir, "cache"))
	if a.suite != "-" {
		line, err := sourceLine(ctx, a.suite)
		if err != nil {
			return nil, err
		}
		list, status := filepath.Join(a.dir, "sources.list"), filepath.Join(a.dir, "status")
		if err := errors.Join(os.WriteFile(list, []byte(line+"\n"), 0o644), os.WriteFile(status, nil, 0o644)); err != nil {
			return nil, err
		}
		// A mirror may stand still for longer than a suite's lists are meant to be valid; what
		// they are signed with is checked all the same.
		options = append(options, "-o", "Acquire::Check-Valid-Until=false", "-o", "Dir::Etc::sourcelist="+list, "-o",
			"Dir::Etc::sourceparts=/nonexistent", "-o", "Dir::State::status="+status)
	}
	_, err := output(ctx, "", "apt-get", append(append([]string{}, options...), "-qq", "update")...)
	return options, err
}

// sourceLine names a suite of the Debian mirror that the machine's apt uses, or that
// MILLRACE_DEBIAN_MIRROR names (Ubuntu's mirrors do not hold Debian).
func sourceLine(ctx context.Context, suite string) (string, error) {
	signed := ""
	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	if _, err := os.Stat(keyring); err == nil {
		signed = "[signed-by=" + keyring + "] "
	}
	if mirror := os.Getenv("MILLRACE_DEBIAN_MIRROR"); mirror != "" {
		return "deb " + signed + mirror + " " + suite + " main", nil
	}
	out, err := output(ctx, "", "apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return "", err
	}
	for _, l := range strings.Split(string(out), "\n") {
		f := strings.Fields(l)
		if len(f) == 2 && f[0] == "Debian" && !strings.Contains(f[1], "security") {
			return "deb " + signed + f[1] + " " + suite + " main", nil
		}
	}
	return "", errors.New("the machine's apt knows no Debian mirror; name one in MILLRACE_DEBIAN_MIRROR")
}

// output runs a program to its end; the error carries what it said.
func output(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, tail(stderr.Bytes(), 600))
	}
	return out, nil
}

func tail(b []byte, n int) string {
	b = bytes.TrimSpace(b)
	return string(b[max(0, len(b)-n):])
}
