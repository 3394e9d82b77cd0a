package letters

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

var wide = pipeline.LetterBounds{Rows: 1000, Bytes: 1 << 20}

func letter(seq event.Seq, id byte) *Letter {
	return &Letter{ID: ID{id}, Letter: pipeline.Letter{Seq: seq, Bytes: 100}}
}

func (d *Draft) text() string {
	var parts []string
	for _, seq := range d.Book().Choose(nil) {
		parts = append(parts, fmt.Sprintf("%d:%d", seq, d.Book().entries[seq].id[0]))
	}
	return strings.Join(parts, " ")
}

// What has landed is no letter, and the deletion that took it back before is not swallowed again.
func TestALetterThatLandedIsNone(t *testing.T) {
	b := NewBook()
	b.Add(10, ID{1}, 100)
	b.Taken(20, 30)
	b.Taken(22, 32)
	if got := b.Known(); !slices.Equal(got, []event.Seq{10, 20, 22}) {
		t.Errorf("known: %v", got)
	}
	d := b.Begin(wide)
	d.Landed(10)
	d.Landed(20)
	if d.TakeBack(ID{1}, 30) || !d.TakeBack(ID{2}, 32) {
		t.Error("a deletion was swallowed, or one was not")
	}
	if _, gone := d.Changes(); len(gone) != 1 || gone[0] != (Gone{Seq: 10}) {
		t.Errorf("gone: %v", gone)
	}
	if again := b.Begin(wide); !b.Has(10) || !again.TakeBack(ID{2}, 30) {
		t.Error("the book itself was changed")
	}
}

// Each line is what happens to a book that has 10 and 20 of rows 1 and 2, and what it has then.
func TestWhatBecomesOfLetters(t *testing.T) {
	for _, c := range []struct {
		what string
		do   func(d *Draft) any
		want string
	}{
		{"nothing", func(*Draft) any { return nil }, "10:1 20:2"},
		{"a newer one of a row", func(d *Draft) any { return d.Put(letter(30, 1), Versions) }, "20:2 30:1"},
		{"an older one of a row", func(d *Draft) any { return d.Put(letter(5, 1), Versions) }, "10:1 20:2"},
		{"the same again", func(d *Draft) any { return d.Put(letter(10, 1), Versions) }, "10:1 20:2"},
		{"one more equal row", func(d *Draft) any { return d.Put(letter(30, 1), Counts) }, "10:1 20:2 30:1"},
		{"one more change", func(d *Draft) any { return d.Put(letter(30, 1), Changes) }, "10:1 20:2 30:1"},
		{"the row comes", func(d *Draft) any { d.Applied(ID{1}, 30); return nil }, "20:2"},
		{"the same change comes", func(d *Draft) any { d.Applied(ID{1}, 10); return nil }, "20:2"},
		{"an older change comes", func(d *Draft) any { d.Applied(ID{2}, 15); return nil }, "10:1 20:2"},
		{"taken back", func(d *Draft) any { return d.TakeBack(ID{1}, 30) }, "20:2"},
		{"taken back before it came", func(d *Draft) any { return !d.TakeBack(ID{2}, 15) }, "10:1 20:2"},
		{"another row is taken back", func(d *Draft) any { return !d.TakeBack(ID{3}, 30) }, "10:1 20:2"},
		{"the floor", func(d *Draft) any { d.Below(15); return nil }, "20:2"},
		{"the floor above all", func(d *Draft) any { d.Below(21); return nil }, ""},
		{"removed", func(d *Draft) any { return d.Remove(20) }, "10:1"},
	} {
		b := NewBook()
		b.Add(10, ID{1}, 100)
		b.Add(20, ID{2}, 100)
		d := b.Begin(wide)
		if got := c.do(d); got != nil && got != true {
			t.Errorf("%s: %v", c.what, got)
		}
		if got := d.text(); got != c.want {
			t.Errorf("%s: %q and not %q", c.what, got, c.want)
		}
		if at := b.Aside(); at != (pipeline.PutAside{Rows: 2, Bytes: 200}) {
			t.Errorf("%s: the book has changed: %+v", c.what, at)
		}
		rows := len(d.Book().Choose(nil))
		if at := d.Book().Aside(); at != (pipeline.PutAside{Rows: rows, Bytes: int64(rows) * 100}) {
			t.Errorf("%s: it says %+v", c.what, at)
		}
	}
}

func TestTheBoundsHold(t *testing.T) {
	d := NewBook().Begin(pipeline.LetterBounds{Rows: 2, Bytes: 250})
	for seq := event.Seq(1); seq <= 2; seq++ {
		if err := d.Put(letter(seq, byte(seq)), Versions); err != nil {
			t.Fatal(err)
		}
	}
	for _, rule := range []Rule{Versions, Counts, Changes} {
		if err := d.Put(letter(9, 9), rule); !errors.Is(err, ErrFull) || d.text() != "1:1 2:2" {
			t.Errorf("one more: %v, %s", err, d.text())
		}
	}
	if err := d.Put(letter(5, 1), Versions); err != nil || d.text() != "2:2 5:1" {
		t.Errorf("in place of an older one: %v, %s", err, d.text())
	}
	long := letter(6, 1)
	long.Bytes = 200
	if err := d.Put(long, Versions); !errors.Is(err, ErrFull) || d.text() != "2:2 5:1" {
		t.Errorf("a longer one: %v, %s", err, d.text())
	}
}

// happening is a change of one row in a random history.
type happening struct {
	seq  event.Seq
	id   byte
	kind string // good, bad, gone (its image can be held), lost (it can't), truncate
}

// play has a draft take a history in, as a sink does.
func play(t *testing.T, d *Draft, history []happening) {
	for _, h := range history {
		switch h.kind {
		case "good", "gone":
			d.Applied(ID{h.id}, h.seq)
		case "bad":
			if err := d.Put(letter(h.seq, h.id), Versions); err != nil {
				t.Fatal(err)
			}
		case "lost":
			if !d.TakeBack(ID{h.id}, h.seq) {
				if err := d.Put(letter(h.seq, h.id), Versions); err != nil {
					t.Fatal(err)
				}
			}
		case "truncate":
			d.Below(h.seq)
		}
	}
}

// The twin of a book is the last that happened to each row: a bad change is a letter. Crashes
// between the storing of letters and of the marks give the end of the history again.
func TestARandomHistoryAndItsTwin(t *testing.T) {
	seed := rand.Uint64N(1_000_000)
	if text := os.Getenv("MILLRACE_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("MILLRACE_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		var history []happening
		there := map[byte]string{} // what a row is: "", good or bad
		for seq := event.Seq(1); seq <= 30; seq++ {
			h := happening{seq: seq, id: byte(1 + rng.IntN(4))}
			switch was := there[h.id]; {
			case rng.IntN(20) == 0:
				h.kind = "truncate"
				clear(there)
			case was != "" && rng.IntN(3) == 0:
				h.kind = map[string]string{"good": "gone", "bad": "lost"}[was]
				there[h.id] = ""
			default:
				h.kind = []string{"good", "bad"}[rng.IntN(2)]
				there[h.id] = h.kind
			}
			history = append(history, h)
		}
		book, mark := NewBook(), 0
		for mark < len(history) {
			to := mark + 1 + rng.IntN(len(history)-mark)
			d := book.Begin(wide)
			play(t, d, history[mark:to])
			book = stored(book, d, event.Seq(mark))
			if rng.IntN(2) == 0 { // else the process dies before the marks are there
				mark = to
			}
		}
		var want []string
		for id := byte(1); id <= 4; id++ {
			for _, h := range slices.Backward(history) {
				if h.kind == "truncate" || h.id == id {
					if h.kind == "bad" {
						want = append(want, fmt.Sprintf("%d:%d", h.seq, id))
					}
					break
				}
			}
		}
		got := strings.Fields(book.Begin(wide).text())
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%+v\nhas %v, its twin %v", history, got, want)
		}
	}
}

// stored is a book that is read back from a target that keeps the newest write of each number.
func stored(before *Book, d *Draft, mark event.Seq) *Book {
	put, gone := d.Changes()
	b := before.clone()
	b.taken = map[event.Seq]event.Seq{}
	for by, seq := range before.taken {
		if by > mark {
			b.Taken(seq, by)
		}
	}
	for _, l := range put {
		b.Add(l.Seq, l.ID, l.Bytes)
	}
	for _, g := range gone {
		b.Remove(g.Seq)
		if g.By > mark {
			b.Taken(g.Seq, g.By)
		}
	}
	return b
}

func TestALetterIsReadBack(t *testing.T) {
	name := event.TableName{DB: "shop", Table: "orders"}
	columns := []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Native: "int", Precision: 4}, {ID: 2, Name: "at", Type: event.TypeDateTime, Native: "datetime"},
		{ID: 3, Name: "b", Type: event.TypeBinary, Native: "blob", Nullable: true}}
	for _, c := range []struct {
		key  []int
		want string
	}{{[]int{0}, "id=7"}, {nil, "id=7 at=2026-02-03 04:05:06.000000 b=NULL"}} {
		schema := event.NewSchema(name, columns, c.key)
		b := event.NewImageBuilder(schema)
		b.Start(nil)
		b.AppendInt(7)
		b.AppendDateTime(event.Civil{Year: 2026, Month: 2, Day: 3, Hour: 4, Minute: 5, Second: 6})
		b.AppendNull()
		_, img, err := b.Finish()
		if err != nil {
			t.Fatal(err)
		}
		row := event.Row{Op: event.OpUpdate, Tx: 1, Index: 3, Seq: 12, Before: img, After: img}
		slice := &event.Slice{Kind: event.KindRow, Table: name, Schema: schema.ID, Lo: 10, Hi: 12, Txs: []event.SliceTx{{ID: "a"}, {ID: "b", CommitTime: time.Unix(5, 0).UTC()}}}
		made, err := New(schema, slice, &row, 2, &Refusal{Column: "at", Cause: errors.New("no")}, true)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Parse(made.Text())
		if err != nil || string(l.Text()) != string(made.Text()) {
			t.Fatalf("%+v, %v", l, err)
		}
		s, err := l.Change()
		if err != nil || s.Rows[0].Op != event.OpUpdate || s.Rows[0].Seq != 12 || string(s.Rows[0].After) != string(img) || s.Txs[0].ID != "b" || s.Schema != schema.ID {
			t.Errorf("%+v, %v", s, err)
		}
		var parts []string
		for _, cell := range l.Row {
			text := "NULL"
			if cell.Value != nil {
				text = *cell.Value
			}
			parts = append(parts, cell.Column+"="+text)
		}
		if got := strings.Join(parts, " "); got != c.want || l.Reason != "no" || l.Column != "at" || l.Op != "u" || l.Q != 2 || !l.Unsure || l.Bytes < 200 {
			t.Errorf("%s, %+v", got, l)
		}
	}
}

// FuzzLetter looks for what a target could hold that ends the process.
func FuzzLetter(f *testing.F) {
	f.Add([]byte(`{"seq":1,"slice":"TQE="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if l, err := Parse(text); err == nil {
			if s, err := l.Change(); err == nil && len(s.Rows) != 1 {
				t.Errorf("%d rows", len(s.Rows))
			}
		}
	})
}
