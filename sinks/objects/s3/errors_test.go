package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/objects/s3"
)

// TestErrorsNameThingCauseAndRemedy has a store refuse, really where the gateway can.
func TestErrorsNameThingCauseAndRemedy(t *testing.T) {
	server := testenv.NewS3(t)
	f := newFaulty(t, server)
	ok(t, server.AddUser(t.Context(), "stranger", "stranger-secret"))
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	tls.StartTLS()
	defer tls.Close()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, k := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(k, "")
		os.Unsetenv(k)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	ok(t, os.WriteFile(file, []byte("[other]\naws_access_key_id=a\naws_secret_access_key=b\n"), 0o600))
	refuse := func(status int, code string) func(*http.Request) testenv.Fault {
		return func(*http.Request) testenv.Fault {
			return testenv.Fault{Kind: testenv.Refuse, Status: status, Code: code}
		}
	}
	for _, tc := range []struct {
		name   string
		path   string
		change func(*s3.Config)
		faults func(*http.Request) testenv.Fault
		want   []string // parts of the text
		also   error
	}{
		{name: "missing bucket", path: "s3://no-such-bucket/p", want: []string{"s3://no-such-bucket/p/", "NoSuchBucket", "create the bucket no-such-bucket"}},
		{name: "unknown key", change: func(c *s3.Config) { c.AccessKey = "nobody" },
			want: []string{"InvalidAccessKeyId", "no such access key: see s3.credentials"}, also: fs.ErrPermission},
		{name: "wrong secret", change: func(c *s3.Config) { c.SecretKey = "wrong" },
			want: []string{"SignatureDoesNotMatch", "does not belong to the access key"}, also: fs.ErrPermission},
		{name: "no permission", change: func(c *s3.Config) { c.AccessKey, c.SecretKey = "stranger", "stranger-secret" },
			want: []string{"AccessDenied", "allow s3:GetObject, s3:PutObject"}, also: fs.ErrPermission},
		{name: "wrong region", change: func(c *s3.Config) { c.Region = "eu-central-1" }, want: []string{"set s3.region"}},
		{name: "bucket elsewhere", faults: func(*http.Request) testenv.Fault {
			return testenv.Fault{Kind: testenv.Refuse, Status: 301, Code: "PermanentRedirect",
				Header: http.Header{"X-Amz-Bucket-Region": {"eu-west-3"}}}
		}, want: []string{"PermanentRedirect", "set s3.region: eu-west-3"}},
		{name: "throttled", faults: refuse(503, "SlowDown"), want: []string{"SlowDown", "fewer requests"}, also: objects.ErrUnknown},
		{name: "full", faults: refuse(507, "InsufficientStorage"), want: []string{"free space in the store"}},
		{name: "expired", faults: refuse(400, "ExpiredToken"), want: []string{"ExpiredToken", "renew them where s3.credentials says"}},
		{name: "skewed", faults: refuse(403, "RequestTimeTooSkewed"), want: []string{"RequestTimeTooSkewed", "set this machine's clock"}},
		{name: "no endpoint", change: func(c *s3.Config) { c.Endpoint = "http://127.0.0.1:1" }, want: []string{"connection refused", "see that the store at http://127.0.0.1:1 runs"}},
		{name: "no TLS there", change: func(c *s3.Config) { c.Endpoint = strings.Replace(server.Endpoint, "http:", "https:", 1) }, want: []string{"write http:// in s3.endpoint"}},
		{name: "foreign certificate", change: func(c *s3.Config) { c.Endpoint = tls.URL }, want: []string{"certificate", "SSL_CERT_FILE"}},
		{name: "nothing in the environment", change: func(c *s3.Config) { *c = s3.DefaultConfig(); c.Endpoint = server.Endpoint },
			want: []string{"no credentials from s3.credentials: env", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}},
		{name: "no such profile", change: func(c *s3.Config) {
			*c = s3.DefaultConfig()
			c.Endpoint, c.Credentials, c.File = server.Endpoint, "file", file
		},
			want: []string{"no credentials from s3.credentials: file", "has a profile [default]"}},
		{name: "not S3", change: func(c *s3.Config) { c.Endpoint = plain(t) }, want: []string{"s3://lake-", "[404]", "see that s3.endpoint is an object store's"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg, path := of(server), f.path
			cfg.Endpoint = f.proxy.Endpoint
			if tc.path != "" {
				path = tc.path
			}
			if tc.change != nil {
				tc.change(&cfg)
			}
			s := open(t, path, cfg)
			f.proxy.Set(tc.faults)
			defer f.proxy.Set(nil)
			err := s.Check(t.Context())
			if err == nil {
				t.Fatal("there is no error")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q:\n%v", part, err)
				}
			}
			if tc.also != nil && !errors.Is(err, tc.also) {
				t.Errorf("%v is not %v", err, tc.also)
			}
			if strings.Contains(err.Error(), server.Secret) || strings.Contains(err.Error(), "RequestID: ,") {
				t.Errorf("the error holds what it must not: %v", err)
			}
			t.Log(err)
		})
	}
}

// plain is a web server that is no object store.
func plain(t *testing.T) string {
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.URL
}

// TestClockIsCorrected runs with a clock that stands in the year 2000; the store's is right.
func TestClockIsCorrected(t *testing.T) {
	server := testenv.NewS3(t)
	path := "s3://" + bucket(t, server)
	proxy := testenv.NewFaultProxy(t, server.Address)
	var refused atomic.Int64
	proxy.Set(func(r *http.Request) testenv.Fault {
		if strings.HasPrefix(r.Header.Get("X-Amz-Date"), "2000") {
			refused.Add(1)
		}
		return testenv.Fault{}
	})
	synctest.Test(t, func(t *testing.T) {
		cfg := of(server)
		cfg.Endpoint = proxy.Endpoint
		s, err := s3.New(path, cfg, s3.Deps{Retry: s3.Retry{Tries: 9}})
		ok(t, err)
		defer s.Close()
		before := time.Now()
		if before.Year() != 2000 {
			t.Fatalf("the clock says %v", before)
		}
		ok(t, s.PutIfAbsent(t.Context(), "x", strings.NewReader("x")))
		if refused.Load() == 0 {
			t.Error("no request was signed with the wrong clock")
		}
		for info, err := range s.List(t.Context(), "", "") {
			ok(t, err)
			if d := info.Modified.Sub(before).Abs(); d > time.Hour {
				t.Errorf("by this clock (%v) the object was written at %v", before, info.Modified)
			}
		}
	})
}

// TestCredentialsAreReadAgain: a file whose keys were renewed is read when the store refuses
// the old ones.
func TestCredentialsAreReadAgain(t *testing.T) {
	server := testenv.NewS3(t)
	file := filepath.Join(t.TempDir(), "credentials")
	write := func(access, secret string) {
		ok(t, os.WriteFile(file, fmt.Appendf(nil, "[lake]\naws_access_key_id = %s\naws_secret_access_key = %s\n", access, secret), 0o600))
	}
	write(server.Access, server.Secret)
	t.Setenv("AWS_ACCESS_KEY_ID", "of-somebody-else")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of-somebody-else")
	f := newFaulty(t, server)
	cfg := s3.DefaultConfig()
	cfg.Endpoint, cfg.Credentials, cfg.File, cfg.Profile = f.proxy.Endpoint, "file", file, "lake"
	s := open(t, f.path, cfg)
	ok(t, s.PutIfAbsent(t.Context(), "first", strings.NewReader("x")))

	ok(t, server.AddUser(t.Context(), "renewed", "renewed-secret"))
	write("renewed", "renewed-secret")
	var with atomic.Value
	f.proxy.Set(func(r *http.Request) testenv.Fault {
		auth := r.Header.Get("Authorization")
		if strings.Contains(auth, "Credential="+server.Access+"/") {
			return testenv.Fault{Kind: testenv.Refuse, Status: 400, Code: "ExpiredToken"}
		}
		with.Store(auth)
		return testenv.Fault{}
	})
	// The new account may do nothing there: that it is refused shows that it was asked.
	err := s.PutIfAbsent(t.Context(), "second", strings.NewReader("x"))
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(fmt.Sprint(with.Load()), "Credential=renewed/") {
		t.Errorf("got %v, signed with %v", err, with.Load())
	}

	t.Setenv("AWS_ACCESS_KEY_ID", server.Access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.Secret)
	cfg = s3.DefaultConfig()
	cfg.Endpoint = server.Endpoint
	ok(t, open(t, f.path, cfg).PutIfAbsent(t.Context(), "third", strings.NewReader("x")))
}

// blind takes the condition out of requests of some kinds, and signs them anew: what stores
// do that do not know it.
func blind(server *testenv.S3, kinds ...string) func(*http.Request) testenv.Fault {
	return func(r *http.Request) testenv.Fault {
		if !strings.Contains(strings.Join(kinds, " "), kind(r)) || r.Header.Get("If-None-Match") == "" {
			return testenv.Fault{}
		}
		return testenv.Fault{Change: func(r *http.Request) {
			r.Header.Del("If-None-Match")
			r.Header.Del("Authorization")
			err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(context.Background(),
				aws.Credentials{AccessKeyID: server.Access, SecretAccessKey: server.Secret}, r, r.Header.Get("X-Amz-Content-Sha256"), "s3",
				server.Region, time.Now())
			if err != nil {
				panic(err)
			}
		}}
	}
}

func TestStoreWithoutConditionalPuts(t *testing.T) {
	server := testenv.NewS3(t)
	proxy := testenv.NewFaultProxy(t, server.Address)
	cfg := of(server)
	cfg.Endpoint = proxy.Endpoint
	path := "s3://" + bucket(t, server)

	proxy.Set(blind(server, "put", "complete"))
	s := open(t, path, cfg)
	err := s.PutIfAbsent(t.Context(), "x", strings.NewReader("x"))
	if !errors.Is(err, s3.ErrNoConditionalPut) || !strings.Contains(err.Error(), "of 4 conditional puts") ||
		!strings.Contains(err.Error(), proxy.Endpoint) {
		t.Errorf("got %v", err)
	}
	t.Log(err)

	proxy.Set(func(r *http.Request) testenv.Fault {
		if r.Header.Get("If-None-Match") != "" {
			return testenv.Fault{Kind: testenv.Refuse, Status: 501, Code: "NotImplemented"}
		}
		return testenv.Fault{}
	})
	if err := open(t, path, cfg).PutIfAbsent(t.Context(), "x", strings.NewReader("x")); !errors.Is(err, s3.ErrNoConditionalPut) {
		t.Errorf("got %v", err)
	}

	// Where only parts are completed without it, nothing is sent in parts.
	for _, faults := range []func(*http.Request) testenv.Fault{
		blind(server, "complete"),
		func(r *http.Request) testenv.Fault {
			if kind(r) == "complete" && r.Header.Get("If-None-Match") != "" {
				return testenv.Fault{Kind: testenv.Refuse, Status: 501, Code: "NotImplemented"}
			}
			return testenv.Fault{}
		},
	} {
		proxy.Set(faults)
		s = open(t, path, cfg)
		ok(t, s.Check(t.Context()))
		large := strings.Repeat("x", 17<<20)
		proxy.Set(faults) // and count anew
		ok(t, s.PutIfAbsent(t.Context(), "large", strings.NewReader(large)))
		for _, r := range proxy.Seen() {
			if strings.Contains(r, "upload") {
				t.Errorf("sent in parts: %s", r)
			}
		}
		if err := s.PutIfAbsent(t.Context(), "large", strings.NewReader(large+"y")); !errors.Is(err, objects.ErrExists) {
			t.Errorf("got %v", err)
		}
		ok(t, s.Delete(t.Context(), "large"))
	}
	for info, err := range open(t, path, of(server)).List(t.Context(), "", "") {
		t.Errorf("left behind: %v, %v", info, err)
	}
}

// TestNothingSecretIsLogged goes through failures with everything logged.
func TestNothingSecretIsLogged(t *testing.T) {
	server := testenv.NewS3(t)
	f := newFaulty(t, server)
	var log bytes.Buffer
	cfg := of(server)
	cfg.Endpoint = f.proxy.Endpoint
	s, err := s3.New(f.path, cfg, s3.Deps{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Retry: quick()})
	ok(t, err)
	defer s.Close()
	f.proxy.Set(func(r *http.Request) testenv.Fault { return testenv.Fault{Kind: testenv.Refuse, Status: 500} })
	err = s.PutIfAbsent(t.Context(), "x", strings.NewReader("x"))
	text := log.String() + fmt.Sprint(err) + fmt.Sprintf("%+v %#v", cfg, err)
	if log.Len() == 0 {
		t.Error("nothing is logged at all")
	}
	for _, secret := range []string{server.Secret, "Signature", "AWS4-HMAC"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q shows in:\n%s", secret, text)
		}
	}
}

// pattern is a large body that takes no memory.
type pattern int64

func (p pattern) Size() int64 { return int64(p) }
func (p pattern) ReadAt(b []byte, off int64) (int, error) {
	for i := range b {
		b[i] = byte(off + int64(i))
	}
	return len(b), nil
}

// TestMemoryIsBounded sends and fetches much more than it may hold.
func TestMemoryIsBounded(t *testing.T) {
	server := testenv.NewS3(t)
	s := open(t, "s3://"+bucket(t, server), of(server))
	ok(t, s.Check(t.Context()))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const size = 96 << 20
	ok(t, s.PutIfAbsent(t.Context(), "large", pattern(size)))
	o, err := s.Open(t.Context(), "large")
	ok(t, err)
	defer o.Close()
	b := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(b)) {
		if n, err := o.ReadAt(b, at); n < len(b) || b[5] != byte(at+5) {
			t.Fatalf("at %d: %d bytes, %v", at, n, err)
		}
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > size/3 {
		t.Errorf("%d bytes were allocated for an object of %d", took, size)
	}
}

// TestUploadsThatNobodyCompletes are removed by age, and by nothing else.
func TestUploadsThatNobodyCompletes(t *testing.T) {
	f := newFaulty(t, testenv.NewS3(t))
	f.proxy.Set(func(r *http.Request) testenv.Fault {
		if kind(r) == "part" || kind(r) == "delete" {
			return testenv.Fault{Kind: testenv.Refuse, Status: 403, Code: "AccessDenied"}
		}
		return testenv.Fault{}
	})
	for i := range 3 {
		if err := f.behind.PutIfAbsent(t.Context(), fmt.Sprintf("x%d", i), pattern(9<<20)); err == nil {
			t.Fatal("the put went through")
		}
	}
	n, err := f.direct.AbortUploads(t.Context(), time.Now().Add(-time.Hour))
	if err != nil || n != 0 {
		t.Errorf("%d young ones were removed, %v", n, err)
	}
	n, err = f.direct.AbortUploads(t.Context(), time.Now().Add(time.Hour))
	if err != nil || n != 3 {
		t.Errorf("%d of 3 were removed, %v", n, err)
	}
}

// TestKeysOfTheEnvironmentAreTaken also where AWS_PROFILE is set, which names one of a file.
func TestKeysOfTheEnvironmentAreTaken(t *testing.T) {
	server := testenv.NewS3(t)
	t.Setenv("AWS_ACCESS_KEY_ID", server.Access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.Secret)
	for _, profile := range []string{"", "nobody"} {
		t.Setenv("AWS_PROFILE", profile)
		cfg := s3.DefaultConfig()
		cfg.Endpoint = server.Endpoint
		if err := open(t, "s3://"+bucket(t, server), cfg).Check(t.Context()); err != nil {
			t.Errorf("AWS_PROFILE=%q: %v", profile, err)
		}
	}
}

// TestAListingWithoutItsEndIsNone: a store that says that there is more, and not how to ask for
// it, is not taken to have no more.
func TestAListingWithoutItsEndIsNone(t *testing.T) {
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("uploads") {
			fmt.Fprint(w, `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>`)
			return
		}
		fmt.Fprint(w, `<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>p/a</Key><Size>1</Size></Contents><CommonPrefixes><Prefix>p/d/</Prefix></CommonPrefixes></ListBucketResult>`)
	}))
	t.Cleanup(store.Close)
	cfg := s3.DefaultConfig()
	cfg.Endpoint, cfg.Credentials, cfg.AccessKey, cfg.SecretKey = store.URL, "static", "a", "b"
	s := open(t, "s3://bucket/p", cfg)
	check := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "and not how to ask for it (choose a store") {
			t.Errorf("%s: %v", what, err)
		}
	}
	var last error
	for _, err := range s.List(t.Context(), "", "") {
		last = err
	}
	check("objects", last)
	_, err := s.Dirs(t.Context(), "")
	check("directories", err)
	_, err = s.AbortUploads(t.Context(), time.Now())
	check("uploads", err)
}

func TestConfig(t *testing.T) {
	base := func(change func(*s3.Config)) s3.Config {
		c := s3.DefaultConfig()
		change(&c)
		return c
	}
	for _, tc := range []struct {
		cfg  s3.Config
		want string
	}{
		{base(func(c *s3.Config) {}), ""},
		{base(func(c *s3.Config) { c.Endpoint = "https://minio.example.com:9000/" }), ""},
		{base(func(c *s3.Config) { c.Endpoint = "minio:9000" }), "endpoint: "},
		{base(func(c *s3.Config) { c.Endpoint = "http://a:b@host" }), "endpoint: holds credentials"},
		{base(func(c *s3.Config) { c.Endpoint = "http://host/bucket" }), "endpoint: holds more than scheme, host and port"},
		{base(func(c *s3.Config) { c.Region = "" }), "region: "},
		{base(func(c *s3.Config) { c.Credentials = "vault" }), `"vault" is no source`},
		{base(func(c *s3.Config) { c.Credentials = "static" }), "static needs access_key and secret_key"},
		{base(func(c *s3.Config) { c.AccessKey = "a" }), "not read with env"},
		{base(func(c *s3.Config) { c.Profile = "a" }), "not read with env"},
	} {
		err := tc.cfg.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v, want %q", tc.cfg, err, tc.want)
		}
	}
	for path, want := range map[string]string{
		"s3://bucket": "bucket ", "s3://bucket/": "bucket ", "s3://bucket/a/b/": "bucket a/b", "s3://my.bucket-1/ü": "my.bucket-1 ü",
		"s3://": "!", "s3://B": "!", "s3:///p": "!", "s3://bucket//p": "!", "s3://bucket/../p": "!", "s3://bucket/a\nb": "!", "gs://bucket/p": "!",
	} {
		b, p, err := s3.ParsePath(path)
		if got := b + " " + p; (err != nil) != (want == "!") || err == nil && got != want {
			t.Errorf("%q: got %q, %v; want %q", path, got, err, want)
		}
	}
}
