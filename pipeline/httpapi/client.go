package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/pipeline"
)

// Client speaks to a daemon. Its methods may be called concurrently.
type Client struct {
	base string
	http *http.Client
}

// NewClient makes a client for a daemon at address, "host:port" or an http URL.
func NewClient(address string) *Client {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	return &Client{base: strings.TrimRight(address, "/"), http: &http.Client{}}
}

// Pipelines is the status of every pipeline.
func (c *Client) Pipelines(ctx context.Context) ([]pipeline.Status, error) {
	var all []pipeline.Status
	return all, c.call(ctx, http.MethodGet, "/v1/pipelines", &all)
}

// Pipeline is the status of one.
func (c *Client) Pipeline(ctx context.Context, name string) (pipeline.Status, error) {
	var one pipeline.Status
	return one, c.call(ctx, http.MethodGet, "/v1/pipelines/"+url.PathEscape(name), &one)
}

// Do carries a verb out on a pipeline, or on one table of it when table is not empty.
func (c *Client) Do(ctx context.Context, name, table, verb string) (Answer, error) {
	path := "/v1/pipelines/" + url.PathEscape(name)
	if table != "" {
		path += "/tables/" + url.PathEscape(table)
	}
	var one Answer
	return one, c.call(ctx, http.MethodPost, path+"/"+verb, &one)
}

// Delete ends a pipeline, and removes what o says.
func (c *Client) Delete(ctx context.Context, name string, o DeleteOptions) (Deleted, error) {
	q := url.Values{"purge_topics": {strconv.FormatBool(o.PurgeTopics)}, "purge_target": {strconv.FormatBool(o.PurgeTarget)}}
	var done Deleted
	return done, c.call(ctx, http.MethodDelete, "/v1/pipelines/"+url.PathEscape(name)+"?"+q.Encode(), &done)
}

// ErrAway says that no daemon answers.
var ErrAway = errors.New("the daemon is away")

const maxAnswer = 64 << 20

func (c *Client) call(ctx context.Context, method, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return fmt.Errorf("ask the daemon at %s: %w", c.base, err)
	}
	answer, err := c.http.Do(request)
	switch {
	case err != nil && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the daemon at %s did not answer in time; what was asked for may be done all the same: see the status", c.base)
	case err != nil:
		return fmt.Errorf("%w: ask it (is `millrace connect` or `millrace standalone` running there? --daemon or MILLRACE_DAEMON names another): %w", ErrAway, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	if answer.StatusCode >= 300 {
		var p httpserve.Problem
		if json.Unmarshal(body, &p) == nil && p.Detail != "" {
			return fmt.Errorf("%s: %s", p.Title, p.Detail)
		}
		return fmt.Errorf("the daemon at %s answered %s", c.base, answer.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	return nil
}
