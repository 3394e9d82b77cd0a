package parquet

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/sinks/objects"
)

// panicky panics before the n-th operation that writes into a directory's data files.
type panicky struct {
	dir string
	n   int
	did bool
}

func (p *panicky) Step(op errorfs.Op) errorfs.Action {
	making := strings.HasPrefix(op.Path, "making/")
	switch op.Kind {
	case errorfs.Create, errorfs.WriteAt, errorfs.Link:
		given := op.Kind == errorfs.Link && strings.Contains(op.To, p.dir) && !strings.Contains(op.To, "_delta_log")
		if p.dir == "" || !making && !given {
			break
		}
		if p.n--; p.n == 0 {
			p.did = true
			panic("a file that nobody expected")
		}
	}
	return errorfs.Action{}
}

// TestAPanicLeavesNoFiles lets merges and packings panic before each of their writes: of what
// they had written nothing stays, or each further try would fill the disk a little more.
func TestAPanicLeavesNoFiles(t *testing.T) {
	for _, part := range []string{"current", "changes"} {
		t.Run(part, func(t *testing.T) {
			w, mem, p := oneQueue(t, 40), vfs.NewMem(), &panicky{}
			fsys := errorfs.Wrap(mem, p)
			making := must[*objects.Scratch](t)(objects.OpenScratch(fsys, "making")) // data files, and no entries of logs
			sink := must[*Sink](t)(NewIn(testConfig("lake"), objects.NewLocal(fsys, "lake"), func() (*objects.Scratch, error) { return making, nil }, nil, nil))
			configure(sink, twinConfig())
			d := delivererTo(t, w, sink, 1)
			for range 2 { // the second merge has files to replace
				for range 6 {
					must[int](t)(0, d.write(0, 3))
					must[int](t)(0, d.flush())
				}
				if part == "changes" || len(d.table.current.Log().Snapshot().Files) == 0 {
					must[int](t)(0, d.table.current.MergeNow())
				}
			}
			work := d.table.current.MergeNow
			if part == "changes" {
				work = func() error { return pack(d.table) }
			}
			dir := path.Join(d.table.Dir, part)
			before := dataFiles(t, mem, dir)
			for n := 1; ; n++ {
				if n > 1000 {
					t.Fatal("it panics for ever")
				}
				*p = panicky{dir: dir, n: n}
				err := work()
				p.dir = ""
				if !p.did {
					must[int](t)(0, err)
					if n < 4 {
						t.Fatalf("%d operations", n)
					}
					break
				}
				if after := dataFiles(t, mem, dir); part == "current" && !slices.Equal(before, after) {
					t.Fatalf("a panic before write %d leaves %q", n, after)
				}
				for _, f := range dataFiles(t, mem, dir) { // packing goes on with other files
					if a := d.table.changes.Log().Snapshot(); part == "changes" && a.Files[f] == nil && a.Removed[f] == nil {
						t.Fatalf("a panic before write %d leaves %s", n, f)
					}
				}
			}
			if got, want := shown(t, mem, d.table.Dir, w.schema), w.view(d.flushed); !slices.Equal(got, want) {
				t.Errorf("current/ shows %v, not %v", got, want)
			}
		})
	}
}

// dataFiles are the files below a table's part, whether its log names them or not.
func dataFiles(t *testing.T, fsys vfs.FS, dir string) []string {
	t.Helper()
	var list []string
	for _, n := range must[[]string](t)(fsys.ReadDir(dir)) {
		switch {
		case n == "_delta_log":
		case strings.Contains(n, "="):
			for _, f := range must[[]string](t)(fsys.ReadDir(path.Join(dir, n))) {
				list = append(list, path.Join(n, f))
			}
		default:
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}
