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
	err  error // what is wrong with the address
}

// NewClient makes a client for a daemon at address, "host:port" or an http URL.
func NewClient(address string) *Client {
	c := &Client{base: strings.TrimRight(address, "/"), http: &http.Client{}}
	if !strings.Contains(address, "://") && strings.Contains(address, ":") {
		c.base = "http://" + c.base
	}
	u, err := url.Parse(c.base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		c.err = fmt.Errorf("%w: %q is not host:port (as 127.0.0.1:8083), nor an http URL", ErrAddress, address)
	}
	return c
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

// ErrAway says that no daemon answers, ErrAddress that none can be at such an address.
var (
	ErrAway    = errors.New("the daemon is away")
	ErrAddress = errors.New("address of the daemon")
)

const maxAnswer = 64 << 20

func (c *Client) call(ctx context.Context, method, path string, into any) error {
	if c.err != nil {
		return c.err
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return fmt.Errorf("ask the daemon at %s: %w", c.base, err)
	}
	answer, err := c.http.Do(request)
	switch {
	case err != nil && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the daemon at %s did not answer in time; what was asked for may be done all the same: see the status", c.base)
	case err != nil:
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err // it names what we do in its own words
		}
		return fmt.Errorf("%w: nobody answers as one at %s (is `millrace connect` or `millrace standalone` running there? --daemon or "+
			"MILLRACE_DAEMON names another): %w",
			ErrAway, c.base, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base, err)
	}
	if answer.StatusCode >= 300 {
		var p httpserve.Problem
		if json.Unmarshal(body, &p) == nil && p.Detail != "" {
			return errors.New(p.Detail)
		}
		return fmt.Errorf("%s answered %s: it is no daemon of Millrace's, or one of another version; --daemon or MILLRACE_DAEMON "+
			"names another", c.base, answer.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s answered what no daemon of this version does; --daemon or MILLRACE_DAEMON names another: %w", c.base, err)
	}
	return nil
}
