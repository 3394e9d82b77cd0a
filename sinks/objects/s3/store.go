package s3

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/sinks/objects"
)

// Deps is what a store is made with.
type Deps struct {
	Log *slog.Logger          // may be nil
	Reg prometheus.Registerer // may be nil
	// Scratch is where objects are kept that are read in many pieces.
	Scratch func() (*objects.Scratch, error)
	// Retry says how often and how fast a request is sent again; the zero value is DefaultRetry.
	Retry Retry
}

// Store is the objects of a bucket whose keys begin with a prefix. It is an objects.Store.
type Store struct {
	bucket, prefix string
	client         *sdk.Client
	creds          *aws.CredentialsCache
	log            *slog.Logger
	scratch        func() (*objects.Scratch, error)
	retrying       Retry
	endpoint       string
	wire           *wire
	metrics        *metrics

	// skew is how far the store's clock is ahead of this machine's, in nanoseconds; server is
	// what the store calls itself. Both are of the last answer.
	skew   atomic.Int64
	server atomic.Pointer[string]

	// probing holds the right to look what the store can do; probed says that it was seen to
	// give a name once, inParts that it does so for uploads in parts as well.
	probing         chan struct{}
	probed, inParts atomic.Bool
}

// New makes the store of s3://bucket/prefix. It starts and touches nothing. The
// caller closes it.
func New(path string, cfg Config, deps Deps) (*Store, error) {
	bucket, prefix, err := ParsePath(path)
	if err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Store{bucket: bucket, prefix: prefix, log: deps.Log, scratch: deps.Scratch, retrying: deps.Retry, endpoint: cfg.Endpoint,
		probing: make(chan struct{}, 1), creds: aws.NewCredentialsCache(cfg.provider()), metrics: newMetrics(deps.Reg, bucket)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.retrying == (Retry{}) {
		s.retrying = DefaultRetry()
	}
	if s.endpoint == "" {
		s.endpoint = "Amazon S3 in " + cfg.Region
	}
	s.wire = s.newWire()
	o := sdk.Options{
		Region: cfg.Region, Credentials: s.creds, UsePathStyle: cfg.InPath(), Retryer: aws.NopRetryer{},
		HTTPClient: &http.Client{Transport: s.wire, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		// Checksums of Amazon's own kind are more than other stores know; the signature covers the body.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	}
	if cfg.Endpoint != "" {
		o.BaseEndpoint = aws.String(strings.TrimSuffix(cfg.Endpoint, "/"))
	}
	s.client = sdk.New(o)
	return s, nil
}

// Close ends the connections that nothing uses.
func (s *Store) Close() error {
	s.wire.base.CloseIdleConnections()
	return nil
}

func (s *Store) key(name string) string { return path.Join(s.prefix, name) }

// url names an object to people.
func (s *Store) url(name string) string { return Scheme + path.Join(s.bucket, s.prefix, name) }

// name is the object's name of a key; ok is false for what is none.
func (s *Store) name(key string) (name string, ok bool) {
	if s.prefix != "" {
		if key, ok = strings.CutPrefix(key, s.prefix+"/"); !ok {
			return "", false
		}
	}
	return key, key != "" && !strings.HasPrefix(key, probeDir) && !strings.HasSuffix(key, "/")
}

// Times of a request. The time for a whole attempt grows with what it carries.
const (
	dialTime   = 5 * time.Second
	answerTime = time.Minute
	leastSpeed = 256 << 10 // bytes a second
)

func attemptTime(size int64) time.Duration {
	return answerTime + time.Duration(size/leastSpeed)*time.Second
}

func (s *Store) newWire() *wire {
	return &wire{s: s, base: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   2 * dialTime,
		ResponseHeaderTimeout: answerTime,
		ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true,
	}}
}

// wire notes of each request whether it may have reached the store, and what its answer says
// of the store.
type wire struct {
	s    *Store
	base *http.Transport
}

type sentKey struct{}

// noteSent returns a context under which sent becomes true once a request has a connection.
func noteSent(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return context.WithValue(ctx, sentKey{}, sent), sent
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if sent, ok := r.Context().Value(sentKey{}).(*atomic.Bool); ok {
		r = r.WithContext(httptrace.WithClientTrace(r.Context(),
			&httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }}))
	}
	began := time.Now()
	resp, err := w.base.RoundTrip(r)
	w.s.metrics.count(r, began, resp)
	if err != nil {
		return nil, err
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		w.s.skew.Store(int64(time.Until(at)))
	}
	if name := resp.Header.Get("Server"); name != "" {
		w.s.server.Store(&name)
	}
	return resp, nil
}

// serverName is what the store calls itself, and where it is.
func (s *Store) serverName() string {
	if name := s.server.Load(); name != nil {
		return *name + " at " + s.endpoint
	}
	return s.endpoint
}

// here puts a time of the store's clock onto this machine's. The header that tells the
// difference has whole seconds, so less than two are none.
func (s *Store) here(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	skew := time.Duration(s.skew.Load())
	if skew.Abs() < 2*time.Second {
		skew = 0
	}
	return t.Add(-skew)
}

var _ objects.Store = (*Store)(nil)
