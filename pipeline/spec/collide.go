package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/config"
)

// Collision is a target that several source tables have: rows of one would be taken for the
// other's.
type Collision struct {
	Target string
	Tables []string
}

// String names the target and its tables.
func (c Collision) String() string {
	return fmt.Sprintf("%s is the target of %s", c.Target, strings.Join(c.Tables, " and of "))
}

// Collisions are the targets that several of these tables have in a sink, in the order of names.
// Sinks that put each table in a place of its own have none.
func (k Kind) Collisions(cfg any, tables []string) (out []Collision) {
	if k.Target == nil {
		return nil
	}
	of := map[string][]string{}
	var order []string
	for _, table := range slices.Compact(slices.Sorted(slices.Values(tables))) {
		target := k.Target(cfg, table)
		if of[target] == nil {
			order = append(order, target)
		}
		of[target] = append(of[target], table)
	}
	for _, target := range order {
		if len(of[target]) > 1 {
			out = append(out, Collision{target, of[target]})
		}
	}
	return out
}

// collisions refuses targets that several tables have which the source names one by one. Those
// behind patterns only the server knows.
func (r *reader) collisions(p *Pipeline) {
	source := r.kinds.Sources[p.Source.Type]
	if source.Named == nil || p.Source.Config == nil {
		return
	}
	named := source.Named(p.Source.Config)
	for i, s := range p.Sinks {
		if s.Config == nil {
			continue
		}
		for _, c := range r.kinds.Sinks[s.Type].Collisions(s.Config, named) {
			path := fmt.Sprintf("sinks[%d]", i)
			r.issue(config.Child(r.doc.Root, "sinks").Content[i], path, c.String(), Separate)
		}
	}
}

// Separate is what is done about it.
const Separate = "have database and table of the sink name each source table's own target, " +
	"for example database: \"{db}\" and table: \"{table}\""
