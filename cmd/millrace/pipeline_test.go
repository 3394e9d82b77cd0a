package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// TestAVerbOnAllTellsOfEachTable: the exit status is 1 when something was refused or is not
// durable, and what was done is told all the same.
func TestAVerbOnAllTellsOfEachTable(t *testing.T) {
	done := httpapi.Outcome{Table: "erp.a", Result: httpapi.Done}
	refused := httpapi.Outcome{Table: "erp.b", Result: httpapi.Refused, Reason: "table erp.b is paused"}
	for _, c := range []struct {
		outcomes []httpapi.Outcome
		status   int
		says     []string
	}{
		{nil, exitOK, []string{"erp  running"}},
		{[]httpapi.Outcome{done, {Table: "erp.c", Result: httpapi.Unchanged, Reason: "it is dropped"}}, exitOK, []string{"snapshot erp.a: done\n", "snapshot erp.c: unchanged: it is dropped\n"}},
		{[]httpapi.Outcome{done, refused}, exitRuntime, []string{"snapshot erp.a: done\n", "snapshot erp.b: refused: table erp.b is paused\n", "erp  running"}},
	} {
		answer := httpapi.Answer{Status: pipeline.Status{Name: "erp", State: pipeline.StateRunning}, Outcomes: c.outcomes}
		code := http.StatusOK
		if !answer.Whole() {
			code = http.StatusMultiStatus
		}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { httpserve.JSON(w, code, answer) }))
		out, status := execute(t, "pipeline", "snapshot", "erp", "--daemon", s.URL)
		if status != c.status {
			t.Errorf("%+v: status %d, want %d", c.outcomes, status, c.status)
		}
		for _, w := range c.says {
			if !strings.Contains(out, w) {
				t.Errorf("%q is not in %q", w, out)
			}
		}
		out, status = execute(t, "pipeline", "snapshot", "erp", "--daemon", s.URL, "--json")
		if status != c.status || strings.Contains(out, `"outcomes"`) != (c.outcomes != nil) || !strings.Contains(out, `"name": "erp"`) {
			t.Errorf("as JSON: status %d, %s", status, out)
		}
		s.Close()
	}
}
