package httpserve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func ask(t *testing.T, mux *http.ServeMux, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestReadyNamesThePartThatIsNot(t *testing.T) {
	var fault error
	mux := http.NewServeMux()
	reg := prometheus.NewRegistry()
	count := prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_test_total", Help: "Counts."})
	reg.MustRegister(count)
	Ground(mux, reg, map[string]Check{"store": func() error { return fault }, "other": func() error { return nil }})
	if code, body := ask(t, mux, "/readyz"); code != http.StatusOK {
		t.Errorf("ready: %d %s", code, body)
	}
	fault = errors.New("the disk is full")
	if code, body := ask(t, mux, "/readyz"); code != http.StatusServiceUnavailable ||
		!strings.Contains(body, `"store": "the disk is full"`) || !strings.Contains(body, `"other": "ready"`) {
		t.Errorf("not ready: %d %s", code, body)
	}
	fault = Remark("one of two is paused by request")
	if code, body := ask(t, mux, "/readyz"); code != http.StatusOK ||
		!strings.Contains(body, `"store": "ready; one of two is paused by request"`) {
		t.Errorf("a remark: %d %s", code, body)
	}
	if code, _ := ask(t, mux, "/healthz"); code != http.StatusOK {
		t.Errorf("the process answers, but /healthz says %d", code)
	}
	if _, body := ask(t, mux, "/metrics"); !strings.Contains(body, "millrace_test_total 0") {
		t.Errorf("metrics: %s", body)
	}
}

func TestFailIsAProblem(t *testing.T) {
	w := httptest.NewRecorder()
	Fail(w, http.StatusConflict, "the table is paused")
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if want := `{"type":"about:blank","title":"Conflict","status":409,"detail":"the table is paused"}`; strings.TrimSpace(w.Body.String()) != want {
		t.Errorf("body %s", w.Body)
	}
}

// TestAnotherSitesPageChangesNothing: a browser says of what it sends where the page is from; whoever
// says nothing is none.
func TestAnotherSitesPageChangesNothing(t *testing.T) {
	did := 0
	h := ownSite(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { did++ }))
	for _, c := range []struct {
		method, header, value string
		status                int
	}{
		{http.MethodPost, "Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		{http.MethodPost, "Sec-Fetch-Site", "same-site", http.StatusForbidden},
		{http.MethodPost, "Origin", "https://example.net", http.StatusForbidden},
		{http.MethodDelete, "Origin", "null", http.StatusForbidden},
		{http.MethodPost, "Sec-Fetch-Site", "same-origin", http.StatusOK},
		{http.MethodPost, "Origin", "http://127.0.0.1:8380", http.StatusOK},
		{http.MethodPost, "User-Agent", "curl", http.StatusOK},
		{http.MethodGet, "Sec-Fetch-Site", "cross-site", http.StatusOK},
	} {
		before := did
		r := httptest.NewRequestWithContext(t.Context(), c.method, "http://127.0.0.1:8380/v1/pipelines/orders/letters/drop", nil)
		r.Header.Set(c.header, c.value)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || (did > before) != (c.status == http.StatusOK) {
			t.Errorf("%s with %s: %s: %d, handled %t", c.method, c.header, c.value, w.Code, did > before)
		}
		if w.Code == http.StatusForbidden && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: no problem: %s", c.value, w.Body)
		}
	}
}

// TestServeDrains ends the server while a request is under way: it is answered, and the
// address is free afterwards.
func TestServeDrains(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	began, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-release
		_, _ = io.WriteString(w, "done")
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, h, slog.New(slog.DiscardHandler)) }()
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- string(b)
	}()
	<-began
	stop()
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("answered %q", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	again, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("the address is still taken: %v", err)
	}
	again.Close()
}
