package objects_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/objects/storetest"
)

func TestLocal(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) objects.Store { return local(t, vfs.OS(), t.TempDir()+"/lake") })
	})
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) objects.Store { return local(t, vfs.NewMem(), "/lake") })
	})
}

func local(t *testing.T, fsys vfs.FS, root string) *objects.Local {
	l := objects.NewLocal(fsys, root)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestLocalCrash cuts the power before every operation of the file system, in every way, and
// looks at what a restart finds: an object is whole or absent, one that was acknowledged is
// there, and the name can be put if it is absent.
func TestLocalCrash(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 1<<12)
	for _, kind := range []string{"put", "replace", "scratch"} {
		t.Run(kind, func(t *testing.T) {
			crashAt := 0
			for stepped := true; stepped; crashAt++ {
				stepped = crash(t, kind, long, crashAt)
			}
			if crashAt < 8 {
				t.Fatalf("there were only %d steps to crash at", crashAt)
			}
		})
	}
}

func crash(t *testing.T, kind, data string, at int) (stepped bool) {
	mem := vfs.NewMem()
	before := objects.NewLocal(mem, "/lake")
	ok(t, before.Put(t.Context(), "t/hint", strings.NewReader("before")))
	ok(t, before.Close())

	var clones []*vfs.Mem
	n := 0
	fsys := errorfs.Wrap(mem, errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if op.Kind.Changes() {
			if n == at {
				clones = append(clones, mem.CrashClone(vfs.CrashOpts{Mode: vfs.CrashLose}), mem.CrashClone(vfs.CrashOpts{Mode: vfs.CrashKeep}))
				for seed := range uint64(8) {
					clones = append(clones, mem.CrashClone(vfs.CrashOpts{Seed: seed}))
				}
			}
			n++
		}
		return errorfs.Action{}
	}))
	l := objects.NewLocal(fsys, "/lake")
	name, err := "t/date=1/new", error(nil)
	switch kind {
	case "put":
		err = l.PutIfAbsent(t.Context(), name, strings.NewReader(data))
	case "replace":
		name = "t/hint"
		err = l.Put(t.Context(), name, strings.NewReader(data))
	case "scratch":
		s, serr := l.Scratch()
		ok(t, serr)
		f, ferr := s.Create()
		ok(t, ferr)
		fmt.Fprint(f, data)
		err = l.PutIfAbsent(t.Context(), name, f)
		ok(t, f.Close())
	}
	ok(t, err)
	acknowledged := len(clones) == 0
	if acknowledged { // the crash comes behind the last step
		clones = append(clones, mem.CrashClone(vfs.CrashOpts{Mode: vfs.CrashLose}))
	}
	for i, c := range clones {
		r := objects.NewLocal(c, "/lake")
		got, err := objects.ReadAll(t.Context(), r, name, 1<<20)
		old := kind == "replace" && string(got) == "before" || kind != "replace" && errors.Is(err, objects.ErrNotFound)
		switch {
		case string(got) == data && err == nil:
		case old && !acknowledged:
			if kind != "replace" {
				ok(t, r.PutIfAbsent(t.Context(), name, strings.NewReader("other")))
			}
		default:
			t.Fatalf("crash before step %d, clone %d: %d bytes, %v", at, i, len(got), err)
		}
		for info, err := range r.List(t.Context(), "", "") {
			ok(t, err)
			if info.Name != name && info.Name != "t/hint" {
				t.Fatalf("crash before step %d, clone %d: there is %s", at, i, info.Name)
			}
		}
		// The next process leaves nothing of the dead one's scratch.
		_, err = r.Scratch()
		ok(t, err)
		left, err := c.ReadDir("/lake/.scratch")
		ok(t, err)
		if len(left) != 2 {
			t.Fatalf("crash before step %d, clone %d: scratch holds %q", at, i, left)
		}
	}
	return !acknowledged
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLocalErrors fails each operation of a put in turn. What is said is what is there: an
// object that may survive is not called absent, and one that may be lost not written.
func TestLocalErrors(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for at := 0; ; at++ {
			mem := vfs.NewMem()
			n, hit := 0, ""
			fsys := errorfs.Wrap(mem, errorfs.Func(func(op errorfs.Op) errorfs.Action {
				n++
				if n == at+1 {
					hit = fmt.Sprint(op.Kind, " ", op.Path)
					return errorfs.Action{Err: cause}
				}
				return errorfs.Action{}
			}))
			l := objects.NewLocal(fsys, "/lake")
			err := l.PutIfAbsent(t.Context(), "t/x", strings.NewReader("data"))
			if hit == "" {
				if at < 10 {
					t.Fatalf("only %d steps", at)
				}
				break
			}
			got, rerr := objects.ReadAll(t.Context(), objects.NewLocal(mem, "/lake"), "t/x", 100)
			there := rerr == nil && string(got) == "data"
			lost := mem.CrashClone(vfs.CrashOpts{Mode: vfs.CrashLose})
			got, rerr = objects.ReadAll(t.Context(), objects.NewLocal(lost, "/lake"), "t/x", 100)
			durable := rerr == nil && string(got) == "data"
			switch {
			case err == nil && !durable:
				t.Errorf("%v at %s: acknowledged, and a power cut loses it", cause, hit)
			case err != nil && !errors.Is(err, objects.ErrUnknown) && there:
				t.Errorf("%v at %s: called failed (%v), and it is there", cause, hit, err)
			case err != nil && !errors.Is(err, cause):
				t.Errorf("%v at %s: %v", cause, hit, err)
			case errors.Is(err, objects.ErrExists):
				t.Errorf("%v at %s: %v", cause, hit, err)
			}
		}
	}
}

// TestScratchFilesAreNotCopied sees that a file in the making becomes the object, without a
// second writing of its bytes.
func TestScratchFilesAreNotCopied(t *testing.T) {
	mem := vfs.NewMem()
	written := 0
	l := local(t, errorfs.Wrap(mem, errorfs.Func(func(op errorfs.Op) errorfs.Action {
		if op.Kind == errorfs.WriteAt {
			written += op.Len
		}
		return errorfs.Action{}
	})), "/lake")
	s, err := l.Scratch()
	ok(t, err)
	f, err := s.Create()
	ok(t, err)
	data := bytes.Repeat([]byte("x"), 1<<20)
	f.Write(data)
	ok(t, l.PutIfAbsent(t.Context(), "a/b", f))
	ok(t, f.Close())
	if written != len(data) {
		t.Errorf("%d bytes were written for %d", written, len(data))
	}
	got, err := objects.ReadAll(t.Context(), l, "a/b", 1<<30)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestScratchOfTheLivingStays opens a second scratch beside one in use and one left behind.
func TestScratchOfTheLivingStays(t *testing.T) {
	fsys, dir := vfs.OS(), t.TempDir()
	live, err := objects.OpenScratch(fsys, dir)
	ok(t, err)
	f, err := live.Create()
	ok(t, err)
	fmt.Fprint(f, "in the making")
	for _, n := range []string{dir + "/dead", dir + "/dead/sub"} {
		ok(t, fsys.MkdirAll(n, 0o755))
	}
	for _, n := range []string{dir + "/dead.lock", dir + "/dead/1", dir + "/dead/sub/2"} {
		w, err := fsys.Create(n)
		ok(t, err)
		ok(t, w.Close())
	}
	second, err := objects.OpenScratch(fsys, dir)
	ok(t, err)
	if _, err := fsys.Stat(dir + "/dead"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a dead process left is there: %v", err)
	}
	b := make([]byte, 13)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "in the making" {
		t.Errorf("%q, %v", b, err)
	}
	ok(t, objects.NewLocal(fsys, dir+"/lake").PutIfAbsent(t.Context(), "x", f))
	ok(t, f.Close())
	ok(t, second.Close())
	ok(t, live.Close())
	if left, err := fsys.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left: %q, %v", left, err)
	}
}

// TestLocalUnderFaults is the twin with operations of the file system that fail.
func TestLocalUnderFaults(t *testing.T) {
	for range 6 {
		var script errorfs.Script
		kinds := []errorfs.Kind{errorfs.Create, errorfs.WriteAt, errorfs.Sync, errorfs.Link, errorfs.SyncDir, errorfs.Rename, errorfs.MkdirAll,
			errorfs.Open, errorfs.ReadAt, errorfs.ReadDir, errorfs.Remove, errorfs.Stat}
		causes := []error{syscall.EIO, syscall.ENOSPC, syscall.EACCES}
		trouble := &storetest.Trouble{
			Make: func(rng *rand.Rand) {
				script.Set()
				if rng.IntN(3) == 0 {
					script.Set(errorfs.Rule{Kind: kinds[rng.IntN(len(kinds))], From: int64(1 + rng.IntN(3)), Times: int64(1 + rng.IntN(2)),
						Action: errorfs.Action{Err: causes[rng.IntN(len(causes))]}})
				}
			},
			End: func() { script.Set() },
		}
		storetest.Twin(t, objects.NewLocal(errorfs.Wrap(vfs.NewMem(), &script), "/lake"), rand.Uint64(), 200, trouble)
	}
}
