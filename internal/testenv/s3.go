package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// versitygwVersion is the release of the S3 gateway that stands as object store.
const versitygwVersion = "v1.8.0"

// S3 is a private object store: a process that serves the directories of a directory as
// buckets, with conditional puts. It does not sync: what a power cut leaves it cannot show.
type S3 struct {
	Endpoint       string // http://127.0.0.1:port
	Address        string
	Access, Secret string
	Region         string
	Dir            string // of the buckets
	program, logs  string
	proc           *Process
}

// findVersitygw finds the gateway in the cache, or builds it there from the module proxy.
func findVersitygw(ctx context.Context) (string, error) {
	dir, err := Cached(ctx, "versitygw-"+versitygwVersion, func(ctx context.Context, dir string) error {
		fmt.Fprintln(os.Stderr, "building versitygw", versitygwVersion, "(once, about a minute)")
		cmd := exec.CommandContext(ctx, "go", "install", "github.com/versity/versitygw/cmd/versitygw@"+versitygwVersion)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go install versitygw: %w: %s", err, tail(out, 2000))
		}
		return nil
	})
	return filepath.Join(dir, "versitygw"), err
}

// NewS3 starts an object store for a test; MILLRACE_SKIP knows it as s3.
func NewS3(t testing.TB) *S3 {
	t.Helper()
	s, err := StartS3(t.Context(), scratch(t))
	if err != nil {
		Missing(t, "s3", err)
	}
	t.Cleanup(s.Kill)
	return s
}

// StartS3 starts an object store with its data below dir. The caller kills it.
func StartS3(ctx context.Context, dir string) (*S3, error) {
	if MaySkip("s3") {
		return nil, fmt.Errorf("it is left out")
	}
	program, err := findVersitygw(ctx)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s := &S3{Address: fmt.Sprintf("127.0.0.1:%d", port), Access: "millrace", Secret: "not-a-secret-of-anybody", Region: "us-east-1",
		Dir: filepath.Join(dir, "buckets"), program: program, logs: dir}
	s.Endpoint = "http://" + s.Address
	for _, d := range []string{s.Dir, s.sidecar(), s.iam()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	return s, s.Start(ctx)
}

// The gateway keeps what it knows of objects beside them: not every file system has
// attributes.
func (s *S3) sidecar() string { return filepath.Join(s.logs, "sidecar") }
func (s *S3) iam() string     { return filepath.Join(s.logs, "iam") }

// Start starts the process, again after Kill.
func (s *S3) Start(ctx context.Context) error {
	env := []string{"ROOT_ACCESS_KEY=" + s.Access, "ROOT_SECRET_KEY=" + s.Secret}
	proc, err := StartProcess(s.logs, "versitygw", env, s.program,
		"--port", s.Address, "--region", s.Region, "--quiet", "--keep-alive", "--iam-dir", s.iam(), "posix", "--sidecar", s.sidecar(), s.Dir)
	if err != nil {
		return err
	}
	s.proc = proc
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := proc.WaitReady(ctx, func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Address)
		if err == nil {
			c.Close()
		}
		return err
	}); err != nil {
		proc.Kill()
		return err
	}
	return nil
}

// Pid is the process id.
func (s *S3) Pid() int { return s.proc.Pid() }

// Kill ends the process at once.
func (s *S3) Kill() {
	if s.proc != nil {
		s.proc.Kill()
	}
}

// Log is the end of what the process wrote.
func (s *S3) Log() string { return s.proc.Log() }

// MakeBucket makes a bucket.
func (s *S3) MakeBucket(ctx context.Context, name string) error {
	return os.Mkdir(filepath.Join(s.Dir, name), 0o755)
}

// AddUser makes an account that owns nothing and may do nothing.
func (s *S3) AddUser(ctx context.Context, access, secret string) error {
	cmd := exec.CommandContext(ctx, s.program, "admin", "--access", s.Access, "--secret", s.Secret, "--endpoint-url", s.Endpoint,
		"create-user", "--access", access, "--secret", secret, "--role", "user")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make user %s: %w: %s", access, err, strings.TrimSpace(string(tail(out, 500))))
	}
	return nil
}
