package s3_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/objects/s3"
)

// told are the counters of a registry, "name{labels} value", sorted; of histograms the counts.
func told(t *testing.T, reg *prometheus.Registry) (lines []string) {
	t.Helper()
	families, err := reg.Gather()
	ok(t, err)
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				if l.GetName() != "bucket" {
					labels = append(labels, l.GetValue())
				}
			}
			n := m.GetCounter().GetValue()
			if h := m.GetHistogram(); h != nil {
				n = float64(h.GetSampleCount())
			}
			lines = append(lines, fmt.Sprintf("%s{%s} %g", strings.TrimPrefix(f.GetName(), "millrace_s3_"), strings.Join(labels, " "), n))
		}
	}
	slices.Sort(lines)
	return lines
}

// TestEachRequestIsCounted has a store answer in every way, and looks what was counted.
func TestEachRequestIsCounted(t *testing.T) {
	server := testenv.NewS3(t)
	proxy := testenv.NewFaultProxy(t, server.Address)
	path, cfg := "s3://"+bucket(t, server)+"/p", of(server)
	cfg.Endpoint = proxy.Endpoint
	dir := t.TempDir()
	scratch := sync.OnceValues(func() (*objects.Scratch, error) { return objects.OpenScratch(vfs.OS(), dir) })
	const body = "twelve bytes"
	for _, c := range []struct {
		what string
		do   func(*s3.Store) error
		want []string
	}{
		{"a put", func(s *s3.Store) error { return s.Put(t.Context(), "a", strings.NewReader(body)) },
			[]string{"request_seconds{put} 1", "requests_total{put ok} 1", "sent_bytes_total{} 12"}},
		{"a put that is throttled twice", func(s *s3.Store) error {
			proxy.Set(first(2, "put", testenv.Fault{Kind: testenv.Refuse, Status: 503, Code: "SlowDown"}))
			return s.Put(t.Context(), "a", strings.NewReader(body))
		}, []string{"request_seconds{head} 2", "request_seconds{put} 3", "requests_total{head ok} 2", "requests_total{put ok} 1",
			"requests_total{put throttled} 2",
			"retries_total{} 2", "sent_bytes_total{} 36"}},
		{"one whose answer is lost", func(s *s3.Store) error {
			proxy.Set(first(1, "put", testenv.Fault{Kind: testenv.LoseAnswer}))
			return s.Put(t.Context(), "a", strings.NewReader(body))
		}, []string{"request_seconds{head} 1", "request_seconds{put} 1", "requests_total{head ok} 1",
			"requests_total{put silent} 1", "retries_total{} 1"}},
		{"reading", func(s *s3.Store) error {
			_, err := objects.ReadAll(t.Context(), s, "a", 100)
			return err
		}, []string{"received_bytes_total{} 12", "request_seconds{get} 1", "requests_total{get ok} 1"}},
		{"a removal, and one that fails first", func(s *s3.Store) error {
			proxy.Set(first(1, "delete", testenv.Fault{Kind: testenv.Refuse, Status: 500, Code: "InternalError"}))
			return s.Delete(t.Context(), "a")
		}, []string{"request_seconds{delete} 2", "requests_total{delete failed} 1", "requests_total{delete ok} 1", "retries_total{} 1"}},
		{"an object in parts", func(s *s3.Store) error { return s.Put(t.Context(), "b", bytes.NewReader(make([]byte, 9<<20))) },
			[]string{"request_seconds{begin_upload} 1", "request_seconds{complete_upload} 1", "request_seconds{part} 2",
				"requests_total{begin_upload ok} 1",
				"requests_total{complete_upload ok} 1", "requests_total{part ok} 2"}},
	} {
		reg := prometheus.NewRegistry()
		s, err := s3.New(path, cfg, s3.Deps{Scratch: scratch, Retry: quick(), Reg: reg})
		ok(t, err)
		proxy.Set(func(*http.Request) testenv.Fault { return testenv.Fault{} })
		ok(t, c.do(s))
		ok(t, s.Close())
		got := told(t, reg)
		for _, zero := range []string{"received_bytes_total{} 0", "retries_total{} 0", "sent_bytes_total{} 0"} {
			got = slices.DeleteFunc(got, func(line string) bool { return line == zero })
		}
		if c.what != "reading" { // what a store says of errors and uploads is its own
			got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "received_bytes") })
		}
		if c.what == "an object in parts" { // and its list of parts has no length of ours
			got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "sent_bytes") })
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nnot\n%s", c.what, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}
