package parquet

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/sinks/objects/s3"
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

// The process that TestKilledInABucket kills: it brings a world into a lake, and says after
// each flush how far it is.
const (
	workerEnv  = "MILLRACE_TEST_LAKE_WORKER"
	workerSeed = 5
)
