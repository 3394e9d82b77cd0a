package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// The verbs for what is put aside.
const (
	Replay = "replay"
	Drop   = "drop"
)

// LetterChoice says which letters of a pipeline are meant; empty is all.
type LetterChoice struct {
	Sink, Table string
	Seqs        []event.Seq
	// Limit is how many of each target table are listed (DefaultLetters).
	Limit int
}

// DefaultLetters is how many letters of a target table are listed where nobody says.
const DefaultLetters = 100

// maxListed bounds an answer.
const maxListed = 10_000

// LettersTime is how long what is asked of letters may take: longer than other answers do.
const LettersTime = 10 * time.Minute

// Letters is what is put aside of one target table.
type Letters struct {
	Sink  string `json:"sink"`
	Table string `json:"table"`
	pipeline.PutAside
	// Letters are the first of them, by number.
	Letters []pipeline.Letter `json:"letters"`
}

// LettersOutcome is what became of a verb on the letters of one target table.
type LettersOutcome struct {
	Sink  string `json:"sink"`
	Table string `json:"table"`
	pipeline.LettersDone
	// Error is why it could not be done, or not to the end.
	Error string `json:"error,omitempty"`
}

// Query is the choice as parameters of a request.
func (c *LetterChoice) query() string {
	q := url.Values{}
	for key, value := range map[string]string{"sink": c.Sink, "table": c.Table} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if c.Limit > 0 {
		q.Set("limit", strconv.Itoa(c.Limit))
	}
	for _, s := range c.Seqs {
		q.Add("seq", strconv.FormatUint(uint64(s), 10))
	}
	return "?" + q.Encode()
}

// choice reads the parameters of a request. One that is misspelt would choose all letters, and
// they can be given up for good.
func choice(q url.Values) (LetterChoice, error) {
	for key, values := range q {
		if !slices.Contains([]string{"sink", "table", "limit", "seq"}, key) {
			return LetterChoice{}, fmt.Errorf("the parameter %q is unknown; there are sink, table, seq and limit", key)
		}
		if key != "seq" && (len(values) > 1 || values[0] == "") {
			return LetterChoice{}, fmt.Errorf("%s must be there once and say something, or not be there: without it all are meant", key)
		}
	}
	c := LetterChoice{Sink: q.Get("sink"), Table: q.Get("table"), Limit: DefaultLetters}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxListed {
			return c, fmt.Errorf("limit=%q must be from 1 to %d", text, maxListed)
		}
		c.Limit = n
	}
	for _, text := range q["seq"] {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil || n == 0 {
			return c, fmt.Errorf("seq=%q is no number of a letter", text)
		}
		c.Seqs = append(c.Seqs, event.Seq(n))
	}
	return c, nil
}

// handleLetters adds the routes of what is put aside.
func handleLetters(mux *http.ServeMux, d Daemon) {
	answer := func(do func(r *http.Request, c LetterChoice) (any, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			q, err := url.ParseQuery(r.URL.RawQuery)
			c, bad := choice(q)
			if err = errors.Join(err, bad); err != nil {
				httpserve.Fail(w, http.StatusBadRequest, err.Error())
				return
			}
			// A connection without deadlines has none to be put off.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(LettersTime))
			out, err := do(r, c)
			if err != nil {
				fail(w, err)
				return
			}
			httpserve.JSON(w, http.StatusOK, out)
		}
	}
	mux.HandleFunc("GET /v1/pipelines/{name}/letters", answer(func(r *http.Request, c LetterChoice) (any, error) {
		return d.Letters(r.Context(), r.PathValue("name"), c)
	}))
	mux.HandleFunc("POST /v1/pipelines/{name}/letters/{verb}", answer(func(r *http.Request, c LetterChoice) (any, error) {
		verb := r.PathValue("verb")
		if verb != Replay && verb != Drop {
			return nil, fmt.Errorf("the verb %q is %w; there are %s and %s", verb, ErrUnknown, Replay, Drop)
		}
		return d.WorkLetters(r.Context(), r.PathValue("name"), verb, c)
	}))
}

// Letters lists what is put aside.
func (c *Client) Letters(ctx context.Context, name string, which LetterChoice) ([]Letters, error) {
	var all []Letters
	return all, c.call(ctx, http.MethodGet, "/v1/pipelines/"+url.PathEscape(name)+"/letters"+which.query(), &all)
}

// WorkLetters replays or drops what is put aside.
func (c *Client) WorkLetters(ctx context.Context, name, verb string, which LetterChoice) ([]LettersOutcome, error) {
	var all []LettersOutcome
	return all, c.call(ctx, http.MethodPost, "/v1/pipelines/"+url.PathEscape(name)+"/letters/"+verb+which.query(), &all)
}
