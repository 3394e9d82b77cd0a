package config

import (
	"fmt"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Issue is one mistake in a file.
type Issue struct {
	File       string `json:"file"`
	Line       int    `json:"line,omitempty"`
	Col        int    `json:"col,omitempty"`
	Path       string `json:"path,omitempty"` // dotted path of the key
	Text       string `json:"text"`
	Suggestion string `json:"suggestion,omitempty"`
}

// String is the mistake on one line: file:line:col: path: text (suggestion).
func (i Issue) String() string {
	var b strings.Builder
	b.WriteString(i.File)
	if i.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", i.Line, i.Col)
	}
	b.WriteString(": ")
	if i.Path != "" {
		b.WriteString(i.Path + ": ")
	}
	b.WriteString(i.Text)
	if i.Suggestion != "" {
		b.WriteString("; " + i.Suggestion)
	}
	return b.String()
}

// Issues are all mistakes of one reading, in the order of the file. It is the error
// that the functions of this package return for mistakes of the writer.
type Issues []Issue

// Error lists every mistake on a line of its own.
func (is Issues) Error() string {
	lines := make([]string, len(is))
	for i, one := range is {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Err is nil when there are no mistakes.
func (is Issues) Err() error {
	if len(is) == 0 {
		return nil
	}
	sort.SliceStable(is, func(a, b int) bool {
		if is[a].Line != is[b].Line {
			return is[a].Line < is[b].Line
		}
		return is[a].Col < is[b].Col
	})
	return is
}

// At makes an issue at a node.
func At(file string, n *yaml.Node, path, text, suggestion string) Issue {
	i := Issue{File: file, Path: path, Text: text, Suggestion: suggestion}
	if n != nil {
		i.Line, i.Col = n.Line, n.Column
	}
	return i
}

// Suggest is "did you mean …?" for the closest of known to word, or "".
func Suggest(word string, known []string) string {
	best, bestDistance := "", 1+max(2, len(word)/3)
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance is the number of single-character edits between a and b.
func distance(a, b string) int {
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current := make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current[j+1] = min(previous[j+1]+1, current[j]+1, previous[j]+cost)
		}
		previous = current
	}
	return previous[len(b)]
}
