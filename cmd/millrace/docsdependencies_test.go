package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	directModule = regexp.MustCompile(`(?m)^\t(\S+) v\S+$`)
	moduleRow    = regexp.MustCompile(`(?m)^\| ([^|]+) \| [^|]+ \|[^|]*\|$`)
	majorSuffix  = regexp.MustCompile(`/v[0-9]+(/|$)`)
	braces       = regexp.MustCompile(`^(.*)\{(.*)\}$`)
)

// TestEveryDependencyIsExplained: the page names the modules that go.mod requires, and no other.
func TestEveryDependencyIsExplained(t *testing.T) {
	page := dependencies(t)
	page, _, _ = strings.Cut(page, "\n## ")
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, row := range moduleRow.FindAllStringSubmatch(page, -1) {
		if row[1] == "module" {
			continue
		}
		if m := braces.FindStringSubmatch(row[1]); m != nil {
			for one := range strings.SplitSeq(m[2], ",") {
				named = append(named, m[1]+one)
			}
			continue
		}
		named = append(named, strings.Split(row[1], ", ")...)
	}
	used := map[string]bool{}
	required := directModule.FindAllStringSubmatch(string(mod), -1)
	for _, m := range required {
		path := strings.TrimSuffix(majorSuffix.ReplaceAllString(strings.TrimPrefix(m[1], "github.com/"), "/"), "/")
		i := slices.IndexFunc(named, func(n string) bool { return path == n || strings.HasPrefix(path, n+"/") })
		if i < 0 {
			t.Errorf("docs/dependencies.md does not say what %s is for", m[1])
			continue
		}
		used[named[i]] = true
	}
	for _, n := range named {
		if !used[n] {
			t.Errorf("docs/dependencies.md names %s, which go.mod does not require", n)
		}
	}
	if len(required) < 20 {
		t.Errorf("only %d modules were found in go.mod", len(required))
	}
}

var (
	pinnedPackage = regexp.MustCompile(`"([a-z0-9-]+)==([0-9][0-9.]*)"`)
	pinnedVersion = regexp.MustCompile(`(?m)^(?:const )?\t?([A-Za-z]+)Version +?= "([^"]+)"`)
	pinnedJar     = regexp.MustCompile(`"[a-z.]+:([a-z0-9_.-]+):([0-9][0-9.]*)"`)
)

// TestEveryFetchedProgramIsExplained: the page names what the tests fetch in the version that
// they fetch.
func TestEveryFetchedProgramIsExplained(t *testing.T) {
	_, page, _ := strings.Cut(dependencies(t), "\n## ")
	files, err := filepath.Glob("../../internal/testenv/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, pinned := range []*regexp.Regexp{pinnedPackage, pinnedVersion, pinnedJar} {
			for _, m := range pinned.FindAllSubmatch(text, -1) {
				found++
				name, version := string(m[1]), strings.TrimPrefix(string(m[2]), "v")
				if !regexp.MustCompile(`(?i)` + regexp.QuoteMeta(name) + `[^|\n]*\| [^|\n]*\b` + regexp.QuoteMeta(version) + `\b`).MatchString(page) {
					t.Errorf("docs/dependencies.md does not name %s %s of %s", name, version, filepath.Base(file))
				}
			}
		}
	}
	if found < 18 {
		t.Errorf("only %d pinned versions were found", found)
	}
}

func dependencies(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
