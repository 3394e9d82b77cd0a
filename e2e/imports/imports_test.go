package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/millrace/millrace/"

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// ours lists the module's packages by their path below it.
func ours(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"...")
	out, err := cmd.Output()
	if err != nil {
		var status *exec.ExitError
		if errors.As(err, &status) {
			t.Fatalf("go list: %s", status.Stderr)
		}
		t.Fatal(err)
	}
	packages := map[string]listed{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[strings.TrimPrefix(p.ImportPath, module)] = p
	}
}

// under reports whether path is one of the trees or below it.
func under(path string, trees ...string) bool {
	for _, tree := range trees {
		if path == tree || strings.HasPrefix(path, tree+"/") {
			return true
		}
	}
	return false
}

var (
	brokerHalf   = []string{"broker", "namesrv"}
	pipelineHalf = []string{"pipeline", "connectors", "sinks"}
	vocabulary   = []string{"message", "remoting", "remoting/protocol", "pipeline/event"}
)

func TestTheHalvesMeetOnlyAtTheClient(t *testing.T) {
	for path, p := range ours(t) {
		for _, dep := range p.Deps {
			dep, own := strings.CutPrefix(dep, module)
			if !own {
				continue
			}
			if under(path, brokerHalf...) && under(dep, pipelineHalf...) {
				t.Errorf("the broker half has heard of the pipeline half: %s depends on %s", path, dep)
			}
			if under(path, pipelineHalf...) && under(dep, brokerHalf...) {
				t.Errorf("the pipeline half has heard of a broker: %s depends on %s", path, dep)
			}
		}
		for _, dep := range p.Imports {
			dep, own := strings.CutPrefix(dep, module)
			if own && under(dep, "client") && under(path, pipelineHalf...) && !under(path, "pipeline/bus", "pipeline/pipelinetest") {
				t.Errorf("%s imports %s: in the pipeline half only bus stands on the client", path, dep)
			}
		}
	}
}

// TestEveryPackageIsOnTheMap: a package that docs/architecture.md does not show is one that
// nobody looks for.
func TestEveryPackageIsOnTheMap(t *testing.T) {
	page, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```\n")
	drawn, _, _ := strings.Cut(rest, "```")
	names := strings.FieldsFunc(drawn, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	for name := range ours(t) {
		if name == "cmd/millrace" || under(name, "e2e") || strings.HasPrefix(name, "internal/testenv/") {
			continue
		}
		if !slices.Contains(names, path.Base(name)) {
			t.Errorf("docs/architecture.md does not show %s", name)
		}
	}
}

// TestEveryPackageSaysWhatItIs: in its doc.go, or, a program of one file, in that.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for name := range ours(t) {
		dir := path.Join("../..", name)
		text, err := os.ReadFile(path.Join(dir, "doc.go"))
		if errors.Is(err, os.ErrNotExist) && strings.HasSuffix(name, "/cmd") {
			text, err = os.ReadFile(path.Join(dir, "main.go"))
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := "// Package " + path.Base(name) + " "
		if bytes.Contains(text, []byte("\npackage main\n")) {
			want = "// Command " + path.Base(name) + " "
		}
		if !bytes.HasPrefix(text, []byte(want)) {
			t.Errorf("%s does not begin with %q", name, want)
		}
	}
}

func TestVocabularyDoesNoInputOrOutput(t *testing.T) {
	packages := ours(t)
	for _, path := range vocabulary {
		for _, dep := range packages[path].Imports {
			switch dep {
			case "os", "net", "net/http", "os/exec", "database/sql":
				t.Errorf("%s imports %s", path, dep)
			}
		}
	}
}

func TestAssembliesAreNotImportedByTheirChildren(t *testing.T) {
	for path, p := range ours(t) {
		for _, assembly := range []string{"broker", "broker/store", "sinks", "connectors"} {
			if !strings.HasPrefix(path, assembly+"/") {
				continue
			}
			for _, dep := range p.Imports {
				if dep == module+assembly {
					t.Errorf("%s imports its assembly %s", path, assembly)
				}
			}
		}
	}
}

func TestOnlyThisModulesTestsStandOnTheTestEnvironment(t *testing.T) {
	for path, p := range ours(t) {
		for _, dep := range p.Imports {
			dep, own := strings.CutPrefix(dep, module)
			if own && under(dep, "internal/testenv") && !under(path, "e2e", "internal/testenv") {
				t.Errorf("%s imports %s outside of its tests", path, dep)
			}
		}
	}
}

// What the ClickHouse test server is made of has no place in what is shipped.
func TestTheTestServersEngineStaysWithIt(t *testing.T) {
	const server, engine, protocol = "internal/testenv/chserver", "github.com/ebitengine/purego", "github.com/ClickHouse/ch-go"
	const columns = "sinks/clickhouse/column" // fills the driver's columns with bytes
	packages := ours(t)
	if p := packages[server+"/engine"]; !slices.Contains(p.Imports, engine) {
		t.Errorf("%s/engine does not import %s: this test looks for the wrong thing", server, engine)
	}
	for path, p := range packages {
		for _, dep := range p.Imports {
			if under(dep, engine) && !under(path, server) || under(dep, protocol) && !under(path, server, columns) {
				t.Errorf("%s imports %s", path, dep)
			}
		}
	}
	for _, dep := range packages["cmd/millrace"].Deps {
		if own := strings.TrimPrefix(dep, module); under(dep, engine) || under(own, "internal/testenv") {
			t.Errorf("the program is made of %s", dep)
		}
	}
}
