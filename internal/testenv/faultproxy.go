package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// Fault is what becomes of an HTTP request and of its answer. The zero value passes both on.
type Fault struct {
	Kind FaultKind
	// Status and Code are the answer of Refuse and Landed; the code stands in an S3 error.
	Status int
	Code   string
	Header http.Header
	// Change is called on the request before it is passed on.
	Change func(*http.Request)
}

// FaultKind is one way in which a request goes wrong.
type FaultKind int

const (
	Pass       FaultKind = iota
	Refuse               // not passed on; Status and Code are the answer
	Landed               // passed on, but Status and Code are the answer
	Drop                 // neither passed on nor answered
	LoseAnswer           // passed on, not answered
	CutRequest           // half of its body is passed on, then both connections end
	CutAnswer            // half of the answer's body comes back, then the connection ends
	Late                 // not answered; passed on when Release is called
	Twice                // passed on twice, the second answer comes back
	Slow                 // the answer's body comes back in small pieces
)

// String names the kind.
func (k FaultKind) String() string {
	return []string{"pass", "refuse", "landed", "drop", "lose answer", "cut request", "cut answer", "late", "twice", "slow"}[k]
}

// FaultProxy stands between an HTTP client and a server and makes faults.
type FaultProxy struct {
	Address, Endpoint string

	target string
	server *http.Server
	client *http.Transport
	done   chan struct{}

	mu     sync.Mutex
	decide func(*http.Request) Fault
	late   []func()
	seen   []string
}

// NewFaultProxy starts a proxy before the server at address target; it ends with the test.
func NewFaultProxy(t testing.TB, target string) *FaultProxy {
	t.Helper()
	p, err := StartFaultProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// StartFaultProxy starts a proxy before the server at address target. The caller closes it.
func StartFaultProxy(target string) (*FaultProxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &FaultProxy{Address: l.Addr().String(), Endpoint: "http://" + l.Addr().String(), target: target, done: make(chan struct{}),
		client: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32}}
	p.server = &http.Server{Handler: p}
	go func() {
		defer close(p.done)
		_ = p.server.Serve(l) // the error says that it was closed
	}()
	return p, nil
}

// Close ends the proxy; what is late never arrives.
func (p *FaultProxy) Close() {
	_ = p.server.Close()
	<-p.done
	p.client.CloseIdleConnections()
}

// Set has decide say what becomes of each request from now on; nil passes all on. Several
// goroutines call it at once.
func (p *FaultProxy) Set(decide func(*http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide, p.seen = decide, nil
}

// Seen are the requests since Set, each as method, path and query.
func (p *FaultProxy) Seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

// Release passes on what is late and returns when the server has answered.
func (p *FaultProxy) Release() {
	p.mu.Lock()
	late := p.late
	p.late = nil
	p.mu.Unlock()
	for _, send := range late {
		send()
	}
}

// Held says that something late was not passed on yet.
func (p *FaultProxy) Held() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.late) > 0
}

func (p *FaultProxy) decideOn(r *http.Request) Fault {
	p.mu.Lock()
	decide := p.decide
	p.seen = append(p.seen, r.Method+" "+r.URL.RequestURI())
	p.mu.Unlock()
	if decide == nil {
		return Fault{}
	}
	return decide(r)
}

// ServeHTTP implements http.Handler.
func (p *FaultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.decideOn(r)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	switch f.Kind {
	case Refuse:
		f.answer(w)
		return
	case Drop:
		panic(http.ErrAbortHandler)
	case Late:
		out := p.request(context.Background(), r, f, bytes.NewReader(body), int64(len(body)))
		p.mu.Lock()
		p.late = append(p.late, func() { p.send(out) })
		p.mu.Unlock()
		panic(http.ErrAbortHandler)
	case CutRequest:
		half := io.MultiReader(bytes.NewReader(body[:len(body)/2]), failing{})
		p.send(p.request(r.Context(), r, f, half, int64(len(body))))
		panic(http.ErrAbortHandler)
	case Twice:
		p.send(p.request(r.Context(), r, f, bytes.NewReader(body), int64(len(body))))
	}
	resp, err := p.client.RoundTrip(p.request(r.Context(), r, f, bytes.NewReader(body), int64(len(body))))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	switch {
	case err != nil || f.Kind == LoseAnswer:
		panic(http.ErrAbortHandler)
	case f.Kind == Landed:
		f.answer(w)
		return
	}
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	f.write(w, answer)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("cut") }

// request is what is passed on: the same bytes to the same name, for the name is signed.
func (p *FaultProxy) request(ctx context.Context, r *http.Request, f Fault, body io.Reader, size int64) *http.Request {
	out := r.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host = "http", p.target, r.Host
	out.Body, out.ContentLength, out.RequestURI = io.NopCloser(body), size, ""
	if size == 0 {
		out.Body = http.NoBody
	}
	out.Header.Del("Expect")
	if f.Change != nil {
		f.Change(out)
	}
	return out
}

// send passes a request on whose answer nobody sees.
func (p *FaultProxy) send(r *http.Request) {
	resp, err := p.client.RoundTrip(r)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

func (f Fault) answer(w http.ResponseWriter) {
	for k, v := range f.Header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(f.Status)
	if f.Code != "" {
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>made by a test</Message></Error>`, f.Code)
	}
}

func (f Fault) write(w http.ResponseWriter, answer []byte) {
	switch f.Kind {
	case CutAnswer:
		_, _ = w.Write(answer[:len(answer)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case Slow:
		for piece := range slices.Chunk(answer, max(1, len(answer)/8)) {
			_, _ = w.Write(piece)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond) // this is the fault, and no test waits for it
		}
		return
	}
	_, _ = w.Write(answer)
}
