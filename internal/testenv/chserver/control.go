package chserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Control tells a server what to do wrong, over HTTP:
//
//	POST   /faults               a Fault in JSON; its number is answered
//	GET    /faults/{id}          its FaultState
//	POST   /faults/{id}/release  lets go what it holds, now and later
//	DELETE /faults/{id}          the same, and it strikes no more
//	POST   /query                a statement in JSON, run with every privilege; its answer as
//	                             tab-separated lines in JSON
type Control struct {
	address string
	client  *http.Client
}

// NewControl speaks to the control address of a server.
func NewControl(address string) *Control {
	return &Control{address: address, client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}}
}

func (c *Control) do(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return fmt.Errorf("control of the ClickHouse test server: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("control of the ClickHouse test server: %s %s: %s", method, path, bytes.TrimSpace(text))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// Inject arms a fault and returns its number.
func (c *Control) Inject(ctx context.Context, f Fault) (id int, err error) {
	err = c.do(ctx, http.MethodPost, "/faults", f, &id)
	return id, err
}

// State is what a fault has done so far.
func (c *Control) State(ctx context.Context, id int) (s FaultState, err error) {
	err = c.do(ctx, http.MethodGet, fmt.Sprintf("/faults/%d", id), nil, &s)
	return s, err
}

// Release lets go what a fault holds, now and later.
func (c *Control) Release(ctx context.Context, id int) error {
	return c.do(ctx, http.MethodPost, fmt.Sprintf("/faults/%d/release", id), nil, nil)
}

// Remove disarms a fault and lets go what it holds.
func (c *Control) Remove(ctx context.Context, id int) error {
	return c.do(ctx, http.MethodDelete, fmt.Sprintf("/faults/%d", id), nil, nil)
}

// Query runs a statement with every privilege, past users and faults.
func (c *Control) Query(ctx context.Context, sql string) (answer string, err error) {
	err = c.do(ctx, http.MethodPost, "/query", sql, &answer)
	return answer, err
}

// Run is Query without its answer.
func (c *Control) Run(ctx context.Context, sql string) error {
	_, err := c.Query(ctx, sql)
	return err
}
