package config

import (
	"bufio"
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ParseProperties reads a Java properties file (RocketMQ's broker.conf) as a document.
// Keys that the struct does not know are put before refuse, since people bring their files:
// those for which it returns an error are mistakes, all others are dropped and named in
// warnings.
func ParseProperties(file string, data []byte, t reflect.Type, refuse func(key, value string) error) (d *Document,
	warnings []string, err error) {
	d = &Document{File: file, Root: &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}}
	fields := Fields(t)
	seen, foreign := map[string]*yaml.Node{}, map[string]*yaml.Node{}
	var unknown []string
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for line := 1; scanner.Scan(); line++ {
		text := strings.TrimSpace(scanner.Text())
		if text == "" || text[0] == '#' || text[0] == '!' {
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok {
			d.Issues = append(d.Issues, Issue{File: file, Line: line, Col: 1, Text: "a line must be key=value"})
			continue
		}
		field, known := fields[key]
		if !known {
			if foreign[key] == nil {
				unknown = append(unknown, key)
			}
			foreign[key] = &yaml.Node{Value: value, Line: line} // as in Java, the last one counts
			continue
		}
		n := &yaml.Node{Kind: yaml.ScalarNode, Value: value, Line: line, Column: 1}
		if field.Kind() == reflect.String {
			n.Tag = "!!str"
		}
		if old := seen[key]; old != nil {
			*old = *n // as in Java, the last one counts
			continue
		}
		seen[key] = n
		d.Root.Content = append(d.Root.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, Line: line, Column: 1}, n)
	}
	if err := scanner.Err(); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", file, err)
	}
	for _, key := range unknown {
		n := foreign[key]
		if err := refuse(key, n.Value); err != nil {
			d.Issues = append(d.Issues, Issue{File: file, Line: n.Line, Col: 1, Text: err.Error()})
			continue
		}
		warnings = append(warnings, fmt.Sprintf("%s:%d: %s is not a setting of this broker and is ignored", file, n.Line, key))
	}
	return d, warnings, nil
}
