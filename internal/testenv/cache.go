package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// CacheDir is where unpacked programs are kept; it is made when it is not there.
func CacheDir() (string, error) {
	dir := os.Getenv("MILLRACE_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no cache directory (set MILLRACE_CACHE): %w", err)
		}
		dir = filepath.Join(base, "millrace")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache directory (MILLRACE_CACHE): %w", err)
	}
	return filepath.Abs(dir)
}

// Cached returns the cache's directory of that name, made by build when it is not
// there. Processes that ask at once wait for the first. build fills a directory that
// becomes visible under its name only when it is complete.
func Cached(ctx context.Context, name string, build func(ctx context.Context, dir string) error) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	unlock, err := lockFile(filepath.Join(cache, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	partial := dir + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return "", err
	}
	if err := build(ctx, partial); err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	return dir, os.Rename(partial, dir)
}

// lockFile takes an exclusive lock that ends with unlock or the process.
func lockFile(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}
