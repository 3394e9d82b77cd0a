package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/sinks/objects"
)

// Run checks a kind of store. open gives an empty one that is usable until the test ends.
func Run(t *testing.T, open func(t *testing.T) objects.Store) {
	Names(t, open)
	run(t, open, map[string]func(*testing.T, objects.Store){
		"put replaces":              replace,
		"sizes":                     sizes,
		"reads at any offset":       reads,
		"listings go on":            pages,
		"one of many wins":          race,
		"an ended context":          ended,
		"against a map":             func(t *testing.T, s objects.Store) { Twin(t, s, rand.Uint64(), 300, nil) },
		"a body that ends too soon": short,
	})
}

// Names is the part of Run that is about names, for a store that is the same but for them.
func Names(t *testing.T, open func(t *testing.T) objects.Store) {
	run(t, open, map[string]func(*testing.T, objects.Store){
		"names are given once":   putIfAbsent,
		"what is not there":      missing,
		"listings are in order":  order,
		"directories":            dirs,
		"deleting while listing": deleting,
	})
}

func run(t *testing.T, open func(t *testing.T) objects.Store, tests map[string]func(*testing.T, objects.Store)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func body(s string) objects.Body { return strings.NewReader(s) }

func read(t *testing.T, s objects.Store, name string) string {
	t.Helper()
	b, err := objects.ReadAll(t.Context(), s, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got %v, want %v", what, err, want)
	}
}

// names is a listing's names.
func names(t *testing.T, s objects.Store, prefix, after string) []string {
	t.Helper()
	var list []string
	for info, err := range s.List(t.Context(), prefix, after) {
		ok(t, err)
		list = append(list, info.Name)
	}
	return list
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

func putIfAbsent(t *testing.T, s objects.Store) {
	ok(t, s.PutIfAbsent(t.Context(), "a/b/c", body("first")))
	is(t, "a second put", s.PutIfAbsent(t.Context(), "a/b/c", body("second")), objects.ErrExists)
	is(t, "a put of the same bytes", s.PutIfAbsent(t.Context(), "a/b/c", body("first")), objects.ErrExists)
	if got := read(t, s, "a/b/c"); got != "first" {
		t.Fatalf("the name stands for %q", got)
	}
}

func replace(t *testing.T, s objects.Store) {
	for _, text := range []string{"one", "two and more", "", "x"} {
		ok(t, s.Put(t.Context(), "hint", body(text)))
		if got := read(t, s, "hint"); got != text {
			t.Fatalf("got %q, want %q", got, text)
		}
	}
	is(t, "a put of a name in use", s.PutIfAbsent(t.Context(), "hint", body("y")), objects.ErrExists)
	same(t, "what is there", names(t, s, "", ""), []string{"hint"})
}

func missing(t *testing.T, s objects.Store) {
	_, err := s.Open(t.Context(), "nothing/here")
	is(t, "open", err, objects.ErrNotFound)
	ok(t, s.Delete(t.Context(), "nothing/here"))
	same(t, "list", names(t, s, "nothing/", ""), nil)
	found, err := s.Dirs(t.Context(), "nothing")
	ok(t, err)
	same(t, "directories", found, nil)
	ok(t, s.PutIfAbsent(t.Context(), "d/x", body("x")))
	_, err = s.Open(t.Context(), "d")
	is(t, "open of a part of a name", err, objects.ErrNotFound)
}

func sizes(t *testing.T, s objects.Store) {
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 8<<20 + 17, 21 << 20} {
		name, data := fmt.Sprintf("size=%d", size), noise(uint64(size), size)
		ok(t, s.PutIfAbsent(t.Context(), name, bytes.NewReader(data)))
		is(t, "a second put", s.PutIfAbsent(t.Context(), name, bytes.NewReader(noise(1, size+1))), objects.ErrExists)
		got, err := objects.ReadAll(t.Context(), s, name, 1<<30)
		ok(t, err)
		if !bytes.Equal(got, data) {
			t.Fatalf("%d bytes come back as %d others", size, len(got))
		}
		_, err = objects.ReadAll(t.Context(), s, name, int64(size)-1)
		is(t, "a limit", err, objects.ErrTooLarge)
		for info, err := range s.List(t.Context(), name, "") {
			ok(t, err)
			if info.Name == name && info.Size != int64(size) {
				t.Fatalf("%s is listed with %d bytes", name, info.Size)
			}
		}
	}
}

// noise is bytes that say if they are in another place.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	r.Read(b)
	return b
}

func reads(t *testing.T, s objects.Store) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	data := noise(seed, 3<<20+rng.IntN(1<<20))
	ok(t, s.PutIfAbsent(t.Context(), "file", bytes.NewReader(data)))
	o, err := s.Open(t.Context(), "file")
	ok(t, err)
	defer o.Close()
	if o.Size() != int64(len(data)) {
		t.Fatalf("size %d of %d", o.Size(), len(data))
	}
	for range 200 {
		at, n := rng.IntN(len(data)+100), 1<<rng.IntN(20)
		got, want := make([]byte, n), make([]byte, n)
		gn, gerr := o.ReadAt(got, int64(at))
		wn, werr := bytes.NewReader(data).ReadAt(want, int64(at))
		if gn != wn || !bytes.Equal(got[:gn], want[:wn]) || (gerr == nil) != (werr == nil) || gerr != nil && !errors.Is(gerr, io.EOF) {
			t.Fatalf("seed %d: %d bytes at %d of %d: got %d, %v; want %d, %v", seed, n, at, len(data), gn, gerr, wn, werr)
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			part := make([]byte, len(data)/8)
			if _, err := o.ReadAt(part, int64(i*len(part))); err != nil || !bytes.Equal(part, data[i*len(part):][:len(part)]) {
				t.Errorf("part %d, read beside others: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func order(t *testing.T, s objects.Store) {
	want := []string{"a", "b+c d/%2F&=", "b-/x", "b.x", "b/a", "b/z/1", "b/z/2", "b0", "date=2026-12-01/é", "date=2026-12-01/日本",
		"date=2026-12-01/😀", "z"}
	slices.Sort(want)
	shuffled := slices.Clone(want)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, n := range shuffled {
		ok(t, s.PutIfAbsent(t.Context(), n, body(n)))
	}
	same(t, "all", names(t, s, "", ""), want)
	for _, prefix := range []string{"b", "b/", "b/z", "b/z/", "date=2026-12-01/", "date=2026-12-01/日", "q"} {
		for _, after := range append([]string{"", "b/z", "b/zz", "b/", "zz"}, want...) {
			var expect []string
			for _, n := range want {
				if strings.HasPrefix(n, prefix) && n > after {
					expect = append(expect, n)
				}
			}
			same(t, fmt.Sprintf("prefix %q after %q", prefix, after), names(t, s, prefix, after), expect)
		}
	}
	for _, n := range want {
		if got := read(t, s, n); got != n {
			t.Fatalf("%q holds %q", n, got)
		}
		ok(t, s.Delete(t.Context(), n))
	}
	same(t, "after deleting", names(t, s, "", ""), nil)
}

// pages lists more than stores give at a time, and stops in the middle.
func pages(t *testing.T, s objects.Store) {
	const n = 1100
	var want []string
	var wg sync.WaitGroup
	turns := make(chan string)
	for range 8 {
		wg.Go(func() {
			for name := range turns {
				if err := s.PutIfAbsent(t.Context(), name, body(name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		want = append(want, fmt.Sprintf("log/%06d.json", i))
		turns <- want[i]
	}
	close(turns)
	wg.Wait()
	same(t, "all", names(t, s, "log/", ""), want)
	same(t, "the rest", names(t, s, "log/", want[1040]), want[1041:])
	seen := 0
	for _, err := range s.List(t.Context(), "", "") {
		ok(t, err)
		if seen++; seen == 3 {
			break
		}
	}
}

func dirs(t *testing.T, s objects.Store) {
	for _, n := range []string{"p/a.b/x", "p/a/x", "p/a/y/z", "p/c", "q/a/x"} {
		ok(t, s.PutIfAbsent(t.Context(), n, body(n)))
	}
	check := func(dir string, want ...string) {
		t.Helper()
		got, err := s.Dirs(t.Context(), dir)
		ok(t, err)
		same(t, "below "+dir, got, want)
	}
	check("", "p", "q")
	check("p", "a", "a.b")
	check("p/a", "y")
	check("p/c")
	ok(t, s.Delete(t.Context(), "p/a/y/z"))
	check("p/a")
	ok(t, s.Delete(t.Context(), "q/a/x"))
	check("", "p")
	ok(t, s.PutIfAbsent(t.Context(), "q/a/w", body("w")))
	check("q", "a")
}

// race has many callers put one name: one is told that it did, and its bytes are there.
func race(t *testing.T, s objects.Store) {
	for round := range 20 {
		name, size := fmt.Sprintf("entry-%d", round), 10
		if round%10 == 9 {
			size = 9 << 20 // larger than what is put in one piece
		}
		const callers = 8
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := -1
		start := make(chan struct{})
		for i := range callers {
			wg.Go(func() {
				data := bytes.Repeat([]byte{byte('a' + i)}, size)
				<-start
				err := s.PutIfAbsent(t.Context(), name, bytes.NewReader(data))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && won >= 0:
					t.Errorf("%s: callers %d and %d were both told that they have it", name, won, i)
				case err == nil:
					won = i
				case !errors.Is(err, objects.ErrExists):
					t.Errorf("%s: caller %d: %v", name, i, err)
				}
			})
		}
		close(start)
		wg.Wait()
		if t.Failed() {
			return
		}
		if won < 0 {
			t.Fatalf("%s: nobody has it", name)
		}
		if got := read(t, s, name); got != strings.Repeat(string(rune('a'+won)), size) {
			t.Fatalf("%s holds other bytes than its winner's", name)
		}
	}
}

func deleting(t *testing.T, s objects.Store) {
	for i := range 50 {
		ok(t, s.PutIfAbsent(t.Context(), fmt.Sprintf("d/%d/x", i), body("x")))
	}
	gone := 0
	for info, err := range s.List(t.Context(), "d/", "") {
		ok(t, err)
		ok(t, s.Delete(t.Context(), info.Name))
		gone++
	}
	if left := names(t, s, "", ""); gone != 50 || len(left) > 0 {
		t.Fatalf("%d were listed and deleted, %q are left", gone, left)
	}
}

func ended(t *testing.T, s objects.Store) {
	ok(t, s.PutIfAbsent(t.Context(), "x", body("x")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.PutIfAbsent(ctx, "y", bytes.NewReader(noise(1, 20<<20))); err == nil {
		t.Error("a put went through")
	}
	if _, err := s.Open(ctx, "x"); err == nil {
		t.Error("an open went through")
	}
	for _, err := range s.List(ctx, "", "") {
		if err == nil {
			t.Error("a listing went through")
		}
		break
	}
}

type shortBody struct{ objects.Body }

func (shortBody) Size() int64 { return 20 << 20 }

func short(t *testing.T, s objects.Store) {
	for _, b := range []objects.Body{shortBody{body("too little")}, shortBody{bytes.NewReader(noise(1, 19<<20))}} {
		if err := s.PutIfAbsent(t.Context(), "x", b); err == nil || errors.Is(err, objects.ErrExists) {
			t.Fatalf("got %v", err)
		}
		if err := s.Put(t.Context(), "x", b); err == nil {
			t.Fatalf("got %v", err)
		}
		same(t, "what is there", names(t, s, "", ""), nil)
	}
}
