package spec

import (
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/millrace/millrace/internal/config"
)

// split parts a component's mapping into the keys that head has and the rest, without
// "type". The nodes keep their positions.
func split(n *yaml.Node, head any) (shared, own *yaml.Node) {
	empty := func() *yaml.Node {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: n.Tag, Line: n.Line, Column: n.Column}
	}
	shared, own = empty(), empty()
	var known map[string]reflect.Type
	if head != nil {
		known = config.Fields(reflect.TypeOf(head).Elem())
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		switch {
		case key == "type":
		case known[key] != nil:
			shared.Content = append(shared.Content, n.Content[i], n.Content[i+1])
		default:
			own.Content = append(own.Content, n.Content[i], n.Content[i+1])
		}
	}
	return shared, own
}
