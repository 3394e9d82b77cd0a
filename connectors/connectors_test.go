package connectors

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline/spec"
)

// TestWhatTheFileSaysOfTablesIsNoKeyOfTheSource: queues and keys of tables stand beside the
// source. Said within it they would be read and come to nothing.
func TestWhatTheFileSaysOfTablesIsNoKeyOfTheSource(t *testing.T) {
	sink := spec.Kind{Default: func() any { return &struct{}{} }}
	for _, said := range []string{"queues: 8", "table_queues: {shop.orders: 8}", "keys: {shop.orders: [id]}"} {
		text := "version: 1\nname: orders\nsource: {type: mysql, user: reader, tables: [shop.*], " + said +
			"}\nsinks: [{name: lake, type: none}]\n"
		_, err := spec.Parse("orders.yaml", []byte(text), spec.Kinds{Sources: Kinds(), Sinks: map[string]spec.Kind{"none": sink}}, nil)
		key, _, _ := strings.Cut(said, ":")
		if err == nil || !strings.Contains(err.Error(), "source."+key) {
			t.Errorf("source.%s: %v", key, err)
		}
	}
}
