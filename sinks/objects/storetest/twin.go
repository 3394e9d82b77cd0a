package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/sinks/objects"
)

// Twin does random operations on a store and on a map, and compares what the store says
// with what the map holds. Under trouble, when given, any operation may fail, and writes may
// be ErrUnknown. It is ended before everything is looked at once more.
func Twin(t *testing.T, s objects.Store, seed uint64, steps int, trouble *Trouble) {
	tw := &twin{t: t, s: s, seed: seed, rng: rand.New(rand.NewPCG(seed, 2)), trouble: trouble,
		have: map[string][]byte{}, maybe: map[string][][]byte{}, late: map[string][][]byte{}, gone: map[string]bool{}}
	for n := range steps {
		tw.step = n
		if trouble != nil {
			trouble.Make(tw.rng)
		}
		if !tw.pending() {
			clear(tw.late)
		}
		tw.one()
	}
	tw.settle()
}

// Trouble makes and ends faults.
type Trouble struct {
	// Make is called before each operation.
	Make func(*rand.Rand)
	// End lets what is on its way arrive, and makes no more faults.
	End func()
	// Pending says that a write is on its way whose caller was answered; nil where there are none.
	Pending func() bool
}

type twin struct {
	t       *testing.T
	s       objects.Store
	seed    uint64
	step    int
	rng     *rand.Rand
	trouble *Trouble

	have  map[string][]byte
	maybe map[string][][]byte // what may be there instead
	late  map[string][][]byte // what is or may be still on its way
	gone  map[string]bool     // deleted: never used again
}

// sent notes a put of which a request may still be on its way.
func (w *twin) sent(name string, data []byte, err error) {
	if w.pending() && (err == nil || errors.Is(err, objects.ErrExists) || errors.Is(err, objects.ErrUnknown)) {
		w.late[name] = append(w.late[name], data)
	}
}

// pending says that a write may arrive whose caller was answered.
func (w *twin) pending() bool {
	return w.trouble != nil && w.trouble.Pending != nil && w.trouble.Pending()
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
		w.list([]string{"", "t/", "t/1/", "hint/"}[w.rng.IntN(4)])
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
	w.sent(name, data, err)
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

// put replaces, and looks. Requests of earlier puts and of this one that were sent again may
// still arrive.
func (w *twin) put(name string, data []byte) {
	err := w.s.Put(w.t.Context(), name, bytes.NewReader(data))
	known, unknown := err == nil, errors.Is(err, objects.ErrUnknown)
	if w.trouble == nil && !known {
		w.fail("%v", err)
	}
	w.sent(name, data, err)
	switch {
	case known:
		w.have[name], w.maybe[name] = data, slices.Clone(w.late[name])
	case unknown:
		w.maybe[name] = append(w.maybe[name], data)
	}
	w.read(name)
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

// seen checks an object's bytes. One that may be there is there from then on, unless its
// removal is still on its way.
func (w *twin) seen(name string, got []byte) {
	want, there := w.have[name]
	if there && bytes.Equal(got, want) {
		return
	}
	for _, m := range w.maybe[name] {
		if !bytes.Equal(got, m) {
			continue
		}
		if !w.gone[name] {
			w.have[name] = got
			delete(w.maybe, name)
		}
		if strings.HasPrefix(name, "hint/") {
			w.maybe[name] = slices.Clone(w.late[name])
		}
		return
	}
	w.fail("%s holds %d bytes (%q), want %d (%q)", name, len(got), head(got), len(want), head(want))
}

func head(b []byte) []byte { return b[:min(len(b), 8)] }

func (w *twin) list(prefix string) {
	found := map[string]bool{}
	for info, err := range w.s.List(w.t.Context(), prefix, "") {
		if err != nil {
			if w.trouble == nil {
				w.fail("%v", err)
			}
			return
		}
		found[info.Name] = true
		if _, there := w.have[info.Name]; !there && len(w.maybe[info.Name]) == 0 {
			w.fail("%s is listed", info.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.have)) {
		if len(name) >= len(prefix) && name[:len(prefix)] == prefix && !found[name] {
			w.fail("%s is not listed", name)
		}
	}
}

// delete removes for good. A put of the name that is still on its way may bring it back.
func (w *twin) delete(name string) {
	err := w.s.Delete(w.t.Context(), name)
	if err != nil && w.trouble == nil {
		w.fail("%v", err)
	}
	w.gone[name] = true
	if data, there := w.have[name]; there {
		w.maybe[name] = append(w.maybe[name], data)
		delete(w.have, name)
	}
	w.maybe[name] = append(w.maybe[name], w.late[name]...)
	if err == nil && !w.pending() {
		delete(w.maybe, name)
	}
}

// settle looks at everything once trouble has ended. What was never there by any put's account
// is listed by now if it is.
func (w *twin) settle() {
	if w.trouble != nil {
		w.trouble.End()
		w.trouble = nil
	}
	clear(w.late)
	names := map[string]bool{}
	for name := range w.have {
		names[name] = true
	}
	for name := range w.maybe {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		w.read(name)
	}
	w.list("")
}
