package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/sinks/objects"
)

// Twin does random operations on a store and on a map, and compares what the store says
// with what the map holds. before, when given, is called before each operation; it may make
// trouble, under which any operation may fail, and writes may be ErrUnknown. Trouble ends
// when calm is called, which sees to it that the store is then looked at and left alone.
func Twin(t *testing.T, s objects.Store, seed uint64, steps int, trouble *Trouble) {
	tw := &twin{t: t, s: s, seed: seed, rng: rand.New(rand.NewPCG(seed, 2)), trouble: trouble,
		have: map[string][]byte{}, maybe: map[string][][]byte{}, gone: map[string]bool{}}
	for n := range steps {
		tw.step = n
		if trouble != nil {
			trouble.Make(tw.rng)
		}
		tw.one()
	}
	tw.settle()
}

// Trouble makes and ends faults.
type Trouble struct {
	Make func(*rand.Rand)
	End  func()
}

type twin struct {
	t       *testing.T
	s       objects.Store
	seed    uint64
	step    int
	rng     *rand.Rand
	trouble *Trouble

	have  map[string][]byte
	maybe map[string][][]byte // what unknown writes may have left, nil for nothing
	gone  map[string]bool     // deleted: never used again
}

func (w *twin) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d, step %d: %s", w.seed, w.step, fmt.Sprintf(format, args...))
}

func (w *twin) name() string { return fmt.Sprintf("t/%d/%02d", w.rng.IntN(3), w.rng.IntN(60)) }

// data is different at each step.
func (w *twin) data() []byte {
	size := w.rng.IntN(300)
	if w.rng.IntN(12) == 0 {
		size = w.rng.IntN(12 << 20)
	}
	return append(fmt.Appendf(nil, "%d:", w.step), noise(uint64(w.step), size)...)
}

func (w *twin) one() {
	switch w.rng.IntN(10) {
	case 0, 1, 2, 3:
		w.putIfAbsent(w.name(), w.data())
	case 4:
		w.put("hint/"+fmt.Sprint(w.rng.IntN(3)), w.data())
	case 5, 6, 7:
		w.read(w.name())
	case 8:
		w.list()
	case 9:
		w.delete(w.name())
	}
}

func (w *twin) putIfAbsent(name string, data []byte) {
	if w.gone[name] {
		return
	}
	err := w.s.PutIfAbsent(w.t.Context(), name, bytes.NewReader(data))
	_, there := w.have[name]
	switch {
	case err == nil && there:
		w.fail("%s was put over what was there", name)
	case err == nil: // an unknown one has lost for good
		w.have[name] = data
		delete(w.maybe, name)
	case errors.Is(err, objects.ErrExists):
		if !there && len(w.maybe[name]) == 0 {
			w.fail("%s is said to be there: %v", name, err)
		}
	case errors.Is(err, objects.ErrUnknown):
		if w.trouble == nil {
			w.fail("%v", err)
		}
		if !there {
			w.maybe[name] = append(w.maybe[name], data)
		}
	case w.trouble == nil:
		w.fail("%v", err)
	}
}

func (w *twin) put(name string, data []byte) {
	err := w.s.Put(w.t.Context(), name, bytes.NewReader(data))
	switch {
	case err == nil:
		w.have[name] = data
		delete(w.maybe, name)
	case w.trouble == nil:
		w.fail("%v", err)
	case errors.Is(err, objects.ErrUnknown):
		w.maybe[name] = append(w.maybe[name], data)
	}
}

func (w *twin) read(name string) {
	got, err := objects.ReadAll(w.t.Context(), w.s, name, 1<<30)
	switch {
	case errors.Is(err, objects.ErrNotFound):
		if _, there := w.have[name]; there {
			w.fail("%s is said not to be there", name)
		}
	case err != nil:
		if w.trouble == nil {
			w.fail("%v", err)
		}
	default:
		w.seen(name, got)
	}
}

// seen checks an object's bytes. One that may be there is there from then on.
func (w *twin) seen(name string, got []byte) {
	want, there := w.have[name]
	if there && bytes.Equal(got, want) {
		return
	}
	for _, m := range w.maybe[name] {
		if bytes.Equal(got, m) {
			w.have[name] = got
			delete(w.maybe, name)
			return
		}
	}
	w.fail("%s holds %d bytes (%q), want %d (%q)", name, len(got), head(got), len(want), head(want))
}

func head(b []byte) []byte { return b[:min(len(b), 8)] }

func (w *twin) list() {
	prefix := []string{"", "t/", "t/1/", "hint/"}[w.rng.IntN(4)]
	found := map[string]bool{}
	for info, err := range w.s.List(w.t.Context(), prefix, "") {
		if err != nil {
			if w.trouble == nil {
				w.fail("%v", err)
			}
			return
		}
		found[info.Name] = true
		if _, there := w.have[info.Name]; !there && len(w.maybe[info.Name]) == 0 && !w.gone[info.Name] {
			w.fail("%s is listed", info.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.have)) {
		if len(name) >= len(prefix) && name[:len(prefix)] == prefix && !found[name] {
			w.fail("%s is not listed", name)
		}
	}
}

func (w *twin) delete(name string) {
	err := w.s.Delete(w.t.Context(), name)
	if err != nil && w.trouble == nil {
		w.fail("%v", err)
	}
	if err == nil {
		// What may still arrive under the name is nobody's business any more.
		delete(w.have, name)
		delete(w.maybe, name)
		w.gone[name] = true
		return
	}
	if data, there := w.have[name]; there {
		w.maybe[name] = append(w.maybe[name], data)
		delete(w.have, name)
	}
	w.gone[name] = true
}

// settle looks at everything once trouble has ended.
func (w *twin) settle() {
	if w.trouble != nil {
		w.trouble.End()
		w.trouble = nil
	}
	for name, want := range w.have {
		o, err := w.s.Open(w.t.Context(), name)
		if err != nil {
			w.fail("%v", err)
		}
		got := make([]byte, o.Size())
		if _, err := o.ReadAt(got, 0); err != nil && err != io.EOF {
			w.fail("%v", err)
		}
		o.Close()
		if !bytes.Equal(got, want) {
			w.seen(name, got)
		}
	}
	w.list()
}
