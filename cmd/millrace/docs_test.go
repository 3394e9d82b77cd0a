package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/pipeline/spec"
)

// pages are the texts for people, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() != ".." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			text, err := os.ReadFile(path)
			found[path] = string(text)
			return err
		}
		return err
	})
	if err != nil || len(found) < 20 {
		t.Fatalf("%d pages, %v", len(found), err)
	}
	return found
}

var (
	substituted = regexp.MustCompile(`\$\([^)]*\)`)
	fenced      = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")
	inline      = regexp.MustCompile("`((?:bin/)?millrace [a-z][^`\n]*)`")
)

// commandLines are the lines of a page that call millrace.
func commandLines(page string) (lines []string) {
	for _, block := range fenced.FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
			line = strings.TrimPrefix(strings.TrimSpace(line), "bin/")
			if strings.HasPrefix(line, "millrace ") {
				lines = append(lines, line)
			}
		}
	}
	for _, m := range inline.FindAllStringSubmatch(page, -1) {
		lines = append(lines, strings.TrimPrefix(m[1], "bin/"))
	}
	return lines
}

// checkLine looks whether a command line is one of millrace's: the command, the flags and the
// number of arguments, in which a name in capitals stands for any.
func checkLine(line string) error {
	line, _, _ = strings.Cut(line, " #")
	line, _, _ = strings.Cut(line, "|")
	line, _, _ = strings.Cut(line, "&&")
	line = substituted.ReplaceAllString(line, "1")
	args := strings.Fields(strings.NewReplacer("…", "", "...", "", "[", "", "]", "", `"`, "", "'", "").Replace(line))[1:]
	root := newRoot()
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if c.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return unknownCommand(c, rest[0])
	}
	if err := c.ParseFlags(rest); err != nil &&
		!strings.Contains(err.Error(), "flag needs an argument") && !strings.Contains(err.Error(), "help requested") {
		return err
	}
	if given := c.Flags().Args(); c.Args != nil && len(given) > 0 {
		return c.Args(c, given)
	}
	return nil
}

// TestEveryDocumentedCommandExists: what the pages and the examples of --help call is there,
// with those flags.
func TestEveryDocumentedCommandExists(t *testing.T) {
	lines := 0
	check := func(where, line string) {
		lines++
		if err := checkLine(line); err != nil {
			t.Errorf("%s: %q: %v", where, line, err)
		}
	}
	for path, page := range pages(t) {
		if filepath.Base(path) == "CHANGELOG.md" {
			continue // it tells of what was
		}
		for _, line := range commandLines(page) {
			check(path, line)
		}
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			for _, word := range strings.Fields(line) { // variables may stand before
				if word == "millrace" {
					check(c.CommandPath()+" --help", line[strings.Index(line, "millrace "):])
					break
				}
			}
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(newRoot())
	if lines < 60 {
		t.Errorf("only %d lines were found", lines)
	}
}

// TestAWrongDocumentedCommandIsFound: the check finds what it is for.
func TestAWrongDocumentedCommandIsFound(t *testing.T) {
	for _, line := range []string{"millrace pipeline stats", "millrace pipeline status --wach", "millrace brokr",
		"millrace pipeline pause a b c", "millrace admin topic list extra"} {
		if checkLine(line) == nil {
			t.Errorf("%q is taken for right", line)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)

// TestEveryLinkLeadsSomewhere: to a file of the tree.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	links := 0
	for path, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: %s: %v", path, m[1], err)
			}
		}
	}
	if links < 60 {
		t.Errorf("only %d links were found", links)
	}
}

var (
	namedPath = regexp.MustCompile("`((?:broker|client|cmd|configs|connectors|deploy|docs|e2e|internal|message|namesrv|" +
		"pipeline|remoting|sinks)/[a-zA-Z0-9_./-]+)`")
	namedTest = regexp.MustCompile("`(Test[A-Za-z0-9]+)`|\\s(Test[A-Z][A-Za-z0-9]+)")
	testFunc  = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
)

// TestWhatPagesNameIsThere: folders, files and tests of the tree.
func TestWhatPagesNameIsThere(t *testing.T) {
	tests, names := map[string]bool{}, 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, page := range pages(t) {
		if filepath.Base(path) == "CHANGELOG.md" {
			continue // it tells of what was
		}
		for _, m := range namedPath.FindAllStringSubmatch(page, -1) {
			names++
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
				t.Errorf("%s names %s: %v", path, m[1], err)
			}
		}
		for _, m := range namedTest.FindAllStringSubmatch(page, -1) {
			names++
			if name := m[1] + m[2]; !tests[name] {
				t.Errorf("%s names %s, which no package has", path, name)
			}
		}
	}
	if names < 60 {
		t.Errorf("only %d names were found", names)
	}
}

// TestEveryDecisionIsInTheIndex: by its number, once, with a link.
func TestEveryDecisionIsInTheIndex(t *testing.T) {
	index, err := os.ReadFile("../../docs/adr/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../docs/adr/0*.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		name, number := filepath.Base(file), fmt.Sprintf("%04d", i+1)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(name, number) || !strings.HasPrefix(string(text), "# "+number+" ") {
			t.Errorf("%s is decision %s by its place", name, number)
		}
		if strings.Count(string(index), "| ["+number+"]("+name+") | ") != 1 {
			t.Errorf("the index does not have %s once", name)
		}
	}
	if len(files) < 20 {
		t.Errorf("only %d decisions were found", len(files))
	}
}

var wholeFile = regexp.MustCompile("(?s)\n```yaml\n(version: 1\n.*?)```")

// TestEveryDocumentedPipelineFileIsRight: what stands in a page as a whole file.
func TestEveryDocumentedPipelineFileIsRight(t *testing.T) {
	files := 0
	for path, page := range pages(t) {
		for _, m := range wholeFile.FindAllStringSubmatch(page, -1) {
			files++
			if _, err := spec.Parse(path, []byte(m[1]), kinds(), environment); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if files == 0 {
		t.Error("no file was found")
	}
}
