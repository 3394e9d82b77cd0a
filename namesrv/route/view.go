package route

import (
	"cmp"
	"maps"
	"slices"
)

// Group is the processes of one broker name.
type Group struct {
	Cluster, Name string
	Addrs         map[int64]string
}

// Hop is a topic on one broker.
type Hop struct {
	Group
	Topic
}

// Route is where a topic is served, sorted by broker name; nil when nowhere.
func (t *Table) Route(topic string) []Hop {
	var hops []Hop
	for name, g := range t.groups {
		if q, ok := g.topics[topic]; ok {
			hops = append(hops, Hop{g.view(name), q})
		}
	}
	slices.SortFunc(hops, func(a, b Hop) int { return cmp.Compare(a.Name, b.Name) })
	return hops
}

// Groups are all brokers, sorted by name.
func (t *Table) Groups() []Group {
	groups := make([]Group, 0, len(t.groups))
	for _, name := range slices.Sorted(maps.Keys(t.groups)) {
		groups = append(groups, t.groups[name].view(name))
	}
	return groups
}

func (g *group) view(name string) Group {
	v := Group{Cluster: g.cluster, Name: name, Addrs: make(map[int64]string, len(g.processes))}
	for id, p := range g.processes {
		v.Addrs[id] = p.Addr
	}
	return v
}

// Topics are the names of all topics, or of those of one cluster, sorted.
func (t *Table) Topics(cluster string) []string {
	names := map[string]struct{}{}
	for _, g := range t.groups {
		if cluster == "" || g.cluster == cluster {
			for topic := range g.topics {
				names[topic] = struct{}{}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}
