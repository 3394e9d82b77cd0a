package groups

import (
	"cmp"
	"slices"
)

// ConsumerView is a consumer group as tools see it.
type ConsumerView struct {
	Group         string
	Consumer      Consumer
	Members       []Client
	Conflicts     int64
	Subscriptions []*Subscription
}

// Consumers shows all consumer groups, or the one that is named, sorted.
func (r *Registry) Consumers(only ...string) []ConsumerView {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var views []ConsumerView
	for name, g := range r.consumers {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		v := ConsumerView{Group: name, Consumer: g.info, Conflicts: g.conflicts}
		for _, m := range g.members {
			v.Members = append(v.Members, m.Client)
		}
		for _, s := range g.subscriptions {
			v.Subscriptions = append(v.Subscriptions, s)
		}
		slices.SortFunc(v.Members, func(a, b Client) int { return cmp.Compare(a.ID, b.ID) })
		slices.SortFunc(v.Subscriptions, func(a, b *Subscription) int { return cmp.Compare(a.Topic, b.Topic) })
		views = append(views, v)
	}
	slices.SortFunc(views, func(a, b ConsumerView) int { return cmp.Compare(a.Group, b.Group) })
	return views
}

// Producers shows the members of a producer group.
func (r *Registry) Producers(group string) []Client {
	r.mu.RLock()
	defer r.mu.RUnlock()
	g := r.producers[group]
	if g == nil {
		return nil
	}
	clients := make([]Client, 0, len(g.members))
	for _, m := range g.members {
		clients = append(clients, m.Client)
	}
	return clients
}

// Counts are the members of all producer and all consumer groups, for metrics.
func (r *Registry) Counts() (producers, consumers int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, g := range r.producers {
		producers += len(g.members)
	}
	for _, g := range r.consumers {
		consumers += len(g.members)
	}
	return producers, consumers
}
