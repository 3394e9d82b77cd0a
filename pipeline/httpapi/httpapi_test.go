package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// fake is a daemon with two pipelines.
type fake struct {
	done     []string
	err      error
	outcomes []Outcome
}

func (f *fake) Statuses() []pipeline.Status {
	return []pipeline.Status{{Name: "orders", State: pipeline.StateRunning}, {Name: "stock", State: pipeline.StatePaused, Reason: "paused by request"}}
}

func (f *fake) Do(_ context.Context, name, table, verb string) ([]Outcome, error) {
	f.done = append(f.done, name+"|"+table+"|"+verb)
	return f.outcomes, f.err
}

func (f *fake) Delete(_ context.Context, name string, o DeleteOptions) (Deleted, error) {
	f.done = append(f.done, fmt.Sprintf("%s|%t|%t", name, o.PurgeTopics, o.PurgeTarget))
	return Deleted{Name: name, Removed: []string{"topic orders--control"}, Kept: []string{}}, f.err
}

func (f *fake) Letters(_ context.Context, name string, which LetterChoice) ([]Letters, error) {
	f.done = append(f.done, fmt.Sprintf("letters of %s: %+v", name, which))
	return []Letters{{Sink: "lake", Table: "shop.orders", PutAside: pipeline.PutAside{Rows: 1, Bytes: 300},
		Letters: []pipeline.Letter{{Seq: 7, Op: "c", Column: "born", Reason: "it is no day"}}}}, f.err
}

func (f *fake) WorkLetters(_ context.Context, name, verb string, which LetterChoice) ([]LettersOutcome, error) {
	f.done = append(f.done, fmt.Sprintf("%s letters of %s: %+v", verb, name, which))
	return []LettersOutcome{{Sink: "lake", Table: "shop.orders", LettersDone: pipeline.LettersDone{Gone: 1}}}, f.err
}

func TestLetters(t *testing.T) {
	f := &fake{}
	s, c := serve(t, f)
	all, err := c.Letters(t.Context(), "orders", LetterChoice{Table: "shop.orders"})
	if err != nil || len(all) != 1 || all[0].Rows != 1 || all[0].Letters[0].Column != "born" {
		t.Errorf("%+v, %v", all, err)
	}
	done, err := c.WorkLetters(t.Context(), "orders", Replay, LetterChoice{Sink: "lake", Seqs: []event.Seq{7, 9}})
	if err != nil || len(done) != 1 || done[0].Gone != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	want := []string{"letters of orders: {Sink: Table:shop.orders Seqs:[] Limit:100}", "replay letters of orders: {Sink:lake Table: Seqs:[7 9] Limit:100}"}
	if !slices.Equal(f.done, want) {
		t.Errorf("the daemon was asked %q", f.done)
	}
	for path, want := range map[string]int{
		"letters/burn": 404, "letters/drop?seq=x": 400, "letters/replay?limit=0": 400, "letters/drop?tabel=shop.orders": 400,
		"letters/drop?table=": 400, "letters/drop?table=a.b&table=a.c": 400, "letters/drop?table=a.b;seq=7": 400, "letters": 405,
	} {
		answer, err := http.Post(s.URL+"/v1/pipelines/orders/"+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	if len(f.done) != len(want) {
		t.Errorf("what was refused was done: %q", f.done[len(want):])
	}
}

// deadline is an answer that notes until when it may be written.
type deadline struct {
	*httptest.ResponseRecorder
	at time.Time
}

func (d *deadline) SetWriteDeadline(at time.Time) error {
	d.at = at
	return nil
}

// A replay of many letters takes longer than the server gives other answers.
func TestAnAnswerAboutLettersHasTime(t *testing.T) {
	mux := http.NewServeMux()
	Handle(mux, &fake{})
	w, before := &deadline{ResponseRecorder: httptest.NewRecorder()}, time.Now()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/pipelines/orders/letters/replay", nil))
	if w.Code != http.StatusOK || w.at.Before(before.Add(LettersTime)) {
		t.Errorf("%d, until %s", w.Code, w.at)
	}
}

func serve(t *testing.T, d Daemon) (*httptest.Server, *Client) {
	mux := http.NewServeMux()
	Handle(mux, d)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s, NewClient(s.URL)
}

func TestStatuses(t *testing.T) {
	_, c := serve(t, &fake{})
	all, err := c.Pipelines(t.Context())
	if err != nil || len(all) != 2 || all[1].Reason != "paused by request" {
		t.Errorf("%+v, %v", all, err)
	}
	one, err := c.Pipeline(t.Context(), "orders")
	if err != nil || one.State != pipeline.StateRunning {
		t.Errorf("%+v, %v", one, err)
	}
}

type none struct{ fake }

func (none) Statuses() []pipeline.Status { return nil }

func TestNoPipelinesAreAnEmptyList(t *testing.T) {
	s, _ := serve(t, &none{})
	answer, err := http.Get(s.URL + "/v1/pipelines")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if strings.TrimSpace(string(body)) != "[]" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

func TestVerbs(t *testing.T) {
	for _, verb := range Verbs() {
		for _, table := range []string{"", "shop.orders", "shop.order items/2%"} {
			d := &fake{}
			_, c := serve(t, d)
			one, err := c.Do(t.Context(), "orders", table, verb)
			if err != nil || one.Name != "orders" {
				t.Errorf("%s %q: %+v, %v", verb, table, one, err)
			}
			if want := "orders|" + table + "|" + verb; len(d.done) != 1 || d.done[0] != want {
				t.Errorf("the daemon was asked %q, want %q", d.done, want)
			}
		}
	}
}

// TestOutcomes: where something could not be done of a table the answer is 207, and the
// client has all of them.
func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		results []Result
		status  int
	}{
		{nil, 200},
		{[]Result{Done, Unchanged}, 200},
		{[]Result{Done, Refused}, 207},
		{[]Result{Pending}, 207},
	} {
		d := &fake{}
		for i, r := range c.results {
			d.outcomes = append(d.outcomes, Outcome{Table: fmt.Sprint("shop.t", i), Result: r, Reason: "because"})
		}
		s, client := serve(t, d)
		answer, err := http.Post(s.URL+"/v1/pipelines/orders/resume", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		one, err := client.Do(t.Context(), "orders", "", Resume)
		if err != nil || answer.StatusCode != c.status || one.Name != "orders" || !slices.Equal(one.Outcomes, d.outcomes) || one.Whole() != (c.status == 200) {
			t.Errorf("%v: %s, %+v, %v", c.results, answer.Status, one, err)
		}
	}
}

func TestDelete(t *testing.T) {
	for _, o := range []DeleteOptions{{}, {PurgeTopics: true}, {PurgeTarget: true}, {PurgeTopics: true, PurgeTarget: true}} {
		d := &fake{}
		_, c := serve(t, d)
		done, err := c.Delete(t.Context(), "orders", o)
		if err != nil || done.Name != "orders" || len(done.Removed) != 1 {
			t.Errorf("%+v, %v", done, err)
		}
		if want := fmt.Sprintf("orders|%t|%t", o.PurgeTopics, o.PurgeTarget); len(d.done) != 1 || d.done[0] != want {
			t.Errorf("the daemon was asked %q, want %q", d.done, want)
		}
	}
}

func TestErrorsAreProblems(t *testing.T) {
	refuses := func(err error) Daemon { return &fake{err: err} }
	for _, c := range []struct {
		name, method, path string
		daemon             Daemon
		status             int
		detail             string
	}{
		{"an unknown pipeline", "GET", "/v1/pipelines/nobody", &fake{}, 404, `the pipeline "nobody" is unknown; there are orders, stock`},
		{"an unknown verb", "POST", "/v1/pipelines/orders/explode", &fake{}, 404, `the verb "explode" is unknown; there are pause, resume, snapshot, reset`},
		{"an unknown verb of a table", "POST", "/v1/pipelines/orders/tables/a.b/explode", &fake{}, 404, `the verb "explode" is unknown; there are pause, resume, snapshot, reset`},
		{"another method", "PUT", "/v1/pipelines/orders", &fake{}, 405, "/v1/pipelines/orders takes GET, HEAD, DELETE, not PUT"},
		{"a pipeline to delete that is unknown", "DELETE", "/v1/pipelines/nobody", refuses(fmt.Errorf("it is %w", ErrUnknown)), 404, "it is unknown"},
		{"letters that are put", "PUT", "/v1/pipelines/orders/letters", &fake{}, 405, "/v1/pipelines/orders/letters takes GET, HEAD, not PUT"},
		{"a verb of letters that is put", "PUT", "/v1/pipelines/orders/letters/letters", &fake{}, 405,
			"/v1/pipelines/orders/letters/letters takes POST, not PUT"},
		{"a verb that is read", "GET", "/v1/pipelines/orders/tables/a.b/pause", &fake{}, 405, "/v1/pipelines/orders/tables/a.b/pause takes POST, not GET"},
		{"a path that is none", "GET", "/v1/pipelines/orders/tables/a.b", &fake{}, 404, "there is no /v1/pipelines/orders/tables/a.b"},
		{"what the daemon does not know", "POST", "/v1/pipelines/orders/tables/a.b/pause", refuses(fmt.Errorf("the table a.b is %w", ErrUnknown)), 404, "the table a.b is unknown"},
		{"what does not fit the state", "POST", "/v1/pipelines/orders/snapshot", refuses(fmt.Errorf("snapshot: %w", ErrState)), 409, "snapshot: not possible now"},
		{"what is not durable yet", "POST", "/v1/pipelines/orders/tables/a.b/pause", refuses(fmt.Errorf("pause: %w: ask again", ErrPending)), 503, "pause: not durable yet: ask again"},
		{"what fails", "POST", "/v1/pipelines/orders/pause", refuses(errors.New("the disk is full")), 500, "the disk is full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, client := serve(t, c.daemon)
			request, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var p httpserve.Problem
			if err := json.NewDecoder(answer.Body).Decode(&p); err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != c.status || p.Status != c.status || p.Detail != c.detail || p.Title != http.StatusText(c.status) {
				t.Errorf("%d %+v", answer.StatusCode, p)
			}
			if kind := answer.Header.Get("Content-Type"); kind != "application/problem+json" {
				t.Errorf("content type %q", kind)
			}
			// Through the client the same words arrive.
			err = client.call(t.Context(), c.method, c.path, new(pipeline.Status))
			if err == nil || err.Error() != c.detail {
				t.Errorf("client: %v", err)
			}
		})
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	s, _ := serve(t, &fake{})
	for _, path := range []string{"/v1/pipelines/orders/pause", "/v1/pipelines/orders/tables/a.b/pause"} {
		answer, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusMethodNotAllowed && answer.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s", path, answer.Status)
		}
	}
}

func TestADaemonThatIsAwayIsNamed(t *testing.T) {
	s, _ := serve(t, &fake{})
	s.Close()
	_, err := NewClient(strings.TrimPrefix(s.URL, "http://")).Pipelines(t.Context())
	if err == nil || !strings.Contains(err.Error(), "millrace connect") {
		t.Errorf("%v", err)
	}
}

func TestAnAnswerThatIsNoDaemons(t *testing.T) {
	for text, want := range map[string]string{"<html>": "answered what no daemon", "": "answered what no daemon"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
		_, err := NewClient(s.URL + "/").Pipelines(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
		s.Close()
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) }))
	defer s.Close()
	if _, err := NewClient(s.URL).Pipelines(t.Context()); err == nil || !strings.Contains(err.Error(), "502 Bad Gateway: it is no daemon") {
		t.Errorf("%v", err)
	}
}

// TestADaemonThatTakesLongIsNotAway: what it was asked for may come about all the same.
func TestADaemonThatTakesLongIsNotAway(t *testing.T) {
	done := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
	defer s.Close()
	defer close(done)
	late, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	_, err := NewClient(s.URL).Do(late, "orders", "", Pause)
	if err == nil || errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("%v", err)
	}
}
