package parquet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/objects/s3"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// bucketLake is a lake in a bucket whose objects lie in a directory of this machine, where
// they are read without the store.
type bucketLake struct {
	server *testenv.S3
	name   string
	root   string // the lake's directory
}

var bucketsMade atomic.Int64

func newBucketLake(t testing.TB, server *testenv.S3) *bucketLake {
	t.Helper()
	b := &bucketLake{server: server, name: fmt.Sprintf("lake-%d", bucketsMade.Add(1))}
	if err := server.MakeBucket(t.Context(), b.name); err != nil {
		t.Fatal(err)
	}
	b.root = filepath.Join(server.Dir, b.name, "some", "where")
	return b
}

// table is the directory of the tests' table.
func (b *bucketLake) table() string { return filepath.Join(b.root, "p", "shop.orders") }

func (b *bucketLake) config(endpoint string) Config {
	c := testConfig("s3://" + b.name + "/some/where")
	c.S3 = s3.DefaultConfig()
	c.S3.Endpoint, c.S3.Credentials, c.S3.AccessKey, c.S3.SecretKey = endpoint, "static", b.server.Access, config.Secret(b.server.Secret)
	return c
}

// sink opens the lake through an endpoint, with little patience, and merges small files.
func (b *bucketLake) sink(t testing.TB, endpoint string) *Sink {
	t.Helper()
	cfg := b.config(endpoint)
	own := &ownScratch{fs: vfs.OS(), parent: filepath.Join(b.server.Dir, "..", "scratch")}
	store, err := s3.New(cfg.Path, cfg.S3, s3.Deps{Scratch: own.open, Retry: s3.Retry{Tries: 5, Base: time.Millisecond, Most: 10 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewIn(cfg, &inBucket{Store: store, scratch: own}, own.open, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	small := twinConfig()
	cfg.Current, cfg.Keep = small.Current, small.Keep
	configure(s, cfg)
	return s
}

// TestHistoriesInABucket brings random histories into buckets, with claims, merges, packing, checkpoints and
// vacuums between, and compares with the twin.
func TestHistoriesInABucket(t *testing.T) {
	server := testenv.NewS3(t)
	for _, keyless := range []bool{false, true} {
		for _, seed := range seeds(t, 2) {
			t.Run(fmt.Sprintf("keyless=%v/seed=%d", keyless, seed), func(t *testing.T) {
				b := newBucketLake(t, server)
				w := newWorld(t, seed, 1+int(seed%3), keyless)
				rng := rand.New(rand.NewPCG(seed, 2))
				gen := uint64(1)
				sink := b.sink(t, server.Endpoint)
				d := &deliverer{w: w, table: open(t, sink, claim(w.schemas, gen))}
				d.seek()
				for range 40 {
					for range 1 + rng.IntN(6) {
						w.step()
					}
					switch rng.IntN(10) {
					case 0:
						gen++
						d.table.Close()
						sink = b.sink(t, server.Endpoint)
						d.table = open(t, sink, claim(w.schemas, gen))
						d.seek()
					case 1, 2:
						must[int](t)(0, d.flush())
						must[int](t)(0, d.table.current.MergeNow())
					case 3:
						must[int](t)(0, d.flush())
						must[int](t)(0, d.table.changes.Checkpoint(t.Context(), keepOf(d.table)))
						must[int](t)(0, d.table.changes.Vacuum(t.Context()))
					case 4:
						must[int](t)(0, pack(d.table))
					default:
						must[int](t)(0, d.write(rng.IntN(len(w.queues)), 1+rng.IntN(8)))
					}
				}
				w.settle()
				b.finish(t, d)
			})
		}
	}
}

// finish delivers the rest and compares the lake with the twin.
func (b *bucketLake) finish(t *testing.T, d *deliverer) {
	t.Helper()
	for q := range d.w.queues {
		must[int](t)(0, d.write(q, len(d.w.queues[q])))
	}
	must[int](t)(0, d.flush())
	if err := d.table.current.MergeNow(); err != nil { // a late merge of an owner before this one
		t.Log("merged again: ", err)
		must[int](t)(0, d.table.current.MergeNow())
	}
	b.compare(t, d.w, d.flushed)
}

func (b *bucketLake) compare(t *testing.T, w *world, upTo []int) {
	t.Helper()
	w.t = t
	w.identities(vfs.OS(), b.table(), upTo)
	want := w.view(upTo)
	if got := shown(t, vfs.OS(), b.table(), w.newestSchema(upTo)); !slices.Equal(got, want) {
		t.Fatalf("current/ shows\n  %s\nnot\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// changing reports whether a request may change what is stored.
func changing(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// scene is a short life of a table: claims, flushes, merges, a checkpoint, a vacuum, packing.
func scene(w *world, sink *Sink, acked func([]int)) error {
	rng := rand.New(rand.NewPCG(7, 3))
	d := &deliverer{w: w}
	defer func() {
		if d.table != nil {
			d.table.Close()
		}
	}()
	for round := range 5 {
		if round%3 == 0 {
			if d.table != nil {
				d.table.Close()
			}
			table, err := sink.openTable(context.Background(), claim(w.schemas, uint64(1+round)))
			if err != nil {
				return err
			}
			d.table = table
			d.seek()
		}
		for q := range w.queues {
			if err := d.write(q, 3+rng.IntN(6)); err != nil {
				return err
			}
		}
		if err := d.flush(); err != nil {
			return err
		}
		acked(d.flushed)
		if err := d.table.current.MergeNow(); err != nil {
			return err
		}
		var err error
		switch round {
		case 1:
			err = d.table.changes.Checkpoint(context.Background(), keepOf(d.table))
		case 2:
			err = d.table.changes.Vacuum(context.Background())
		case 4:
			err = pack(d.table)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestEveryCrashInABucketRecovers ends the process at each request in turn that may change
// something: before it is sent, or after it was done and before the answer came, or so that it
// arrives when the next owner is at work.
func TestEveryCrashInABucketRecovers(t *testing.T) {
	server := testenv.NewS3(t)
	seed := uint64(1)
	total := int64(0)
	b := newBucketLake(t, server)
	proxy := testenv.NewFaultProxy(t, server.Address)
	proxy.Set(func(r *http.Request) testenv.Fault {
		if changing(r) {
			atomic.AddInt64(&total, 1)
		}
		return testenv.Fault{}
	})
	must[int](t)(0, scene(smallWorld(t, seed, false), b.sink(t, proxy.Endpoint), func([]int) {}))
	if total < 30 {
		t.Fatalf("there are only %d requests to crash at", total)
	}
	for at := int64(1); at <= total; at++ {
		for _, kind := range []testenv.FaultKind{testenv.Drop, testenv.LoseAnswer, testenv.Late} {
			crashInABucket(t, server, seed, at, kind)
		}
	}
}

func crashInABucket(t *testing.T, server *testenv.S3, seed uint64, at int64, kind testenv.FaultKind) {
	t.Helper()
	b := newBucketLake(t, server)
	proxy := testenv.NewFaultProxy(t, server.Address)
	defer proxy.Close()
	var n atomic.Int64
	var what atomic.Value
	proxy.Set(func(r *http.Request) testenv.Fault {
		if n.Load() >= at { // nobody is there any more who could ask
			return testenv.Fault{Kind: testenv.Drop}
		}
		if changing(r) && n.Add(1) == at {
			what.Store(r.Method + " " + r.URL.Path)
			return testenv.Fault{Kind: kind}
		}
		return testenv.Fault{}
	})
	w := smallWorld(t, seed, false)
	var acked []int
	err := scene(w, b.sink(t, proxy.Endpoint), func(f []int) { acked = slices.Clone(f) })
	if err == nil && n.Load() < at {
		return // merges run beside, and this time there were fewer requests
	}
	describe := fmt.Sprintf("crash %d at %v (%v)", at, what.Load(), kind)
	table, err := b.sink(t, server.Endpoint).openTable(t.Context(), claim(w.schemas, 100))
	if err != nil {
		t.Fatalf("%s: %v", describe, err)
	}
	defer table.Close()
	proxy.Release() // what was late arrives now
	d := &deliverer{w: w, table: table}
	d.seek()
	for q := range acked {
		if d.at[q] < acked[q] {
			t.Fatalf("%s: queue %d: the mark is at message %d, %d were acknowledged", describe, q, d.at[q], acked[q])
		}
	}
	b.finish(t, d)
	if t.Failed() {
		t.Fatal(describe)
	}
}

// TestABucketThatFails has requests fail at random, and the table opened again when it must
// be. Nothing is lost or doubled.
func TestABucketThatFails(t *testing.T) {
	server := testenv.NewS3(t)
	for _, seed := range seeds(t, 4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			b := newBucketLake(t, server)
			proxy := testenv.NewFaultProxy(t, server.Address)
			proxy.Set(randomFaults(seed))
			w := newWorld(t, seed, 2, seed%2 == 0)
			for range 60 {
				w.step()
			}
			w.settle()
			d := &deliverer{w: w}
			sink, gen, opened := b.sink(t, proxy.Endpoint), uint64(0), 0
			tries := 0
			again := func(err error) bool {
				if tries++; tries > 500 {
					t.Fatalf("it does not get on: %v", err)
				}
				return err != nil
			}
			reopen := func() {
				if d.table != nil {
					d.table.Close()
				}
				for {
					gen++
					opened++
					table, err := sink.openTable(t.Context(), claim(w.schemas, gen))
					if !again(err) {
						d.table = table
						d.seek()
						return
					}
				}
			}
			reopen()
			for slices.ContainsFunc([]int{0, 1}, func(q int) bool { return d.flushed[q] < len(w.queues[q]) }) {
				var err error
				for q := range w.queues {
					if err == nil {
						err = d.write(q, 5)
					}
				}
				if err == nil {
					err = d.flush()
				}
				if err == nil {
					_ = d.table.current.MergeNow() // it is tried again by the next
					err = d.table.changes.Broken
				}
				switch {
				case errors.Is(err, pipeline.ErrUnwritable):
					again(err)
					d.seek()
				case again(err):
					reopen()
				}
			}
			proxy.Set(nil)
			proxy.Release()
			reopen()
			b.finish(t, d)
			t.Logf("%d claims, %d tries", opened, tries)
		})
	}
}

// randomFaults lets one request in ten go wrong, and sometimes all for a while.
func randomFaults(seed uint64) func(*http.Request) testenv.Fault {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 5))
	faults := []testenv.Fault{{Kind: testenv.Drop}, {Kind: testenv.LoseAnswer}, {Kind: testenv.CutRequest}, {Kind: testenv.CutAnswer}, {Kind: testenv.Twice},
		{Kind: testenv.Late}, {Kind: testenv.Landed, Status: 500, Code: "InternalError"}, {Kind: testenv.Refuse, Status: 503, Code: "SlowDown"},
		{Kind: testenv.Refuse, Status: 403, Code: "AccessDenied"}}
	out := 0
	return func(r *http.Request) testenv.Fault {
		mu.Lock()
		defer mu.Unlock()
		if out > 0 {
			out--
			return testenv.Fault{Kind: testenv.Drop}
		}
		switch n := rng.IntN(1000); {
		case n < 4:
			out = 30
		case n > 100:
			return testenv.Fault{}
		}
		f := faults[rng.IntN(len(faults))]
		if f.Kind == testenv.Late && !changing(r) {
			f.Kind = testenv.Drop
		}
		return f
	}
}

// The process that TestKilledInABucket kills: it brings a world into a lake, and says after
// each flush how far it is.
const (
	workerEnv  = "MILLRACE_TEST_LAKE_WORKER"
	workerSeed = 5
)

func workerWorld(t testing.TB) *world {
	w := newWorld(t, workerSeed, 2, false)
	for range 400 {
		w.step()
	}
	w.settle()
	return w
}

func TestLakeWorker(t *testing.T) {
	spec := os.Getenv(workerEnv)
	if spec == "" {
		t.Skip("this is a process of TestKilledInABucket's")
	}
	var b bucketLake
	var gen uint64
	b.server = &testenv.S3{}
	if _, err := fmt.Sscan(spec, &b.name, &b.server.Endpoint, &b.server.Access, &b.server.Secret, &b.server.Dir, &gen); err != nil {
		t.Fatal(err)
	}
	w := workerWorld(t)
	d := &deliverer{w: w, table: open(t, b.sink(t, b.server.Endpoint), claim(w.schemas, gen))}
	d.seek()
	for i := 0; d.flushed[0] < len(w.queues[0]) || d.flushed[1] < len(w.queues[1]); i++ {
		for q := range w.queues {
			must[int](t)(0, d.write(q, 3))
		}
		must[int](t)(0, d.flush())
		fmt.Printf("flushed %d %d\n", d.flushed[0], d.flushed[1])
		if i%4 == 3 {
			must[int](t)(0, d.table.current.MergeNow())
		}
		if i%16 == 15 {
			must[int](t)(0, d.table.changes.Checkpoint(t.Context(), keepOf(d.table)))
			must[int](t)(0, d.table.changes.Vacuum(t.Context()))
		}
	}
	fmt.Println("all is flushed")
}

// TestKilledInABucket kills a process again and again that writes a lake into a bucket, each
// time after another number of flushes, and has the next go on.
func TestKilledInABucket(t *testing.T) {
	server := testenv.NewS3(t)
	b := newBucketLake(t, server)
	w := workerWorld(t)
	acked := []int{0, 0}
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	kills := 0
	for gen := 1; ; gen++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLakeWorker$", "-test.v")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %s %s %d", workerEnv, b.name, server.Endpoint, server.Access, server.Secret, server.Dir, gen))
		out := must[interface{ Read([]byte) (int, error) }](t)(cmd.StdoutPipe())
		cmd.Stderr = os.Stderr
		must[int](t)(0, cmd.Start())
		lines, left, done := bufio.NewScanner(out), 1+rng.IntN(5), false
		var said []string
		for lines.Scan() {
			said = append(said, lines.Text())
			var now [2]int
			if _, err := fmt.Sscanf(lines.Text(), "flushed %d %d", &now[0], &now[1]); err == nil {
				if now[0] < acked[0] || now[1] < acked[1] {
					t.Errorf("generation %d is at %v, %v were acknowledged", gen, now, acked)
				}
				acked = now[:]
				if left--; left == 0 {
					must[int](t)(0, cmd.Process.Kill())
				}
			}
			done = done || lines.Text() == "all is flushed"
		}
		err := cmd.Wait()
		if done {
			break
		}
		if left > 0 {
			t.Fatalf("generation %d ended by itself (%v):\n%s", gen, err, strings.Join(said, "\n"))
		}
		kills++
	}
	if kills < 5 {
		t.Fatalf("only %d processes were killed", kills)
	}
	d := &deliverer{w: w, table: open(t, b.sink(t, server.Endpoint), claim(w.schemas, 1<<20))}
	d.seek()
	b.finish(t, d)
	t.Logf("%d processes were killed", kills)
}

// TestScratchOfABucketGoes: files in the making of a process that was killed go when the next
// one makes its own.
func TestScratchOfABucketGoes(t *testing.T) {
	server := testenv.NewS3(t)
	b := newBucketLake(t, server)
	cfg := b.config(server.Endpoint)
	cfg.Scratch = filepath.ToSlash(t.TempDir())
	store, scratch, err := OpenStore(&cfg, vfs.OS(), "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := must[*objects.Scratch](t)(scratch())
	f := must[*objects.File](t)(s.Create())
	fmt.Fprint(f, "x")
	if names := must[[]string](t)(vfs.OS().ReadDir(cfg.Scratch + "/lake-scratch")); len(names) != 2 {
		t.Errorf("scratch is not where it was said to be: %q", names)
	}
	must[int](t)(0, f.Close())
	must[int](t)(0, store.(interface{ Close() error }).Close())
	if names := must[[]string](t)(vfs.OS().ReadDir(cfg.Scratch + "/lake-scratch")); len(names) != 0 {
		t.Errorf("left: %q", names)
	}
}

// TestPurgeOfABucket removes a pipeline's tables and nothing else.
func TestPurgeOfABucket(t *testing.T) {
	server := testenv.NewS3(t)
	b := newBucketLake(t, server)
	sink := b.sink(t, server.Endpoint)
	w := smallWorld(t, 1, false)
	must[int](t)(0, scene(w, sink, func([]int) {}))
	must[int](t)(0, sink.KeepStatus(t.Context(), "p", []pipeline.TableFreshness{{Table: tableName, State: "up to date"}}))
	for _, foreign := range []string{"p/notes.txt", "p/other/x", "p2/shop.orders/changes/x"} {
		must[int](t)(0, sink.Store.PutIfAbsent(t.Context(), foreign, strings.NewReader("x")))
	}
	removed := must[[]string](t)(sink.Purge(t.Context(), "p"))
	if want := []string{sink.cfg.Path + "/p/_status", sink.cfg.Path + "/p/shop.orders"}; !slices.Equal(removed, want) {
		t.Errorf("removed %q, not %q", removed, want)
	}
	var left []string
	for info, err := range sink.Store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, info.Name)
	}
	if want := []string{"p/notes.txt", "p/other/x", "p2/shop.orders/changes/x"}; !slices.Equal(left, want) {
		t.Errorf("left %q, not %q", left, want)
	}
}

// TestViewsOfABucket are statements that name the store, and none of its keys.
func TestViewsOfABucket(t *testing.T) {
	cfg := testConfig("s3://lake/some where")
	cfg.S3.Endpoint, cfg.S3.PathStyle, cfg.S3.Credentials, cfg.S3.AccessKey, cfg.S3.SecretKey = "http://minio:9000", true, "static", "my-key", "my-secret"
	amazon := testConfig("s3://lake")
	amazon.S3.Region = "eu-west-3"
	for _, tc := range []struct {
		cfg  Config
		want map[string]string
	}{
		{cfg, map[string]string{
			"duckdb.sql":     "SECRET (TYPE s3, KEY_ID '…', SECRET '…', REGION 'us-east-1', ENDPOINT 'minio:9000', USE_SSL false, URL_STYLE 'path');\n|delta_scan('s3://lake/some where/p/shop.orders/current')",
			"clickhouse.sql": "deltaLake('http://minio:9000/lake/some%20where/p/shop.orders/current')",
			"spark.sql":      "LOCATION 's3a://lake/some where/p/shop.orders/changes'",
		}},
		{amazon, map[string]string{
			"duckdb.sql":     "REGION 'eu-west-3');\n|delta_scan('s3://lake/p/shop.orders/changes')",
			"clickhouse.sql": "deltaLake('https://lake.s3.eu-west-3.amazonaws.com/p/shop.orders/changes')",
			"spark.sql":      "LOCATION 's3a://lake/p/shop.orders/current'",
		}},
	} {
		s := testSink(t, vfs.NewMem(), tc.cfg)
		table := &Table{Owner: lake.NewOwner(s.Lake, claim(schemas{}, 1), "p/shop.orders")}
		for name, text := range table.views() {
			for part := range strings.SplitSeq(tc.want[name], "|") {
				if !strings.Contains(text, part) {
					t.Errorf("%s lacks %s:\n%s", name, part, text)
				}
			}
			if strings.Contains(text, "my-") {
				t.Errorf("%s holds a key:\n%s", name, text)
			}
		}
	}
}

// TestPreflightOfABucket names what is wrong with a store, and what to do about it.
func TestPreflightOfABucket(t *testing.T) {
	server := testenv.NewS3(t)
	b := newBucketLake(t, server)
	if problems, err := b.sink(t, server.Endpoint).Preflight(t.Context()); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	gone := &bucketLake{server: server, name: "no-such-bucket"}
	problems, err := gone.sink(t, server.Endpoint).Preflight(t.Context())
	if err != nil || len(problems) != 1 || !problems[0].Fatal || problems[0].Thing != "path s3://no-such-bucket/some/where" ||
		!strings.Contains(problems[0].Found, "create the bucket no-such-bucket") {
		t.Errorf("%+v, %v", problems, err)
	}
}

// TestUnfinishedUploadsOfABucketGo: what a killed process has sent of a large file is removed
// by a vacuum once it is old.
func TestUnfinishedUploadsOfABucketGo(t *testing.T) {
	server := testenv.NewS3(t)
	b := newBucketLake(t, server)
	proxy := testenv.NewFaultProxy(t, server.Address)
	sink := b.sink(t, proxy.Endpoint)
	proxy.Set(func(r *http.Request) testenv.Fault {
		if r.URL.Query().Has("uploadId") {
			return testenv.Fault{Kind: testenv.Refuse, Status: 403, Code: "AccessDenied"}
		}
		return testenv.Fault{}
	})
	if err := sink.Store.PutIfAbsent(t.Context(), "p/shop.orders/changes/x", strings.NewReader(strings.Repeat("x", 9<<20))); err == nil {
		t.Fatal("the put went through")
	}
	proxy.Set(nil)
	w := smallWorld(t, 1, false)
	table := open(t, sink, claim(w.schemas, 1))
	removals := func() (n int) {
		for _, r := range proxy.Seen() {
			if strings.HasPrefix(r, "DELETE ") && strings.Contains(r, "uploadId") {
				n++
			}
		}
		return n
	}
	cfg := sink.cfg
	cfg.Keep = DefaultConfig().Keep
	configure(sink, cfg)
	proxy.Set(nil) // and count anew: the store was tried with an upload
	must[int](t)(0, table.changes.Vacuum(t.Context()))
	if removals() != 0 {
		t.Error("a young upload was removed")
	}
	sink.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
	must[int](t)(0, table.changes.Vacuum(t.Context()))
	if n, err := sink.Store.(lake.Uploader).AbortUploads(t.Context(), time.Now().Add(time.Hour)); n != 0 || err != nil || removals() != 1 {
		t.Errorf("%d uploads are there (%v), %d were removed", n, err, removals())
	}
}
