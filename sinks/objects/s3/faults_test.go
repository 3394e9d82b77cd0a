package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/objects/s3"
	"github.com/millrace/millrace/sinks/objects/storetest"
)

// faulty is a store behind a proxy, and the same store without one.
type faulty struct {
	proxy          *testenv.FaultProxy
	server         *testenv.S3
	path           string
	behind, direct *s3.Store
}

func newFaulty(t *testing.T, server *testenv.S3) *faulty {
	t.Helper()
	f := &faulty{proxy: testenv.NewFaultProxy(t, server.Address), server: server, path: "s3://" + bucket(t, server) + "/p"}
	cfg := of(server)
	f.direct = open(t, f.path, cfg)
	cfg.Endpoint = f.proxy.Endpoint
	f.behind = open(t, f.path, cfg)
	ok(t, f.behind.Check(t.Context()))
	return f
}

// kind is what a request asks for.
func kind(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodPut:
		return "put"
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "begin"
	case r.Method == http.MethodPost:
		return "complete"
	case r.Method == http.MethodGet && q.Has("list-type"):
		return "list"
	}
	return strings.ToLower(r.Method)
}

// first makes the first n requests of a kind go wrong.
func first(n int64, what string, f testenv.Fault) func(*http.Request) testenv.Fault {
	var seen atomic.Int64
	return func(r *http.Request) testenv.Fault {
		if kind(r) == what && seen.Add(1) <= n {
			return f
		}
		return testenv.Fault{}
	}
}

func read(t *testing.T, s objects.Store, name string) string {
	t.Helper()
	b, err := objects.ReadAll(t.Context(), s, name, 1<<30)
	ok(t, err)
	return string(b)
}

// passing are the faults behind which a request may or may not have been done; whoever sends
// it again must not take his own doing for another's.
func passing() []testenv.Fault {
	return []testenv.Fault{
		{Kind: testenv.LoseAnswer}, {Kind: testenv.Drop}, {Kind: testenv.CutRequest}, {Kind: testenv.CutAnswer}, {Kind: testenv.Twice}, {Kind: testenv.Slow},
		{Kind: testenv.Landed, Status: 500, Code: "InternalError"}, {Kind: testenv.Landed, Status: 503, Code: "SlowDown"},
		{Kind: testenv.Landed, Status: 502}, {Kind: testenv.Landed, Status: 409, Code: "ConditionalRequestConflict"},
		{Kind: testenv.Refuse, Status: 503, Code: "SlowDown"}, {Kind: testenv.Refuse, Status: 500, Code: "InternalError"},
		{Kind: testenv.Refuse, Status: 429, Code: "TooManyRequests"}, {Kind: testenv.Refuse, Status: 409, Code: "OperationAborted"},
		{Kind: testenv.Refuse, Status: 504},
	}
}

// all has each kind of request decided on by its own.
func all(of map[string]func(*http.Request) testenv.Fault) func(*http.Request) testenv.Fault {
	return func(r *http.Request) testenv.Fault {
		if decide := of[kind(r)]; decide != nil {
			return decide(r)
		}
		return testenv.Fault{}
	}
}

// TestPutThroughFaults makes every request of a put go wrong in every way, once and often. The
// put succeeds, for it is the only one, and another's is then refused.
func TestPutThroughFaults(t *testing.T) {
	f := newFaulty(t, testenv.NewS3(t))
	n := 0
	check := func(data, what string, decide func(*http.Request) testenv.Fault) {
		t.Helper()
		n++
		name := fmt.Sprintf("x%d", n)
		f.proxy.Set(decide)
		if err := f.behind.PutIfAbsent(t.Context(), name, strings.NewReader(data)); err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if err := f.behind.PutIfAbsent(t.Context(), name, strings.NewReader("another's")); !errors.Is(err, objects.ErrExists) {
			t.Errorf("%s: another's put: %v", what, err)
		}
		if got := read(t, f.direct, name); got != data {
			t.Errorf("%s: %d bytes are there", what, len(got))
		}
		ok(t, f.direct.Delete(t.Context(), name))
	}
	type deciders = map[string]func(*http.Request) testenv.Fault
	faults := passing()
	for _, fault := range faults {
		for _, times := range []int64{1, 3} {
			what := fmt.Sprintf("%d times %v %d %s", times, fault.Kind, fault.Status, fault.Code)
			check("small", "put, "+what, first(times, "put", fault))
			// It asks only when an answer was lost.
			lose := first(2, "put", testenv.Fault{Kind: testenv.LoseAnswer})
			check("small", "head, "+what, all(deciders{"put": lose, "head": first(times, "head", fault)}))
		}
	}
	// One in two parts has three kinds of requests, each of which meets every fault.
	large := strings.Repeat("0123456789abcdef", 8<<16+1)
	for i := range faults {
		decide, what := deciders{}, "in parts"
		for k, request := range []string{"begin", "part", "complete"} {
			fault := faults[(i+k*5)%len(faults)]
			decide[request] = first(2, request, fault)
			what += fmt.Sprintf(", %s %v %d %s", request, fault.Kind, fault.Status, fault.Code)
		}
		check(large, what, all(decide))
	}
}

// TestReadsThroughFaults does the same to reads, listings and removals.
func TestReadsThroughFaults(t *testing.T) {
	f := newFaulty(t, testenv.NewS3(t))
	data := make([]byte, 20<<20)
	rand.NewChaCha8([32]byte{7}).Read(data)
	ok(t, f.direct.PutIfAbsent(t.Context(), "large", bytes.NewReader(data)))
	ok(t, f.direct.PutIfAbsent(t.Context(), "small", strings.NewReader("small")))
	for _, fault := range passing() {
		for _, what := range []string{"get", "list", "delete"} {
			f.proxy.Set(first(3, what, fault))
			switch what {
			case "get":
				if got := read(t, f.behind, "small"); got != "small" {
					t.Errorf("%v: %q", fault.Kind, got)
				}
				f.proxy.Set(first(3, what, fault))
				if got := read(t, f.behind, "large"); got != string(data) {
					t.Errorf("%v: %d other bytes", fault.Kind, len(got))
				}
			case "list":
				names := 0
				for _, err := range f.behind.List(t.Context(), "", "") {
					ok(t, err)
					names++
				}
				if names != 2 {
					t.Errorf("%v: %d names", fault.Kind, names)
				}
			case "delete":
				ok(t, f.direct.Put(t.Context(), "goes", strings.NewReader("x")))
				ok(t, f.behind.Delete(t.Context(), "goes"))
				if _, err := f.direct.Open(t.Context(), "goes"); !errors.Is(err, objects.ErrNotFound) {
					t.Errorf("%v: after the removal: %v", fault.Kind, err)
				}
			}
		}
	}
}

// TestUnknownIsSaid has the store fall silent: what may be there, or may still arrive, is
// never called a failure, and what certainly is not is not called unknown.
func TestUnknownIsSaid(t *testing.T) {
	server := testenv.NewS3(t)
	for _, size := range []int{10, 8<<20 + 1} {
		data := strings.Repeat("x", size)
		commit := "put"
		if size > 8<<20 {
			commit = "complete"
		}
		silent := func(last testenv.Fault) func(*http.Request) testenv.Fault {
			var over atomic.Bool
			return func(r *http.Request) testenv.Fault {
				if over.Load() {
					return testenv.Fault{Kind: testenv.Drop}
				}
				if kind(r) == commit {
					over.Store(true)
					return last
				}
				return testenv.Fault{}
			}
		}
		f := newFaulty(t, server)
		t.Run(fmt.Sprintf("%d bytes, it landed", size), func(t *testing.T) {
			f.proxy.Set(silent(testenv.Fault{Kind: testenv.LoseAnswer}))
			if err := f.behind.PutIfAbsent(t.Context(), "landed", strings.NewReader(data)); !errors.Is(err, objects.ErrUnknown) {
				t.Fatalf("got %v", err)
			}
			if got := read(t, f.direct, "landed"); got != data {
				t.Errorf("%d bytes are there: something was removed", len(got))
			}
		})
		t.Run(fmt.Sprintf("%d bytes, it did not", size), func(t *testing.T) {
			f.proxy.Set(silent(testenv.Fault{Kind: testenv.Drop}))
			if err := f.behind.PutIfAbsent(t.Context(), "dropped", strings.NewReader(data)); !errors.Is(err, objects.ErrUnknown) {
				t.Fatalf("got %v", err)
			}
		})
		t.Run(fmt.Sprintf("%d bytes, it comes late", size), func(t *testing.T) {
			f.proxy.Set(silent(testenv.Fault{Kind: testenv.Late}))
			if err := f.behind.PutIfAbsent(t.Context(), "late", strings.NewReader(data)); !errors.Is(err, objects.ErrUnknown) {
				t.Fatalf("got %v", err)
			}
			ok(t, f.direct.PutIfAbsent(t.Context(), "late", strings.NewReader("another's")))
			f.proxy.Release()
			if got := read(t, f.direct, "late"); got != "another's" {
				t.Errorf("a late put has replaced an object: %d bytes", len(got))
			}
		})
		t.Run(fmt.Sprintf("%d bytes, it comes before another's", size), func(t *testing.T) {
			f.proxy.Set(silent(testenv.Fault{Kind: testenv.Late}))
			if err := f.behind.PutIfAbsent(t.Context(), "early", strings.NewReader(data)); !errors.Is(err, objects.ErrUnknown) {
				t.Fatalf("got %v", err)
			}
			f.proxy.Release()
			if err := f.direct.PutIfAbsent(t.Context(), "early", strings.NewReader("another's")); !errors.Is(err, objects.ErrExists) {
				t.Fatalf("another's put: %v", err)
			}
			if got := read(t, f.direct, "early"); got != data {
				t.Errorf("%d bytes are there", len(got))
			}
		})
		t.Run(fmt.Sprintf("%d bytes, refused", size), func(t *testing.T) {
			f.proxy.Set(first(1, commit, testenv.Fault{Kind: testenv.Refuse, Status: 403, Code: "AccessDenied"}))
			err := f.behind.PutIfAbsent(t.Context(), "refused", strings.NewReader(data))
			if err == nil || errors.Is(err, objects.ErrUnknown) || errors.Is(err, objects.ErrExists) {
				t.Fatalf("got %v", err)
			}
			if _, err := f.direct.Open(t.Context(), "refused"); !errors.Is(err, objects.ErrNotFound) {
				t.Errorf("open: %v", err)
			}
		})
		t.Run(fmt.Sprintf("%d bytes, refused after an unknown one", size), func(t *testing.T) {
			var n atomic.Int64
			f.proxy.Set(func(r *http.Request) testenv.Fault {
				switch {
				case kind(r) == "head":
					return testenv.Fault{Kind: testenv.Drop}
				case kind(r) == commit && n.Add(1) == 1:
					return testenv.Fault{Kind: testenv.Late}
				case kind(r) == commit:
					return testenv.Fault{Kind: testenv.Refuse, Status: 403, Code: "AccessDenied"}
				}
				return testenv.Fault{}
			})
			if err := f.behind.PutIfAbsent(t.Context(), "mixed", strings.NewReader(data)); !errors.Is(err, objects.ErrUnknown) {
				t.Fatalf("got %v", err)
			}
			f.proxy.Release()
			if got := read(t, f.direct, "mixed"); got != data {
				t.Errorf("%d bytes are there", len(got))
			}
		})
		t.Run(fmt.Sprintf("%d bytes, a conflict with itself", size), func(t *testing.T) {
			// The way sends the request twice, and the second meets with the first.
			for _, replace := range []bool{false, true} {
				name := fmt.Sprint("conflict-", replace)
				put := f.behind.PutIfAbsent
				if replace {
					put = f.behind.Put
				}
				decide := func(looked testenv.Fault) func(*http.Request) testenv.Fault {
					var n atomic.Int64
					return func(r *http.Request) testenv.Fault {
						switch {
						case kind(r) == "head":
							return looked
						case kind(r) == commit && n.Add(1) == 1:
							return testenv.Fault{Kind: testenv.Landed, Status: 409, Code: "ConditionalRequestConflict"}
						case kind(r) == commit:
							return testenv.Fault{Kind: testenv.Refuse, Status: 403, Code: "AccessDenied"}
						}
						return testenv.Fault{}
					}
				}
				f.proxy.Set(decide(testenv.Fault{}))
				if err := put(t.Context(), name, strings.NewReader(data)); err != nil {
					t.Errorf("replace %v: it is there, and this is said: %v", replace, err)
				}
				f.proxy.Set(decide(testenv.Fault{Kind: testenv.Drop}))
				if err := put(t.Context(), name+"-unseen", strings.NewReader(data)); !errors.Is(err, objects.ErrUnknown) {
					t.Errorf("replace %v: it may be there, and this is said: %v", replace, err)
				}
			}
		})
		t.Run(fmt.Sprintf("%d bytes, the caller leaves", size), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			f.proxy.Set(func(r *http.Request) testenv.Fault {
				if kind(r) == commit {
					cancel()
					return testenv.Fault{Kind: testenv.LoseAnswer}
				}
				return testenv.Fault{}
			})
			err := f.behind.PutIfAbsent(ctx, "left", strings.NewReader(data))
			got, rerr := objects.ReadAll(t.Context(), f.direct, "left", 1<<30)
			if there := rerr == nil && string(got) == data; there && err != nil && !errors.Is(err, objects.ErrUnknown) {
				t.Errorf("it is there, and this is said: %v", err)
			} else if err == nil && !there {
				t.Errorf("it is not there: %v", rerr)
			}
		})
	}
}

// TestNobodyHome: what was never sent is not unknown. The store has no connection yet: what is
// sent on one that the other side has closed may have arrived.
func TestNobodyHome(t *testing.T) {
	server := testenv.NewS3(t)
	proxy := testenv.NewFaultProxy(t, server.Address)
	cfg := of(server)
	cfg.Endpoint = proxy.Endpoint
	behind := open(t, "s3://"+bucket(t, server)+"/p", cfg)
	proxy.Close()
	err := behind.PutIfAbsent(t.Context(), "x", strings.NewReader("x"))
	if err == nil || errors.Is(err, objects.ErrUnknown) || !strings.Contains(err.Error(), "see that the store at "+proxy.Endpoint) {
		t.Errorf("got %v", err)
	}
}

// trouble makes random faults in a share of all requests.
func trouble(proxy *testenv.FaultProxy) *storetest.Trouble {
	var mu sync.Mutex
	faults := append(passing(), testenv.Fault{Kind: testenv.Refuse, Status: 403, Code: "AccessDenied"})
	return &storetest.Trouble{
		Pending: proxy.Held,
		Make: func(rng *rand.Rand) {
			if rng.IntN(4) == 0 {
				proxy.Release()
			}
			rate, late := rng.IntN(100), rng.IntN(30) == 0
			own := rand.New(rand.NewPCG(rng.Uint64(), 3))
			proxy.Set(func(r *http.Request) testenv.Fault {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case own.IntN(100) >= rate:
					return testenv.Fault{}
				case late && (kind(r) == "put" || kind(r) == "complete" || kind(r) == "delete"):
					return testenv.Fault{Kind: testenv.Late}
				}
				return faults[own.IntN(len(faults))]
			})
		},
		End: func() {
			proxy.Set(nil)
			proxy.Release()
		},
	}
}

func TestTwinUnderFaults(t *testing.T) {
	server := testenv.NewS3(t)
	for _, seed := range seeds(t, 2) {
		f := newFaulty(t, server)
		storetest.Twin(t, f.behind, seed, 150, trouble(f.proxy))
	}
}

// TestRaceUnderFaults has callers put one name through a proxy that loses their answers: at
// most one is told that it has it, and its bytes are there; if none is, the bytes are those
// of one who does not know.
func TestRaceUnderFaults(t *testing.T) {
	f := newFaulty(t, testenv.NewS3(t))
	seed := seeds(t, 1)[0]
	rng := rand.New(rand.NewPCG(seed, 4))
	make := trouble(f.proxy)
	for round := range 60 {
		make.Make(rng)
		name := fmt.Sprintf("e%d", round)
		size := 10
		if round%30 == 29 {
			size = 9 << 20
		}
		errs := [6]error{}
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				errs[i] = f.behind.PutIfAbsent(t.Context(), name, strings.NewReader(strings.Repeat(string(rune('a'+i)), size)))
			})
		}
		wg.Wait()
		make.End()
		got, err := objects.ReadAll(t.Context(), f.direct, name, 1<<30)
		if err != nil && !errors.Is(err, objects.ErrNotFound) {
			t.Fatal(err)
		}
		owner := -1
		if len(got) > 0 {
			owner = int(got[0] - 'a')
		}
		for i, e := range errs {
			switch {
			case e == nil && owner != i:
				t.Fatalf("seed %d, round %d: caller %d was told that it has the name, which is %d's; all: %v", seed, round, i, owner, errs)
			case e != nil && !errors.Is(e, objects.ErrUnknown) && owner == i:
				t.Fatalf("seed %d, round %d: caller %d has the name and was told %v", seed, round, i, e)
			case errors.Is(e, objects.ErrExists) && owner < 0:
				t.Fatalf("seed %d, round %d: caller %d was told that the name is taken, and it is not", seed, round, i)
			}
		}
	}
}

// TestReplacedWhileRead: bytes of two objects are never mixed.
func TestReplacedWhileRead(t *testing.T) {
	f := newFaulty(t, testenv.NewS3(t))
	ok(t, f.direct.Put(t.Context(), "x", strings.NewReader(strings.Repeat("a", 1<<20))))
	o, err := f.behind.Open(t.Context(), "x")
	ok(t, err)
	defer o.Close()
	ok(t, f.direct.Put(t.Context(), "x", strings.NewReader(strings.Repeat("b", 1<<20))))
	b := make([]byte, 1<<20)
	if n, err := o.ReadAt(b, 0); err == nil || !strings.Contains(err.Error(), "replaced meanwhile") {
		t.Errorf("%d bytes (%q…), %v", n, b[:3], err)
	}
	ok(t, f.direct.Delete(t.Context(), "x"))
	if n, err := o.ReadAt(b, 0); !errors.Is(err, objects.ErrNotFound) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := o.ReadAt(b, 2<<20); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d bytes, %v", n, err)
	}
}
