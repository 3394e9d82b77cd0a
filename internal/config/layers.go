package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v3"
)

// separator joins path elements in koanf; no key of ours can hold it, unlike a dot.
const separator = "\x1f"

// Layers says where values come from besides the file. Later ones win: file,
// environment, overrides.
type Layers struct {
	// Prefix of environment variables: with "MILLRACE_BROKER", MILLRACE_BROKER__LISTENPORT
	// sets the key listenPort; a further "__" goes one level down. Case does not count.
	Prefix string
	// Environ is os.Environ().
	Environ []string
	// Overrides are given flags by path ("store.dir"), as text.
	Overrides map[string]string
}

// Load merges the document with the layers and decodes the result into target, a
// pointer to a struct that holds the defaults. d may be nil: no file.
func Load(d *Document, layers Layers, target any) error {
	if d == nil {
		d = &Document{File: "defaults", Root: &yaml.Node{Kind: yaml.MappingNode}}
	}
	t := reflect.TypeOf(target).Elem()
	d.check(d.Root, "", t)
	if err := d.Issues.Err(); err != nil {
		return err
	}
	k := koanf.New(separator)
	var fromFile map[string]any
	if err := d.Root.Decode(&fromFile); err != nil {
		return fmt.Errorf("decode %s: %w", d.File, err)
	}
	var issues Issues
	for _, layer := range []map[string]any{fromFile, environment(layers, t, &issues), overrides(layers, t, &issues)} {
		if err := k.Load(confmap.Provider(layer, separator), nil); err != nil {
			return fmt.Errorf("merge configuration of %s: %w", d.File, err)
		}
	}
	if err := issues.Err(); err != nil {
		return err
	}
	merged, err := yaml.Marshal(k.Raw())
	if err != nil {
		return fmt.Errorf("merge configuration of %s: %w", d.File, err)
	}
	if err := yaml.Unmarshal(merged, target); err != nil {
		return fmt.Errorf("decode configuration of %s: %w", d.File, err)
	}
	return nil
}

// environment takes the variables under the prefix; an unknown one is a mistake, since
// a setting that silently does nothing is worse than an error.
func environment(layers Layers, t reflect.Type, issues *Issues) map[string]any {
	out := map[string]any{}
	if layers.Prefix == "" {
		return out
	}
	for _, pair := range layers.Environ {
		name, value, _ := strings.Cut(pair, "=")
		rest, ok := strings.CutPrefix(name, layers.Prefix+"__")
		if !ok {
			continue
		}
		put(out, t, strings.Split(rest, "__"), value, "environment variable "+name, issues)
	}
	return out
}

func overrides(layers Layers, t reflect.Type, issues *Issues) map[string]any {
	out := map[string]any{}
	for path, value := range layers.Overrides {
		put(out, t, strings.Split(path, "."), value, "flag for "+path, issues)
	}
	return out
}

// put finds the field that path names (whatever its case) and stores the value, typed
// by YAML's own rules, at its place.
func put(out map[string]any, t reflect.Type, path []string, value, origin string, issues *Issues) {
	keys := make([]string, 0, len(path))
	for _, element := range path {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			*issues = append(*issues, Issue{File: origin, Text: "goes deeper than the configuration"})
			return
		}
		key, field, ok := fold(Fields(t), element)
		if !ok {
			*issues = append(*issues, Issue{File: origin, Text: fmt.Sprintf("there is no key %q", element)})
			return
		}
		keys, t = append(keys, key), field
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	if t.Kind() == reflect.String {
		n.Tag = "!!str"
	}
	probe := &Document{File: origin}
	var typed any = value
	if t.Kind() == reflect.Slice {
		typed = strings.Split(value, ",")
	} else {
		probe.check(n, strings.Join(keys, "."), t)
		if err := n.Decode(&typed); err != nil {
			typed = value
		}
	}
	*issues = append(*issues, probe.Issues...)
	at := out
	for _, key := range keys[:len(keys)-1] {
		next, ok := at[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[key] = next
		}
		at = next
	}
	at[keys[len(keys)-1]] = typed
}

func fold(fields map[string]reflect.Type, element string) (string, reflect.Type, bool) {
	for name, t := range fields {
		if strings.EqualFold(name, element) {
			return name, t, true
		}
	}
	return "", nil, false
}
