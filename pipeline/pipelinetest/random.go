package pipelinetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Everything is a script of all that a log can hold: rows before the first opening,
// inserts, updates, deletes, changed keys, a transaction that no group can hold, a column
// with a default, a TRUNCATE, and a table without a key. The seed chooses the rest.
func Everything(seed uint64) *Script {
	r := rand.New(rand.NewPCG(seed, 11))
	s := NewScript()
	orders, items, log := s.Table("shop", "orders", 2, true), s.Table("shop", "order items", 3, true), s.Table("shop", "log", 2, false)
	for i := range 6 {
		s.Commit(orders.Put(i, "before"), items.Put(i, "before"), log.Insert(i%3, "before"))
	}
	n := 0
	text := func() string { n++; return fmt.Sprintf("%d of %d", n, seed) }
	some := func(rounds int) {
		for range rounds {
			t := orders
			if r.IntN(2) == 0 {
				t = items
			}
			id := r.IntN(10)
			have := s.content(t.Name).find(id) != nil
			switch roll := r.IntN(10); {
			case roll < 5:
				s.Plan(t.Put(id, text()), log.Insert(r.IntN(3), "again"))
			case roll < 7 && have:
				s.Plan(t.Delete(id))
			case roll < 9 && have:
				s.Plan(t.Move(id, 100+n, text()), orders.Put(200+r.IntN(3), text()))
			default:
				k := r.IntN(3)
				if s.content(log.Name).find(k) == nil {
					s.Plan(log.Insert(k, text()))
					continue
				}
				s.Plan(log.Move(k, r.IntN(3), text()))
			}
		}
	}
	some(6)
	s.AddColumn(orders, "via", "web")
	some(5)
	s.Plan(large(orders, items, 48)...)
	some(4)
	s.Truncate(items)
	some(6)
	s.Plan(orders.Put(300, "last"), items.Put(300, "last"), log.Insert(9, "last"))
	return s
}

// large is one transaction of about 200 KiB: groups are cut at 64 KiB.
func large(a, b Table, rows int) (out []Change) {
	for i := range rows {
		t := a
		if i%3 == 0 {
			t = b
		}
		out = append(out, t.Put(1000+i, strings.Repeat("large ", 700)))
	}
	return out
}
