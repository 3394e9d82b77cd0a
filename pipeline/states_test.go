package pipeline_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/bus"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

var update = flag.Bool("update", false, "write docs/states.md anew")

const statesFile = "../docs/states.md"

// TestStatesPage holds docs/states.md to the lists.
func TestStatesPage(t *testing.T) {
	want := statesPage()
	if *update {
		if err := os.WriteFile(statesFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(statesFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/states.md is not what the lists say; write it anew with: go test ./pipeline -run StatesPage -update")
	}
}

// TestEveryConstantIsListed reads the constants from the source, so that none is left out.
func TestEveryConstantIsListed(t *testing.T) {
	listed := map[string]bool{}
	for _, s := range pipeline.States() {
		if listed[string(s.State)] || s.Of == 0 || s.Text == "" {
			t.Errorf("state %s: listed twice or in part", s.State)
		}
		listed[string(s.State)] = true
	}
	for _, value := range constants(t, "states.go", "State") {
		if !listed[value] {
			t.Errorf("the state %s is in no list", value)
		}
	}
	listed = map[string]bool{}
	for _, c := range pipeline.PauseCodes() {
		if listed[string(c.Code)] || c.Of == 0 || c.Text == "" || c.Remedy == "" || c.Ready == pipeline.ByCode {
			t.Errorf("code %s: listed twice or in part", c.Code)
		}
		listed[string(c.Code)] = true
	}
	for _, value := range constants(t, "event/pausecode.go", "PauseCode") {
		if !listed[value] {
			t.Errorf("the pause code %s is in no list", value)
		}
	}
	for _, value := range constants(t, "link/wait.go", "Wait") {
		if w := bus.Wait(value); w != bus.WaitNone && (!slices.Contains(bus.Waits(), w) || w.Explain() == "") {
			t.Errorf("the wait %s is in no list, or not explained", value)
		}
	}
}

// TestEveryListedWordIsUsed: a state or a code that nothing ever has would be a promise on the
// page, and one that is written out where it is used could be another than those on the list.
func TestEveryListedWordIsUsed(t *testing.T) {
	unused := map[string]bool{}
	for _, name := range append(constantNames(t, "states.go", "State"), constantNames(t, "event/pausecode.go", "PauseCode")...) {
		unused[name] = true
	}
	for _, dir := range []string{".", "../connectors", "../sinks", "../cmd"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			path = filepath.ToSlash(path)
			source := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && path != "states.go" && path != "event/pausecode.go"
			if err != nil || d.IsDir() || !source {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Ident:
					delete(unused, n.Name)
				case *ast.CallExpr:
					if word := writtenOut(n); word != "" {
						t.Errorf("%s: %s is written out, where the constant is meant", path, word)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range unused {
		t.Errorf("%s is listed, and nothing ever has it", name)
	}
}

// writtenOut is the text that a conversion to a state or a code makes one of, if any.
func writtenOut(call *ast.CallExpr) string {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	if name != "State" && name != "PauseCode" || len(call.Args) != 1 {
		return ""
	}
	if text, ok := call.Args[0].(*ast.BasicLit); ok && text.Value != `""` {
		return text.Value
	}
	return ""
}

// constants are the values of a file's constants of a type.
func constants(t *testing.T, file, typeName string) (values []string) {
	t.Helper()
	for _, v := range constantsOf(t, file, typeName) {
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, text)
	}
	return values
}

func constantNames(t *testing.T, file, typeName string) (names []string) {
	t.Helper()
	for _, v := range constantsOf(t, file, typeName) {
		names = append(names, v.Names[0].Name)
	}
	return names
}

func constantsOf(t *testing.T, file, typeName string) (found []*ast.ValueSpec) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if name, ok := v.Type.(*ast.Ident); !ok || name.Name != typeName {
			return true
		}
		found = append(found, v)
		return true
	})
	if len(found) == 0 {
		t.Fatalf("%s has no constants of type %s", file, typeName)
	}
	return found
}

func TestReadiness(t *testing.T) {
	for _, c := range []struct {
		state  pipeline.State
		code   event.PauseCode
		blocks bool
	}{
		{pipeline.StateRunning, "", false},
		{pipeline.StateSnapshot, "", false},
		{pipeline.StateExcluded, event.PauseExcluded, false},
		{pipeline.StateDropped, event.PauseDropped, false},
		{pipeline.StatePaused, event.PauseRequest, false},
		{pipeline.StatePaused, event.PauseCharset, true},
		{pipeline.StatePaused, event.PauseTarget, true},
		{pipeline.StatePaused, "", true},
		{pipeline.StateRetrying, "", true},
		{pipeline.StateStalled, "", true},
		{pipeline.StateInvalid, "", true},
		{"unheard of", "", true},
	} {
		if got := pipeline.Blocks(c.state, c.code); got != c.blocks {
			t.Errorf("%s, code %q: blocks is %v", c.state, c.code, got)
		}
	}
}

func statesPage() []byte {
	var b bytes.Buffer
	b.WriteString(`# States and pause codes

Generated from the lists in ` + "`pipeline/states.go`" + `; do not edit.

` + "`millrace pipeline status`, `GET /v1/pipelines`, the metrics and the log" + ` use these words. A state belongs to a pipeline, to a table at its source, or
to a table in one target; the last column is what ` + "`/readyz`" + ` answers because of it.

## States

| state | of | what it means | what to do | ready |
|---|---|---|---|---|
`)
	for _, s := range pipeline.States() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.State, whose(s.Of), s.Text, dash(s.Remedy), s.Ready)
	}
	b.WriteString(`
## Pause codes

What is *paused* has a code, and a reason that names the thing, the cause and the remedy. Nothing is lost by a pause: a table that is resumed is read anew.

| code | of | why | what to do | ready |
|---|---|---|---|---|
`)
	for _, c := range pipeline.PauseCodes() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", c.Code, whose(c.Of), c.Text, c.Remedy, c.Ready)
	}
	b.WriteString(`
## The life of a table

Four facts of a table change apart from each other; an empty field leaves the fact as it is. What is shown is the first that holds: the source has it
no longer (*dropped*), the file leaves it out (*excluded*), it stands or is asked to (*paused*), its snapshot is under way (*snapshot*) or owed (*due*), else
*running*. Where the pipeline as a whole does not run, tables that would flow show the pipeline's state.

| event | at the source | in the file | pause | snapshot |
|---|---|---|---|---|
`)
	for _, k := range life.Kinds() {
		r := life.Rules()[k]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", k, r.Source, r.File, r.Pause, r.Attempt)
	}
	b.WriteString(`
## Why a target table waits

| reason | what was met |
|---|---|
`)
	for _, w := range bus.Waits() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", w, w.Explain())
	}
	return b.Bytes()
}

func whose(w pipeline.Whose) string {
	var names []string
	for _, x := range []struct {
		bit  pipeline.Whose
		name string
	}{{pipeline.OfPipeline, "pipeline"}, {pipeline.OfTable, "table"}, {pipeline.OfSink, "target table"}} {
		if w&x.bit != 0 {
			names = append(names, x.name)
		}
	}
	return strings.Join(names, ", ")
}

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
