package rules

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/seeded"
)

const root = "../.."

// rule is one section of the page.
type rule struct {
	name  string
	text  string
	built bool
	bugs  []string
}

var (
	heading  = regexp.MustCompile(`^### ([A-Z][0-9]+) `)
	row      = regexp.MustCompile(`^\| (I[0-9]+) \|`)
	quoted   = regexp.MustCompile("`([a-z]+(?:-[a-z]+)+)`")
	suite    = regexp.MustCompile("\\(`\\./([a-z/]+)`(?:\\s+(Test[A-Za-z]+))?\\)")
	citation = regexp.MustCompile(`\b([BSCKI])([1-9][0-9]?)\b(?: to ([BSCKI])([1-9][0-9]?)\b)?`)
)

// page reads the rules, by name, and the names of what suites assert.
func page(t *testing.T) (rules map[string]*rule, asserted map[string]bool) {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/delivery.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, asserted = map[string]*rule{}, map[string]bool{}
	var now *rule
	for line := range strings.Lines(string(text)) {
		if m := heading.FindStringSubmatch(line); m != nil {
			if rules[m[1]] != nil {
				t.Errorf("%s stands on the page twice", m[1])
			}
			now = &rule{name: m[1], built: true}
			rules[now.name] = now
			continue
		}
		if strings.HasPrefix(line, "## ") {
			now = nil
		}
		if m := row.FindStringSubmatch(line); m != nil {
			asserted[m[1]] = true
		}
		if now != nil {
			now.text += line
		}
	}
	for _, r := range rules {
		r.built = !strings.Contains(r.text, "*Not built yet.*")
		_, after, _ := strings.Cut(r.text, "*Seeded:*")
		for _, m := range quoted.FindAllStringSubmatch(after, -1) {
			r.bugs = append(r.bugs, m[1])
		}
	}
	return rules, asserted
}

// cited collects the rules that comments of the tree name, each with a place.
func cited(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	walk(t, func(path string) {
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range f.Comments {
			for _, name := range citations(group.Text()) {
				found[name] = set.Position(group.Pos()).String()
			}
		}
	})
	return found
}

// walk calls each with every Go file but this package's.
func walk(t *testing.T, each func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != "." && d.Name() != ".." || d.Name() == "rules"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			each(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// citations finds rule numbers, ranges included. S3 alone is a storage.
func citations(text string) (names []string) {
	for _, at := range citation.FindAllStringSubmatchIndex(text, -1) {
		part := func(i int) string {
			if at[2*i] < 0 {
				return ""
			}
			return text[at[2*i]:at[2*i+1]]
		}
		letter, from, upto := part(1), number(part(2)), number(part(2))
		if part(3) == letter {
			upto = number(part(4))
		}
		if letter+part(2) == "S3" && upto == from && !strings.HasSuffix(strings.TrimSpace(text[:at[0]]), "delivery") {
			continue
		}
		for n := from; n <= upto; n++ {
			names = append(names, letter+strconv.Itoa(n))
		}
	}
	return names
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func TestWhatIsCitedStandsOnThePage(t *testing.T) {
	rules, asserted := page(t)
	for name, where := range cited(t) {
		if rules[name] == nil && !asserted[name] {
			t.Errorf("%s: %s does not stand in docs/delivery.md", where, name)
		}
	}
}

func TestEveryRuleIsKeptSomewhere(t *testing.T) {
	rules, _ := page(t)
	known := cited(t)
	for _, e := range seeded.List() {
		known[e.Rule] = string(e.Bug)
	}
	for _, letter := range []string{"B", "S", "C", "K", "V"} {
		for n := 1; ; n++ {
			r := rules[letter+strconv.Itoa(n)]
			if r == nil {
				if n == 1 {
					t.Errorf("the page has no rule %s1", letter)
				}
				break
			}
			delete(rules, r.name)
			switch {
			case r.built && known[r.name] == "":
				t.Errorf("%s is cited nowhere and not marked as not built yet", r.name)
			case r.built && !strings.Contains(r.text, "*Seeded:*"):
				t.Errorf("%s does not say which bug proves it", r.name)
			}
		}
	}
	for name := range rules {
		t.Errorf("%s does not follow the rule before it", name)
	}
}

func TestEachBugStandsBesideItsRule(t *testing.T) {
	rules, _ := page(t)
	listed := map[string]bool{}
	for _, e := range seeded.List() {
		listed[string(e.Bug)] = true
		switch r := rules[e.Rule]; {
		case r == nil:
			t.Errorf("%s breaks %s, which does not stand on the page", e.Bug, e.Rule)
		case !slices.Contains(r.bugs, string(e.Bug)):
			t.Errorf("%s breaks %s, whose section does not name it", e.Bug, e.Rule)
		}
		if e.Sentence == "" {
			t.Errorf("%s has no sentence", e.Bug)
		}
	}
	for _, r := range rules {
		for _, bug := range r.bugs {
			if !listed[bug] {
				t.Errorf("%s names the bug %s, which is in no list", r.name, bug)
			}
		}
		for _, m := range suite.FindAllStringSubmatch(r.text, -1) {
			if err := exists(m[1], m[2]); err != nil {
				t.Errorf("%s: %v", r.name, err)
			}
		}
	}
}

// exists tells whether a package has tests, and the one of the name.
func exists(dir, test string) error {
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("%s has no tests: %v", dir, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if test == "" || strings.Contains(string(text), "func "+test+"(") {
			return nil
		}
	}
	return fmt.Errorf("%s has no %s", dir, test)
}

// TestEveryBugIsAConstantThatIsUsed reads the constants of internal/seeded and who asks for
// them.
func TestEveryBugIsAConstantThatIsUsed(t *testing.T) {
	listed := map[seeded.Bug]bool{}
	for _, e := range seeded.List() {
		listed[e.Bug] = true
	}
	used, constants := map[string]bool{}, map[string]string{}
	walk(t, func(path string) {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, "internal/seeded/bugs.go") {
			for name, value := range bugsOf(f) {
				constants[name] = value
			}
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if fn, ok := call.Fun.(*ast.SelectorExpr); !ok || fmt.Sprint(fn.X) != "seeded" || fn.Sel.Name != "On" {
				return true
			}
			if bug, ok := call.Args[0].(*ast.SelectorExpr); ok {
				used[bug.Sel.Name] = true
			} else {
				t.Errorf("%s asks for a bug that is no constant", path)
			}
			return true
		})
	})
	for name, value := range constants {
		if !listed[seeded.Bug(value)] {
			t.Errorf("%s is in no list", name)
		}
		if !used[name] {
			t.Errorf("nobody asks for %s", name)
		}
	}
	if len(constants) != len(listed) || len(listed) == 0 {
		t.Errorf("%d constants, %d in the list", len(constants), len(listed))
	}
	text, err := os.ReadFile(root + "/e2e/seeded.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if bug, _, _ := strings.Cut(line, " "); !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" && !listed[seeded.Bug(bug)] {
			t.Errorf("e2e/seeded.txt names %s, which is in no list", bug)
		}
	}
}

func bugsOf(f *ast.File) map[string]string {
	out := map[string]string{}
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, s := range gen.Specs {
			v := s.(*ast.ValueSpec)
			if text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value); err == nil {
				out[v.Names[0].Name] = text
			}
		}
	}
	return out
}
