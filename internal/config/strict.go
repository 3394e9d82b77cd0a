package config

import (
	"encoding"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Decode fills target (a pointer to a struct that holds the defaults) from a node of
// the document and collects every mistake: unknown keys with a suggestion, values of a
// wrong type. path names the node for messages. Fields of type yaml.Node take anything.
func (d *Document) Decode(n *yaml.Node, path string, target any) {
	if n == nil {
		return
	}
	before := len(d.Issues)
	d.check(n, path, reflect.TypeOf(target).Elem())
	if len(d.Issues) > before {
		fillWhatIsRight(n, target)
		return
	}
	if err := n.Decode(target); err != nil {
		d.Issues = append(d.Issues, At(d.File, n, path, strings.TrimPrefix(err.Error(), "yaml: "), ""))
	}
}

// fillWhatIsRight takes over the keys whose values can be read, so that one mistake does
// not make others of values that are there. The mistakes themselves are known already.
func fillWhatIsRight(n *yaml.Node, target any) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		one := yaml.Node{Kind: yaml.MappingNode, Tag: n.Tag, Content: n.Content[i : i+2]}
		_ = one.Decode(target)
	}
}

var (
	unmarshaler     = reflect.TypeFor[yaml.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	nodeType        = reflect.TypeFor[yaml.Node]()
)

func (d *Document) check(n *yaml.Node, path string, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == nodeType, t.Kind() == reflect.Interface:
	case reflect.PointerTo(t).Implements(unmarshaler), n.Kind == yaml.ScalarNode && reflect.PointerTo(t).Implements(textUnmarshaler):
		d.leaf(n, path, t)
	case t.Kind() == reflect.Struct:
		d.structure(n, path, t)
	case t.Kind() == reflect.Map:
		d.mapping(n, path, t)
	case t.Kind() == reflect.Slice:
		d.sequence(n, path, t)
	default:
		d.leaf(n, path, t)
	}
}

func (d *Document) structure(n *yaml.Node, path string, t reflect.Type) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "a mapping of keys to values")
		return
	}
	fields := Fields(t)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		field, ok := fields[key.Value]
		if !ok {
			known := make([]string, 0, len(fields))
			for name := range fields {
				known = append(known, name)
			}
			sort.Strings(known)
			hint := Suggest(key.Value, known)
			if hint == "" {
				hint = "known here: " + strings.Join(known, ", ")
			}
			d.Issues = append(d.Issues, At(d.File, key, join(path, key.Value), "unknown key", hint))
			continue
		}
		d.check(n.Content[i+1], join(path, key.Value), field)
	}
}

func (d *Document) mapping(n *yaml.Node, path string, t reflect.Type) {
	if n.Kind != yaml.MappingNode {
		d.wrong(n, path, "a mapping of keys to values")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		d.check(n.Content[i+1], join(path, n.Content[i].Value), t.Elem())
	}
}

func (d *Document) sequence(n *yaml.Node, path string, t reflect.Type) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, path, "a list")
		return
	}
	for i, item := range n.Content {
		d.check(item, fmt.Sprintf("%s[%d]", path, i), t.Elem())
	}
}

func (d *Document) leaf(n *yaml.Node, path string, t reflect.Type) {
	v := reflect.New(t)
	err := n.Decode(v.Interface())
	switch {
	case err == nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && t.Kind() != reflect.String:
		d.Issues = append(d.Issues, At(d.File, n, path, "the value is empty", "give it a value or remove the key"))
	case err == nil:
	case reflect.PointerTo(t).Implements(unmarshaler), n.Kind == yaml.ScalarNode && reflect.PointerTo(t).Implements(textUnmarshaler):
		d.Issues = append(d.Issues, At(d.File, n, path, err.Error(), ""))
	default:
		d.wrong(n, path, kindName(t))
	}
}

func (d *Document) wrong(n *yaml.Node, path, want string) {
	d.Issues = append(d.Issues, At(d.File, n, path, fmt.Sprintf("must be %s, not %s", want, nodeName(n)), ""))
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	default:
		return t.String()
	}
}

func nodeName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}

// Fields maps the yaml keys of a struct to the types of their fields; inlined structs
// are part of it.
func Fields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case strings.Contains(options, "inline"):
			for k, v := range Fields(f.Type) {
				fields[k] = v
			}
		case name == "":
			fields[strings.ToLower(f.Name)] = f.Type
		default:
			fields[name] = f.Type
		}
	}
	return fields
}
