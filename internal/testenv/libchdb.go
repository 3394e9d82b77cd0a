package testenv

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// libchdb is ClickHouse's engine as a shared library, as npm has it.
const (
	libchdbPackage  = "@chdb/lib-linux-x64-gnu"
	libchdbVersion  = "26.7.3-stable.1"
	libchdbChecksum = "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==" // SHA-512
	libchdbSize     = 178                                                                                        // MB to download
)

// findLibchdb is the library that MILLRACE_LIBCHDB names, or the one in the cache, brought
// there by the machine's own npm.
func findLibchdb(ctx context.Context) (string, error) {
	if path := os.Getenv("MILLRACE_LIBCHDB"); path != "" {
		_, err := os.Stat(path)
		return path, err
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("the ClickHouse test server runs on linux/amd64 only, this is %s/%s: name a real server in "+
			"MILLRACE_TEST_CLICKHOUSE", runtime.GOOS, runtime.GOARCH)
	}
	dir, err := Cached(ctx, "libchdb-"+libchdbVersion, fetchLibchdb)
	return filepath.Join(dir, "libchdb.so"), err
}

// Libchdb is the path of the library, for tests of what loads it.
func Libchdb(t testing.TB) string {
	t.Helper()
	if MaySkip("clickhouse") {
		Missing(t, "clickhouse", errors.New("left out by MILLRACE_SKIP"))
	}
	path, err := findLibchdb(context.Background())
	if err != nil {
		Missing(t, "clickhouse", err)
	}
	return path
}

func fetchLibchdb(ctx context.Context, dir string) error {
	npm, err := tool(ctx, "npm", "npm")
	if err != nil {
		return err
	}
	work := filepath.Join(dir, "npm")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	name := libchdbPackage + "@" + libchdbVersion
	fmt.Fprintf(os.Stderr, "fetching %s (%d MB, once)\n", name, libchdbSize)
	// With a cache of its own, nothing of this size stays in the user's, and what has come
	// can be seen.
	stop := showGrowth(work, name)
	cmd := exec.CommandContext(ctx, npm, "pack", "--loglevel=error", "--cache", filepath.Join(work, "cache"), "--pack-destination", work, name)
	cmd.Dir = work
	out, err := cmd.CombinedOutput()
	stop()
	if err != nil {
		return fmt.Errorf("npm pack %s: %w: %s", name, err, tail(out, 1000))
	}
	found, err := filepath.Glob(filepath.Join(work, "*.tgz"))
	if err != nil || len(found) != 1 {
		return errors.Join(fmt.Errorf("npm pack %s left %d archives where one was wanted", name, len(found)), err)
	}
	if err := unpackLibchdb(found[0], filepath.Join(dir, "libchdb.so")); err != nil {
		return err
	}
	return os.RemoveAll(work)
}

// showGrowth says every ten seconds how much a directory holds, until stop.
func showGrowth(dir, what string) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				fmt.Fprintf(os.Stderr, "fetching %s: %d MB written\n", what, held(dir)/1e6)
			}
		}
	}()
	return func() { close(done); <-ended }
}

// held is how many bytes the files below a directory have.
func held(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // files come and go
		}
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

// unpackLibchdb checks an archive and takes the library out of it.
func unpackLibchdb(archive, to string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	want, err := base64.StdEncoding.DecodeString(libchdbChecksum)
	if err != nil {
		return err
	}
	if got := sum.Sum(nil); !bytes.Equal(got, want) {
		return fmt.Errorf("%s is not what it was: SHA-512 %s, expected %s", filepath.Base(archive),
			base64.StdEncoding.EncodeToString(got), libchdbChecksum)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			return fmt.Errorf("%s holds no libchdb.so: %w", filepath.Base(archive), err)
		}
		if filepath.Base(h.Name) == "libchdb.so" {
			return writeFrom(r, to)
		}
	}
}

func writeFrom(r io.Reader, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
