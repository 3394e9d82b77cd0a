package httpserve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check says whether a part is ready; the error is shown to whoever asks. A Remark is no
// fault: the part is ready, and there is something to say.
type Check func() error

// Remark is what a part that is ready has to say.
type Remark string

// Error is the remark.
func (r Remark) Error() string { return string(r) }

const drain = 5 * time.Second

// Serve answers on l until ctx ends, then drains what is under way and closes l. What a page of
// another site has a browser send is refused, unless it only reads: nobody is authenticated, and
// whoever reads such a page may reach addresses that its author does not.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: ownSite(h), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 120 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close() // the drain's time is over; nothing is owed to a reader of metrics
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", l.Addr(), err)
	}
	return nil
}

// ownSite refuses what a browser says comes from another site.
func ownSite(h http.Handler) http.Handler {
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Fail(w, http.StatusForbidden, fmt.Sprintf("a browser sent %s %s for a page of another site (%s), which is refused; "+
			"send it from this one, or without a browser", r.Method, r.URL.Path, r.Header.Get("Origin")))
	}))
	return guard.Handler(h)
}

// Ground adds /metrics, /healthz (the process answers) and /readyz (every check passes).
func Ground(mux *http.ServeMux, metrics prometheus.Gatherer, ready map[string]Check) {
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		JSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		status, parts := http.StatusOK, map[string]string{}
		for name, check := range ready {
			parts[name] = "ready"
			var remark Remark
			if err := check(); errors.As(err, &remark) {
				parts[name] = "ready; " + string(remark)
			} else if err != nil {
				status, parts[name] = http.StatusServiceUnavailable, err.Error()
			}
		}
		JSON(w, status, parts)
	})
}

// JSON writes v with a status.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // the peer went away; there is nobody to tell
}

// Problem is an error as application/problem+json (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Fail writes a problem.
func Fail(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail})
}
