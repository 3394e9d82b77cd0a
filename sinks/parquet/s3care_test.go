package parquet

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

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
