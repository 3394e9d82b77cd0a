package errorfs

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
)

func TestRulesFailWhatTheyName(t *testing.T) {
	var script Script
	base := vfs.NewMem()
	fsys := Wrap(base, &script)
	f, err := fsys.Create("log")
	if err != nil {
		t.Fatal(err)
	}
	script.Set(
		Rule{Kind: WriteAt, Path: "log", From: 2, Times: 1, Action: Action{Err: syscall.ENOSPC, Tear: 3}},
		Rule{Kind: Sync, Action: Action{Err: syscall.EIO}},
	)
	var got []string
	for range 3 {
		n, err := f.WriteAt([]byte("abcdef"), 0)
		got = append(got, fmt.Sprint(n, errors.Is(err, syscall.ENOSPC)))
	}
	if fmt.Sprint(got) != "[6 false 3 true 6 false]" {
		t.Errorf("writes gave %v", got)
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	if _, err := fsys.Create("other"); err != nil {
		t.Errorf("what no rule names failed: %v", err)
	}
	script.Set()
	if err := f.Sync(); err != nil {
		t.Errorf("sync without rules: %v", err)
	}
	if fsys.Steps() != 7 {
		t.Errorf("%d steps, want 7", fsys.Steps())
	}
}

func TestEveryOperationHasItsName(t *testing.T) {
	var ops []string
	fsys := Wrap(vfs.NewMem(), Func(func(op Op) Action {
		ops = append(ops, fmt.Sprint(op.N, " ", op.Kind, " ", op.Path))
		if op.Kind == DiskUsage {
			return Action{Usage: &vfs.Usage{Total: 4, Free: 1}}
		}
		return Action{}
	}))
	if err := vfs.WriteFileAtomic(fsys, "d", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if u, _ := fsys.DiskUsage("d"); u.Ratio() != 0.75 {
		t.Errorf("usage is %+v", u)
	}
	want := "[1 create d.tmp 2 writeat d.tmp 3 sync d.tmp 4 close d.tmp 5 rename d.tmp 6 syncdir . 7 diskusage d]"
	if fmt.Sprint(ops) != want {
		t.Errorf("%v, want %v", ops, want)
	}
}
