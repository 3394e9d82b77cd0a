package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document is a parsed file with its positions; interpolation has been done.
type Document struct {
	File   string
	Root   *yaml.Node // the top mapping; an empty one for an empty file
	Issues Issues
}

// Env looks a variable up; os.LookupEnv is one.
type Env func(name string) (string, bool)

const maxFile = 4 << 20

// ReadFile parses the file at path.
func ReadFile(path string, env Env) (*Document, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("read configuration %s: %d bytes is more than the %d that a configuration may have", path, info.Size(), maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data, env)
}

// Parse parses data. Mistakes of form (bad YAML, several documents) are returned;
// unset variables and duplicate keys are collected in Issues.
func Parse(file string, data []byte, env Env) (*Document, error) {
	var top yaml.Node
	if err := yaml.Unmarshal(data, &top); err != nil {
		issue := yamlIssue(file, err)
		if text := unquoted.FindStringSubmatch(string(data)); text != nil {
			issue.Suggestion = quoteTag(text[1])
		}
		return nil, Issues{issue}
	}
	doc := &Document{File: file, Root: &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}}
	if len(top.Content) > 0 && top.Content[0].Tag != "!!null" {
		doc.Root = top.Content[0]
	}
	if doc.Root.Kind != yaml.MappingNode {
		return nil, Issues{At(file, doc.Root, "", "the file must be a mapping of keys to values", "")}
	}
	doc.walk(doc.Root, "", env)
	doc.single(data)
	return doc, nil
}

// single finds a second document, which YAML's readers pass over in silence.
func (d *Document) single(data []byte) {
	all := yaml.NewDecoder(bytes.NewReader(data))
	for range 2 {
		var n yaml.Node
		err := all.Decode(&n)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			d.Issues = append(d.Issues, yamlIssue(d.File, err))
			return
		}
		if len(n.Content) > 0 && d.Root.Line != n.Content[0].Line && n.Content[0].Tag != "!!null" {
			d.Issues = append(d.Issues, At(d.File, n.Content[0], "", "a second document begins here, and a file is read to its first one's end",
				"put it into a file of its own, or take the line --- away"))
		}
	}
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

func yamlIssue(file string, err error) Issue {
	i := Issue{File: file, Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		_, _ = fmt.Sscan(m[1], &i.Line) // the pattern has digits only
		i.Col = 1
	}
	return i
}

// unquoted is a word that begins with an exclamation mark, which YAML reads as a tag.
var unquoted = regexp.MustCompile(`(?m)(?:^|[\[,]|- )\s*(![^!\s"',\]]+)`)

func quoteTag(tag string) string {
	return fmt.Sprintf("put it into quotes: %q", strings.TrimRight(tag, ","))
}

// walk interpolates scalars and finds duplicate keys, aliases, octal numbers and tags: what
// begins with an exclamation mark and is not quoted would be dropped in silence.
func (d *Document) walk(n *yaml.Node, path string, env Env) {
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		d.Issues = append(d.Issues, At(d.File, n, path, n.Tag+" is read as a tag of YAML and not as a value", quoteTag(n.Tag)))
		n.Tag = ""
	}
	switch n.Kind {
	case yaml.MappingNode:
		seen := make(map[string]bool, len(n.Content)/2)
		var once []*yaml.Node // a mapping with a key twice can't be decoded, which would make mistakes of all others
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			d.walk(n.Content[i+1], join(path, key.Value), env)
			if seen[key.Value] {
				d.Issues = append(d.Issues, At(d.File, key, join(path, key.Value), "the key stands twice", "remove one of them"))
				continue
			}
			seen[key.Value] = true
			once = append(once, key, n.Content[i+1])
		}
		n.Content = once
	case yaml.SequenceNode:
		for i, item := range n.Content {
			d.walk(item, fmt.Sprintf("%s[%d]", path, i), env)
		}
	case yaml.AliasNode:
		d.Issues = append(d.Issues, At(d.File, n, path, "anchors and aliases are not supported here", "write the value out"))
	case yaml.ScalarNode:
		d.scalar(n, path, env)
	}
}

var octal = regexp.MustCompile(`^[-+]?0[0-9_]+$`)

func (d *Document) scalar(n *yaml.Node, path string, env Env) {
	if n.Style == 0 && octal.MatchString(n.Value) {
		d.Issues = append(d.Issues, At(d.File, n, path, fmt.Sprintf("the number %s would be read as octal", n.Value),
			"drop the leading zero, or quote it"))
	}
	if !strings.Contains(n.Value, "${") {
		return
	}
	value, err := Interpolate(n.Value, env)
	if err != nil {
		d.Issues = append(d.Issues, At(d.File, n, path, err.Error(), "set it, or write $${ for a literal ${"))
		value = ""
	}
	n.Value = value
	if n.Style == 0 {
		n.Tag = "" // resolved anew: ${PORT} is a number when the variable holds one
	}
}

// Interpolate replaces ${NAME} and ${file:/path}; $${ stands for a literal ${.
func Interpolate(s string, env Env) (string, error) {
	var out strings.Builder
	for {
		at := strings.Index(s, "${")
		if at < 0 {
			out.WriteString(s)
			return out.String(), nil
		}
		if at > 0 && s[at-1] == '$' {
			out.WriteString(s[:at-1] + "${")
			s = s[at+2:]
			continue
		}
		end := strings.IndexByte(s[at:], '}')
		if end < 0 {
			return "", errors.New("a ${ has no closing }")
		}
		value, err := lookup(s[at+2:at+end], env)
		if err != nil {
			return "", err
		}
		out.WriteString(s[:at] + value)
		s = s[at+end+1:]
	}
}

func lookup(name string, env Env) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("${file:%s} can't be read: %w", path, err)
		}
		return strings.TrimRight(string(data), "\r\n"), nil
	}
	if value, ok := env(name); ok {
		return value, nil
	}
	return "", fmt.Errorf("the environment variable %s is not set", name)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Child is the value of key in a mapping, or nil.
func Child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
