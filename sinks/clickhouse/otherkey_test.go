package clickhouse

import (
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
)

// Behind a change of the key readers see the table under the key before, with all changes
// since, until a snapshot under the new key is complete; whether one of them has no key or not.
func TestATableIsCurrentWhileItsKeyChanges(t *testing.T) {
	d := testenv.ClickHouse(t)
	columns := []event.Column{number(1, "id", 4), number(2, "k", 4), text(3, "v")}
	noKey, byID, byK := []int(nil), []int{0}, []int{1}
	for name, c := range map[string]struct{ before, after []int }{
		"another column":  {byID, byK},
		"the key goes":    {byID, noKey},
		"a key comes":     {noKey, byK},
		"one more column": {byID, []int{0, 1}},
	} {
		cfg := targetOn(t, d)
		cfg.Table = name
		m := schemas{}
		one, two := m.add(columns, c.before...), m.add(columns, c.after...)
		img := func(vals ...any) event.Image { return image(t, two, vals...) }
		o := own(t, cfg, m, 1, c.before == nil)
		o.write(0, mark(event.KindBegin, one, 0, event.Mark{Seq: 4, Attempt: 4, Queues: 1}),
			rows(one, 4, create(10, image(t, one, 1, 11, "a")), create(12, image(t, one, 2, 12, "b")), create(14, image(t, one, 3, 13, "c"))),
			mark(event.KindEnd, one, 14, event.Mark{Seq: 16, Attempt: 4, Queues: 1})).flush()
		changes := []event.Row{update(22, img(1, 11, "a"), img(1, 11, "A")), remove(26, img(3, 13, "c")), create(28, img(4, 14, "d"))}
		if c.after == nil {
			changes = append([]event.Row{remove(22, img(1, 11, "a")), create(23, img(1, 11, "A"))}, changes[1:]...)
		}
		if name == "another column" || name == "a key comes" {
			changes = append(changes, update(30, img(2, 12, "b"), img(5, 12, "b"))) // the old key's value changes, the new one's does not
		} else {
			changes = append(changes, remove(30, img(2, 12, "b")), create(31, img(5, 12, "b")))
		}
		o.write(0, mark(event.KindDDL, two, 16, event.Mark{Seq: 20, Queues: 1, Due: "another key"}), rows(two, 20, changes...)).flush()
		current := []string{"id=1 k=11 v=A", "id=4 k=14 v=d", "id=5 k=12 v=b"}
		same(t, name+", before the snapshot", shows(t, cfg), current)

		o = own(t, cfg, m, 2, c.after == nil)
		o.write(0, mark(event.KindBegin, two, changes[len(changes)-1].Seq, event.Mark{Seq: 40, Attempt: 40, Queues: 1}),
			rows(two, 40, event.Row{Op: event.OpRead, Index: 1, Seq: 42, After: img(1, 11, "A")},
				event.Row{Op: event.OpRead, Index: 2, Seq: 44, After: img(4, 14, "d")},
				event.Row{Op: event.OpRead, Index: 3, Seq: 46, After: img(5, 12, "b")})).flush()
		same(t, name+", in the snapshot", shows(t, cfg), current)
		o.write(0, mark(event.KindEnd, two, 46, event.Mark{Seq: 50, Attempt: 40, Queues: 1}), rows(two, 50, create(52, img(6, 16, "e")))).flush()
		same(t, name+", behind it", shows(t, cfg), append(current, "id=6 k=16 v=e"))
	}
}
