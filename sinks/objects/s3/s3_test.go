package s3_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/objects/s3"
	"github.com/millrace/millrace/sinks/objects/storetest"
)

var buckets atomic.Int64

// bucket makes a bucket with a name of its own.
func bucket(t *testing.T, server *testenv.S3) string {
	t.Helper()
	name := fmt.Sprintf("lake-%d", buckets.Add(1))
	ok(t, server.MakeBucket(t.Context(), name))
	return name
}

// of is the configuration of a server as its root.
func of(server *testenv.S3) s3.Config {
	c := s3.DefaultConfig()
	c.Endpoint, c.Credentials, c.AccessKey, c.SecretKey = server.Endpoint, "static", server.Access, config.Secret(server.Secret)
	return c
}

// quick makes many tries without waiting for long.
func quick() s3.Retry { return s3.Retry{Tries: 9, Base: time.Millisecond, Most: 4 * time.Millisecond} }

func open(t *testing.T, path string, cfg s3.Config) *s3.Store {
	t.Helper()
	dir := t.TempDir()
	scratch := sync.OnceValues(func() (*objects.Scratch, error) { return objects.OpenScratch(vfs.OS(), dir) })
	s, err := s3.New(path, cfg, s3.Deps{Scratch: scratch, Retry: quick()})
	ok(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// seeds are what a random test runs with: MILLRACE_SEED, or n new ones.
func seeds(t *testing.T, n int) []uint64 {
	t.Helper()
	if text := os.Getenv("MILLRACE_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		ok(t, err)
		return []uint64{seed}
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = rand.Uint64()
	}
	return list
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	if text := os.Getenv("MILLRACE_TEST_S3"); text != "" {
		storetest.Run(t, another(t, text))
		return
	}
	server := testenv.NewS3(t)
	at := func(prefix string) func(t *testing.T) objects.Store {
		return func(t *testing.T) objects.Store { return open(t, "s3://"+bucket(t, server)+prefix, of(server)) }
	}
	t.Run("prefix", func(t *testing.T) { storetest.Run(t, at("/some/where")) })
	t.Run("bucket", func(t *testing.T) { storetest.Names(t, at("")) })
}

// another makes stores of what MILLRACE_TEST_S3 names, as http://key:secret@host:port/bucket
// with a bucket that is there and empty.
func another(t *testing.T, text string) func(t *testing.T) objects.Store {
	t.Helper()
	u, err := url.Parse(text)
	ok(t, err)
	secret, _ := u.User.Password()
	c := s3.DefaultConfig()
	c.Endpoint, c.PathStyle, c.Credentials = u.Scheme+"://"+u.Host, true, "static"
	c.AccessKey, c.SecretKey = u.User.Username(), config.Secret(secret)
	prefix := fmt.Sprintf("s3:/%s/%d", u.Path, time.Now().UnixNano())
	ok(t, open(t, prefix+"/probe", c).Check(t.Context()))
	n := 0
	return func(t *testing.T) objects.Store {
		n++
		return open(t, fmt.Sprintf("%s/%d", prefix, n), c)
	}
}
