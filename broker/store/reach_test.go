package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

// javas makes a store on disk as RocketMQ leaves one: no dispatch checkpoint, and no
// flushed position in the file checkpoint.
func javas(t *testing.T) (dir string, cfg Config) {
	t.Helper()
	dir = t.TempDir()
	cfg = testConfig(filepath.ToSlash(dir))
	s := start(t, vfs.OS(), cfg)
	fill(s, 60)
	s.mustStop()
	if err := os.Remove(filepath.Join(dir, pointFile)); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "checkpoint"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 16), 24); err != nil {
		t.Fatal(err)
	}
	return dir, cfg
}

func mustRename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// refused opens a store in vain, twice: a refusal must not make the next start succeed.
func refused(t *testing.T, cfg Config, says string) {
	t.Helper()
	for range 2 {
		s, err := Open(cfg, vfs.OS(), nil, nil)
		if err == nil {
			lo, hi, _ := s.QueueRange("orders", 0)
			t.Fatalf("the store is opened; queue 0 is %d to %d", lo, hi)
		}
		if !errors.Is(err, ErrLostTail) || !strings.Contains(err.Error(), says) {
			t.Fatal(err)
		}
	}
}

func TestALogThatIsElsewhereIsNotAnEmptyOne(t *testing.T) {
	dir, cfg := javas(t)
	elsewhere := filepath.Join(t.TempDir(), "log")
	mustRename(t, filepath.Join(dir, "commitlog"), elsewhere)
	refused(t, cfg, "storePathCommitLog")
	if err := os.MkdirAll(filepath.Join(dir, "commitlog"), 0o755); err != nil { // an empty mount point
		t.Fatal(err)
	}
	refused(t, cfg, "storePathCommitLog")

	cfg.CommitLogDir = filepath.ToSlash(elsewhere)
	for _, n := range []int{30, 31} {
		s := start(t, vfs.OS(), cfg)
		if got := s.bodies("orders", 0); len(got) != n {
			t.Fatalf("%d messages of queue 0 where the log is, want %d", len(got), n)
		}
		s.mustPut(testRecord("orders", 0, "more"))
		s.mustStop()
	}
	if left, err := os.ReadDir(filepath.Join(dir, "commitlog")); err != nil || len(left) > 0 {
		t.Fatalf("in the directory that is not the log's: %v, %v", left, err)
	}
}

func TestALogThatIsShorterThanItsQueuesIsRefused(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"its last file is gone": func(t *testing.T, dir string) {
			files, err := os.ReadDir(filepath.Join(dir, "commitlog"))
			if err != nil || len(files) < 3 {
				t.Fatal(files, err)
			}
			for _, f := range files[len(files)-2:] {
				if err := os.Remove(filepath.Join(dir, "commitlog", f.Name())); err != nil {
					t.Fatal(err)
				}
			}
		},
		"closed in order, its end is empty": zeroTheEnd,
		"after a crash, its end is empty": func(t *testing.T, dir string) {
			zeroTheEnd(t, dir)
			if err := os.WriteFile(filepath.Join(dir, "abort"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, cfg := javas(t)
			damage(t, dir)
			refused(t, cfg, "acceptLostTail")
			cfg.AcceptLostTail = true
			s := start(t, vfs.OS(), cfg)
			if n := len(s.bodies("orders", 0)); n == 0 || n >= 30 {
				t.Fatalf("%d messages are left", n)
			}
		})
	}
}

// zeroTheEnd takes the last third of the log's records away.
func zeroTheEnd(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "commitlog", "*"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, name := range files[2*len(files)/3:] {
		info, err := os.Stat(name)
		if err == nil {
			err = os.WriteFile(name, make([]byte, info.Size()), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
