package clickhouse

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	driver "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/letters"
)

// Letters lie in a table of the control database, which the fence guards as it guards the
// ledger: one row a letter by target and number, where the newest write counts, and one more
// that says that it is gone. They are written behind the rows of a step and before its marks.
// Whatever a crash leaves there is of rows above the marks, which come again and say the same;
// but a deletion that took a letter back would not find it any more, so what is gone says by
// which deletion.

// letterBounds are how much may be put aside. In mode signed nothing is: the view and the sums
// must have the same changes, and what a sum would take off can't be held either.
func (t *Table) letterBounds() pipeline.LetterBounds {
	if t.shape.Mode == Signed {
		return pipeline.LetterBounds{}
	}
	return t.claim.Letters
}

// PutAside is what is put aside.
func (t *Table) PutAside() pipeline.PutAside { return t.letters.Aside() }

// readLetters is a claim's step behind the marks.
func (t *Table) readLetters(ctx context.Context) error {
	t.letters = letters.NewBook()
	from := " FROM " + t.sink.control(ddl.LettersTable) + " FINAL WHERE target = ? AND "
	err := t.sink.conn.Query(ctx, t.comment(), "SELECT seq, id, bytes"+from+"gone = 0 AND seq >= ?",
		func(scan func(...any) error) error {
			var seq, bytes uint64
			var text string
			var id letters.ID
			if err := scan(&seq, &text, &bytes); err != nil {
				return err
			}
			if err := id.UnmarshalText([]byte(text)); err != nil {
				return fmt.Errorf("letter %d: %w", seq, err)
			}
			t.letters.Add(event.Seq(seq), id, int64(bytes))
			return nil
		}, t.target.Plain(), uint64(t.lettersFrom()))
	if err != nil {
		return err
	}
	least := event.Seq(0)
	for i, q := range t.led.Queues {
		if i == 0 || q.Seq < least {
			least = q.Seq
		}
	}
	return t.sink.conn.Query(ctx, t.comment(), "SELECT seq, by"+from+"gone = 1 AND by > ?",
		func(scan func(...any) error) error {
			var seq, by uint64
			err := scan(&seq, &by)
			t.letters.Taken(event.Seq(seq), event.Seq(by))
			return err
		}, t.target.Plain(), uint64(least))
}

// settleReplayed is a claim's step behind that: a letter whose row is in the target is none. It was
// replayed, and the process ended before that was written. Where rows are counted, its deletion
// would take the letter back and leave the row; elsewhere its number tells.
func (t *Table) settleReplayed(ctx context.Context) error {
	if !t.claim.Keyless || t.shape.Mode == Changelog {
		return nil
	}
	d := t.letters.Begin(t.letterBounds())
	for lot := range slices.Chunk(t.letters.Known(), replayLot) {
		for i := range t.rec.Stores {
			if err := t.landedOf(ctx, &t.rec.Stores[i], lot, d); err != nil {
				return err
			}
		}
	}
	err := t.writeLetters(ctx, d)
	t.letters = d.Book()
	return err
}

// landedOf tells a draft which of some numbers a store has.
func (t *Table) landedOf(ctx context.Context, s *store, seqs []event.Seq, d *letters.Draft) error {
	numbers := make([]uint64, len(seqs))
	for i, n := range seqs {
		numbers[i] = uint64(n)
	}
	err := t.sink.conn.Query(ctx, t.comment(), fmt.Sprintf("SELECT DISTINCT %s AS n FROM %s WHERE n IN ?", ddl.Ident(ddl.Seq), s.name(t.target)),
		func(scan func(...any) error) error {
			var n uint64
			err := scan(&n)
			d.Landed(event.Seq(n))
			return err
		}, numbers)
	if isMissing(err) {
		return nil
	}
	return err
}

// lettersFrom is the number below which there are no letters.
func (t *Table) lettersFrom() event.Seq {
	if t.shape.Mode == Changelog {
		return 0 // what is gone has been there
	}
	return t.led.Floor
}

// letterLot is how many letters, or bytes of them, are written at a time.
const (
	letterLot      = 10_000
	letterLotBytes = 16 << 20
)

// writeLetters stores what a step puts aside and what is put aside no more.
func (t *Table) writeLetters(ctx context.Context, d *letters.Draft) error {
	put, gone := d.Changes()
	for len(put)+len(gone) > 0 {
		lot, bytes := &letterRows{target: t.target.Plain(), generation: t.claim.Generation}, int64(0)
		t.writes++
		lot.write = t.writes
		for len(put) > 0 && lot.rows < letterLot && bytes < letterLotBytes {
			bytes += put[0].Bytes
			lot.put(put[0])
			put = put[1:]
		}
		for len(gone) > 0 && lot.rows < letterLot && bytes < letterLotBytes {
			lot.gone(gone[0])
			gone = gone[1:]
		}
		if err := t.sink.conn.Insert(ctx, t.comment(), lot.into(t.sink.control(ddl.LettersTable)), lot.fill); err != nil {
			return fmt.Errorf("write what is put aside: %w", err)
		}
	}
	return nil
}

// letterColumns are those that an owner writes, in the order of letterRows.columns.
var letterColumns = [...]string{"target", "seq", "ver", "_gen", "gone", "by", "id", "bytes", "op", "row", "column", "reason", "committed",
	"letter"}

// letterRows are rows of the table of letters, column by column in the Native format.
type letterRows struct {
	target            string
	generation, write uint64
	rows              int
	columns           [len(letterColumns)][]byte
}

func (l *letterRows) into(table string) string {
	names := ""
	for i, c := range letterColumns {
		if i > 0 {
			names += ", "
		}
		names += ddl.Ident(c)
	}
	return fmt.Sprintf("INSERT INTO %s (%s)", table, names)
}

func (l *letterRows) fill(i int, col driver.Interface) error {
	return column.Fill(col, l.rows, l.columns[i])
}

func (l *letterRows) put(one *letters.Letter) {
	id, _ := one.ID.MarshalText()
	row, err := json.Marshal(one.Row)
	if err != nil {
		panic("BUG: a key that JSON can't hold: " + err.Error())
	}
	l.add(one.Seq, 0, 0, string(id), uint64(one.Bytes), one.Op, string(row), one.Column, one.Reason, one.Committed.UnixMicro(),
		string(one.Text()))
}

func (l *letterRows) gone(g letters.Gone) { l.add(g.Seq, 1, g.By, "", 0, "", "", "", "", 0, "") }

func (l *letterRows) add(seq event.Seq, gone uint8, by event.Seq, id string, bytes uint64, op, row, col, reason string, committed int64,
	letter string) {
	number := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	text := func(s string) []byte { return appendText(nil, s) }
	ver := append(number(l.write), number(l.generation)...)
	for i, cell := range [...][]byte{text(l.target), number(uint64(seq)), ver, number(l.generation), {gone}, number(uint64(by)), text(id),
		number(bytes), text(op), text(row), text(col), text(reason), number(uint64(committed)), text(letter)} {
		l.columns[i] = append(l.columns[i], cell...)
	}
	l.rows++
}

// replayLot is how many letters are replayed with one flush.
const replayLot = 1000

// ReplayLetters gives the target letters again: each row goes where it would have gone, under
// its own number.
func (t *Table) ReplayLetters(ctx context.Context, seqs []event.Seq) (pipeline.LettersDone, error) {
	return t.workThrough(ctx, seqs, t.replay)
}

// DropLetters gives letters up.
func (t *Table) DropLetters(ctx context.Context, seqs []event.Seq) (pipeline.LettersDone, error) {
	return t.workThrough(ctx, seqs, func(_ context.Context, l *letters.Letter) error {
		t.batch.last().letters.Remove(l.Seq)
		return nil
	})
}

// workThrough does something with letters, lot by lot. What a letter is refused for is said.
func (t *Table) workThrough(ctx context.Context, seqs []event.Seq, do func(context.Context, *letters.Letter) error) (
	done pipeline.LettersDone, err error) {
	if t.broken != nil {
		return done, t.broken
	}
	if !t.batch.empty() {
		return done, errors.New("letters are replayed and dropped behind a flush")
	}
	seqs = t.letters.Choose(seqs)
	for lot := range slices.Chunk(seqs, replayLot) {
		if err := t.someLetters(ctx, lot, &done, do); err != nil {
			return done, t.fail(err)
		}
		if _, err := t.Flush(ctx); err != nil {
			return done, err
		}
	}
	done.Left = t.PutAside()
	return done, nil
}

func (t *Table) someLetters(ctx context.Context, seqs []event.Seq, done *pipeline.LettersDone,
	do func(context.Context, *letters.Letter) error) error {
	numbers := make([]uint64, len(seqs))
	for i, s := range seqs {
		numbers[i] = uint64(s)
	}
	var list []*letters.Letter
	err := t.sink.conn.Query(ctx, t.comment(), "SELECT letter FROM "+t.sink.control(ddl.LettersTable)+
		" FINAL WHERE target = ? AND gone = 0 AND seq IN ? ORDER BY seq",
		func(scan func(...any) error) error {
			var text string
			if err := scan(&text); err != nil {
				return err
			}
			l, err := letters.Parse([]byte(text))
			list = append(list, l)
			return err
		}, t.target.Plain(), numbers)
	if err != nil {
		return err
	}
	return letters.Work(ctx, list, do, done)
}

// replay writes a letter's row into the batch.
func (t *Table) replay(ctx context.Context, l *letters.Letter) error {
	if l.Unsure {
		return letters.ErrUnsure(l)
	}
	if t.shape.Mode == Signed {
		return &letters.Refusal{Cause: fmt.Errorf("letter %d can't be replayed in mode signed, whose sums would lack it; "+
			"`millrace pipeline snapshot` has the table read anew", l.Seq)}
	}
	s, err := l.Change()
	if err != nil {
		return err
	}
	schema, err := t.schemaOf(ctx, s)
	if err != nil {
		return err
	}
	st, row := t.batch.last(), &s.Rows[0]
	if t.shape.Mode == Changelog {
		if there, err := t.isLanded(ctx, l.Q, row.Seq, 0); err != nil {
			return err
		} else if there {
			st.letters.Remove(row.Seq)
			return nil
		}
	}
	w, err := t.writer(st, schema, s, l.Q)
	if err != nil {
		return t.refused(&letters.Refusal{Cause: err}, "letter %d", l.Seq)
	}
	w.note()
	if err := w.hold(row); err != nil {
		w.undo()
		return err
	}
	w.count()
	st.rows++
	st.letters.Remove(row.Seq)
	return nil
}
