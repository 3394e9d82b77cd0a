package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/pipeline"
)

// The verbs of POST requests.
const (
	Pause    = "pause"
	Resume   = "resume"
	Snapshot = "snapshot"
	Reset    = "reset"
)

// Verbs are all of them.
func Verbs() []string { return []string{Pause, Resume, Snapshot, Reset} }

// Daemon is what the handlers need of the process that runs pipelines.
type Daemon interface {
	Statuses() []pipeline.Status
	// Do carries a verb out on a pipeline, or on one table of it ("" = all).
	// ErrUnknown when there is no such pipeline or table, ErrState when the verb does not
	// fit its present state, ErrPending when what was asked for is not durable yet. nil says
	// that it is; of all tables, that what could be done is: the outcomes say what became of
	// each. There are none where the verb is about the pipeline as a whole.
	Do(ctx context.Context, name, table, verb string) ([]Outcome, error)
	// Delete ends a pipeline, and removes what o says. With an error it says what was done
	// before; asking again does what is left.
	Delete(ctx context.Context, name string, o DeleteOptions) (Deleted, error)
	// Letters lists what is put aside in the targets of a pipeline, as the targets say.
	Letters(ctx context.Context, name string, which LetterChoice) ([]Letters, error)
	// WorkLetters replays or drops letters. Where nothing is put aside there is no outcome;
	// what could not be done of one target table keeps nothing from the others.
	WorkLetters(ctx context.Context, name, verb string, which LetterChoice) ([]LettersOutcome, error)
}

// Result says what became of a verb on a table.
type Result string

// The results.
const (
	Done      Result = "done"      // what was asked for is so, and durable
	Unchanged Result = "unchanged" // there was nothing to do
	Refused   Result = "refused"   // it does not fit the table's state
	Pending   Result = "pending"   // it may come about, and is not durable yet
)

// Outcome is what became of a verb on one table of a pipeline.
type Outcome struct {
	Table  string `json:"table"`
	Result Result `json:"result"`
	Reason string `json:"reason,omitempty"`
}

// Answer is the answer to a verb: the status of the pipeline behind it, and, where the verb
// was about all tables, what became of each.
type Answer struct {
	pipeline.Status
	Outcomes []Outcome `json:"outcomes,omitempty"`
}

// Whole reports whether all that was asked for is so.
func (a *Answer) Whole() bool {
	return !slices.ContainsFunc(a.Outcomes, func(o Outcome) bool { return o.Result == Refused || o.Result == Pending })
}

// DeleteOptions say what goes with a pipeline that is deleted.
type DeleteOptions struct {
	PurgeTopics bool // its topics, with what the sinks have read of them
	PurgeTarget bool // what its sinks hold
}

// Deleted says what became of a pipeline's things, in words for people.
type Deleted struct {
	Name    string   `json:"name"`
	Removed []string `json:"removed"`
	Kept    []string `json:"kept"`
}

// ErrUnknown says that a name is not known to the daemon.
var ErrUnknown = errors.New("unknown")

// Unknown is the ErrUnknown of a pipeline: it names those that there are.
func Unknown(name string, all []pipeline.Status) error {
	const most = 20
	var names []string
	for i := range all {
		names = append(names, all[i].Name)
	}
	switch n := len(names); {
	case n == 0:
		return fmt.Errorf("the pipeline %q is %w: the daemon runs none", name, ErrUnknown)
	case n > most:
		names = append(names[:most], fmt.Sprintf("and %d more", n-most))
	}
	return fmt.Errorf("the pipeline %q is %w; there are %s", name, ErrUnknown, strings.Join(names, ", "))
}

// ErrState says that a verb does not fit the present state.
var ErrState = errors.New("not possible now")

// ErrPending says that what was asked for is on its way and would be forgotten if the
// process ended now.
var ErrPending = errors.New("not durable yet")

// Handle adds the routes to mux.
func Handle(mux *http.ServeMux, d Daemon) {
	mux.HandleFunc("GET /v1/pipelines", func(w http.ResponseWriter, _ *http.Request) {
		all := d.Statuses()
		if all == nil {
			all = []pipeline.Status{}
		}
		httpserve.JSON(w, http.StatusOK, all)
	})
	mux.HandleFunc("GET /v1/pipelines/{name}", func(w http.ResponseWriter, r *http.Request) {
		one, err := find(d, r.PathValue("name"))
		if err != nil {
			fail(w, err)
			return
		}
		httpserve.JSON(w, http.StatusOK, one)
	})
	mux.HandleFunc("DELETE /v1/pipelines/{name}", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		done, err := d.Delete(r.Context(), r.PathValue("name"),
			DeleteOptions{PurgeTopics: q.Get("purge_topics") == "true", PurgeTarget: q.Get("purge_target") == "true"})
		if err != nil {
			fail(w, err)
			return
		}
		httpserve.JSON(w, http.StatusOK, done)
	})
	do := func(w http.ResponseWriter, r *http.Request) {
		verb := r.PathValue("verb")
		if !slices.Contains(Verbs(), verb) {
			fail(w, fmt.Errorf("the verb %q is %w; there are %s", verb, ErrUnknown, strings.Join(Verbs(), ", ")))
			return
		}
		outcomes, err := d.Do(r.Context(), r.PathValue("name"), r.PathValue("table"), verb)
		if err != nil {
			fail(w, err)
			return
		}
		one, err := find(d, r.PathValue("name"))
		if err != nil {
			fail(w, err)
			return
		}
		answer, status := Answer{one, outcomes}, http.StatusOK
		if !answer.Whole() {
			status = http.StatusMultiStatus
		}
		httpserve.JSON(w, status, answer)
	}
	mux.HandleFunc("POST /v1/pipelines/{name}/{verb}", do)
	mux.HandleFunc("POST /v1/pipelines/{name}/tables/{table}/{verb}", do)
	handleLetters(mux, d)
	refuse(mux)
}

// refuse answers what is left below /v1/ with problems, like every other error.
func refuse(mux *http.ServeMux) {
	takes := map[string]string{
		"/v1/pipelines": "GET, HEAD", "/v1/pipelines/{name}": "GET, HEAD, DELETE", "/v1/pipelines/{name}/{verb}": "POST",
		"/v1/pipelines/{name}/letters/{verb}": "POST", "/v1/pipelines/{name}/tables/{table}/{verb}": "POST",
	}
	// The path of letters has the form of a verb's, which takes POST.
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		takes[method+" /v1/pipelines/{name}/letters"] = "GET, HEAD"
	}
	for pattern, allow := range takes {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", allow)
			httpserve.Fail(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s, not %s", r.URL.Path, allow, r.Method))
		})
	}
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		httpserve.Fail(w, http.StatusNotFound, fmt.Sprintf("there is no %s", r.URL.Path))
	})
}

func find(d Daemon, name string) (pipeline.Status, error) {
	for _, s := range d.Statuses() {
		if s.Name == name {
			return s, nil
		}
	}
	return pipeline.Status{}, Unknown(name, d.Statuses())
}

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrUnknown):
		status = http.StatusNotFound
	case errors.Is(err, ErrState):
		status = http.StatusConflict
	case errors.Is(err, ErrPending):
		status = http.StatusServiceUnavailable
	}
	httpserve.Fail(w, status, err.Error())
}
