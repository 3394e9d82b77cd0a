package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// side is a table as text: the first line names the columns (k* is a key, "raw:d" holds
// the text of column d), each further one is a row; - is NULL.
type side string

func (side) Tables(context.Context) ([]event.TableName, error) { return nil, nil }
func (side) Close() error                                      { return nil }

func (s side) Read(_ context.Context, _ event.TableName, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	lines := strings.Split(strings.TrimSpace(string(s)), "\n")
	var cols []pipeline.ReadColumn
	for _, name := range strings.Fields(lines[0]) {
		c := pipeline.ReadColumn{Name: name, Own: name == "_seq"}
		if key, ok := strings.CutSuffix(name, "*"); ok {
			c = pipeline.ReadColumn{Name: key, Key: true}
		}
		if of, ok := strings.CutPrefix(name, "raw:"); ok {
			c = pipeline.ReadColumn{Name: of + "__raw", RawOf: of}
		}
		cols = append(cols, c)
	}
	if err := columns(cols); err != nil {
		return err
	}
	cells := make([]pipeline.Cell, len(cols))
	for _, line := range lines[1:] {
		for i, text := range strings.Fields(line) {
			cells[i] = pipeline.Cell{Text: []byte(text), Null: text == "-"}
			if cells[i].Null {
				cells[i].Text = nil
			}
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	return nil
}

// lettered is a side that says what it has put aside: names of columns and values, and the
// operation where it is no new row.
type lettered struct {
	side
	rows []map[string]string
}

func (l lettered) Letters(_ context.Context, _ event.TableName, letter func(pipeline.Letter) error) error {
	for _, row := range l.rows {
		var one pipeline.Letter
		for name, v := range row {
			if name == "op" {
				one.Op = v
				continue
			}
			cell := pipeline.LetterCell{Column: name}
			if v != "-" {
				cell.Value = &v
			}
			one.Row = append(one.Row, cell)
		}
		if err := letter(one); err != nil {
			return err
		}
	}
	return nil
}

// What a target has put aside is said to be, and hides nothing else.
func TestWhatIsPutAsideIsNoDifference(t *testing.T) {
	one, two, gone := map[string]string{"id": "1"}, map[string]string{"id": "2"}, map[string]string{"id": "2", "op": "d"}
	pair, without := map[string]string{"v": "1", "w": "-"}, map[string]string{"v": "1", "w": "-", "op": "d"}
	for _, c := range []struct {
		name           string
		source, target side
		aside          []map[string]string
		state          string
		rows           int64
		differences    int64
		examples       string
	}{
		{"nothing is", "id* v\n1 a", "id v\n1 a", nil, Equal, 0, 0, ""},
		{"a row is missing", "id* v\n1 a\n2 b", "id v\n1 a", []map[string]string{two}, PutAside, 1, 0, "put aside: id=2"},
		{"a row is old", "id* v\n1 a\n2 b", "id v\n1 a\n2 old", []map[string]string{two}, PutAside, 1, 0, "put aside: id=2"},
		{"a row is still there", "id* v\n1 a", "id v\n1 a\n2 b", []map[string]string{gone}, PutAside, 1, 0, "put aside: id=2"},
		{"a deleted row whose version is aside", "id* v\n1 a", "id v\n1 a\n2 b", []map[string]string{two}, Differs, 0, 1, "only in the target: id=2"},
		{"a row whose deletion is aside", "id* v\n1 a\n2 b", "id v\n1 a", []map[string]string{gone}, Differs, 0, 1, "only in the source: id=2"},
		{"a row that is there twice", "id* v\n1 a\n2 b", "id v\n1 a\n2 b\n2 b", []map[string]string{two}, Differs, 0, 1, "twice in the target: id=2"},
		{"it is right by now", "id* v\n1 a\n2 b", "id v\n1 a\n2 b", []map[string]string{two}, Equal, 0, 0, ""},
		{"another row differs", "id* v\n1 a\n2 b", "id v", []map[string]string{one}, Differs, 1, 1, "only in the source: id=2|put aside: id=1"},
		{"the key has another name", "id* v\n1 a", "id v", []map[string]string{{"key": "1"}}, Differs, 0, 1, "only in the source: id=1"},
		{"equal rows", "v w\n1 -\n1 -\n1 -", "v w\n1 -", []map[string]string{{"v": "1", "w": "-"}}, Differs, 1, 1, "only in the source: v=1 w=NULL"},
		{"as many equal rows", "v w\n1 -\n1 -", "v w", []map[string]string{{"v": "1", "w": "-"}, {"v": "1", "w": "-"}}, PutAside, 2, 0, ""},
		{"one equal row too many", "v w", "v w\n1 -", []map[string]string{pair}, Differs, 0, 1, "only in the target: v=1 w=NULL"},
		{"a deletion of an equal row", "v w", "v w\n1 -", []map[string]string{without}, PutAside, 1, 0, ""},
	} {
		got, err := Compare(t.Context(), c.source, lettered{c.target, c.aside}, event.TableName{DB: "d", Table: "t"})
		if err != nil || got.State() != c.state || got.Aside != c.rows || got.Differences() != c.differences || strings.Join(got.Examples, "|") != c.examples {
			t.Errorf("%s: %s, %v: %+v", c.name, got.State(), err, got)
		}
	}
}

func TestCompare(t *testing.T) {
	type counts struct {
		missing, extra, different, duplicates int64
		problem                               string
		example                               string
	}
	for _, c := range []struct {
		name           string
		source, target side
		want           counts
	}{
		{"equal in another order", "id* v\n1 a\n2 -", "v id\n- 2\na 1", counts{}},
		{"both empty", "id* v", "id v", counts{}},
		{"missing", "id* v\n1 a\n2 b\n3 c", "id v\n2 b", counts{missing: 2, example: "only in the source: id=1|only in the source: id=3"}},
		{"extra", "id* v\n1 a", "id v\n1 a\n9 z", counts{extra: 1, example: "only in the target: id=9"}},
		{"different", "id* v\n1 a\n2 b", "id v\n1 a\n2 B", counts{different: 1, example: "differs: id=2: v is b in the source, B in the target"}},
		{"NULL is not empty", "id* v w\n1 a -", "id v w\n1 - a", counts{different: 1, example: "differs: id=1: v is a in the source, NULL in the target; w is NULL in the source, a in the target"}},
		{"twice in the target", "id* v\n1 a\n2 b", "id v\n1 a\n1 a\n2 b", counts{duplicates: 1, example: "twice in the target: id=1"}},
		{"twice, and with other values", "id* v\n1 a", "id v\n1 a\n1 x", counts{duplicates: 1, example: "twice in the target: id=1"}},
		{"a key of two columns", "a* b* v\n1 2 x\n12 - y", "a b v\n1 2 x\n12 - y", counts{}},
		{"keys that look alike when joined", "a* b* v\n1 23 x", "a b v\n12 3 x", counts{missing: 1, extra: 1, example: "only in the source: a=1 b=23|only in the target: a=12 b=3"}},
		{"columns that the target lacks", "id* v w\n1 a b", "id v\n1 a", counts{different: 1, problem: "the target lacks the columns w", example: "differs: id=1: w is b in the source, NULL in the target"}},
		{"columns of the target's own", "id* v\n1 a", "id v _seq\n1 a 7", counts{}},
		{"columns that only the target has", "id* v\n1 a", "id v w\n1 a 7", counts{problem: "the target has the columns w, which the source does not have"}},
		{"texts that only the target has", "id* v\n1 a", "id v raw:d\n1 a -", counts{problem: "the target has the columns d__raw, which the source does not have"}},
		{"a value that the target's type cannot hold", "id* d\n1 0000-00-00\n2 2026-01-01", "id d raw:d\n1 - 0000-00-00\n2 2026-01-01 -", counts{}},
		{"another text beside the type", "id* d\n1 0000-00-00", "id d raw:d\n1 - 0000-01-00", counts{different: 1, example: "differs: id=1: d is 0000-00-00 in the source, 0000-01-00 in the target"}},
		{"keyless: the same multiset", "a b\n1 x\n1 x\n2 y", "a b\n2 y\n1 x\n1 x", counts{}},
		{"keyless: one too few, one too many", "a b\n1 x\n1 x\n2 y", "a b\n1 x\n2 y\n2 y", counts{missing: 1, extra: 1, example: "only in the source: a=1 b=x|only in the target: a=2 b=y"}},
		{"keyless: other rows", "a b\n1 x", "b a\n1 x", counts{missing: 1, extra: 1, example: "only in the source: a=1 b=x|only in the target: a=x b=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Compare(t.Context(), c.source, c.target, event.TableName{DB: "shop", Table: "t"})
			if err != nil {
				t.Fatal(err)
			}
			example := strings.Join(got.Examples, "|")
			if g := (counts{got.Missing, got.Extra, got.Different, got.Duplicates, got.Problem, example}); g != c.want {
				t.Errorf("%+v\nwant %+v", g, c.want)
			}
			if got.Equal() != (c.want == counts{}) || got.Name != "shop.t" {
				t.Errorf("equal %v of %s", got.Equal(), got.Name)
			}
			if same := got.SourceChecksum == got.TargetChecksum; same != (got.Differences() == 0) {
				t.Errorf("checksums %s and %s", got.SourceChecksum, got.TargetChecksum)
			}
			if got.SourceRows != int64(strings.Count(string(c.source), "\n")) || got.TargetRows != int64(strings.Count(string(c.target), "\n")) {
				t.Errorf("%d and %d rows", got.SourceRows, got.TargetRows)
			}
		})
	}
}

func TestASourceThatRepeatsAKey(t *testing.T) {
	_, err := Compare(t.Context(), side("id* v\n1 a\n1 a"), side("id v"), event.TableName{DB: "shop", Table: "t"})
	if err == nil || !strings.Contains(err.Error(), "returned the key id=1 twice") {
		t.Errorf("%v", err)
	}
}

type broken struct{ side }

func (broken) Read(context.Context, event.TableName, func([]pipeline.ReadColumn) error, func([]pipeline.Cell) error) error {
	return errors.New("gone")
}

func TestASideThatCannotBeReadIsNamed(t *testing.T) {
	name := event.TableName{DB: "shop", Table: "t"}
	if _, err := Compare(t.Context(), broken{}, side("id*"), name); err == nil || err.Error() != "read shop.t from the source: gone" {
		t.Errorf("%v", err)
	}
	if _, err := Compare(t.Context(), side("id*"), broken{}, name); err == nil || err.Error() != "read shop.t from the target: gone" {
		t.Errorf("%v", err)
	}
}

// absent is a target without the table; lost is one whose file is gone.
type absent struct{ side }

func (absent) Read(context.Context, event.TableName, func([]pipeline.ReadColumn) error, func([]pipeline.Cell) error) error {
	return fmt.Errorf("find it: %w", pipeline.ErrNoTable)
}

type lost struct{ side }

func (lost) Read(_ context.Context, _ event.TableName, columns func([]pipeline.ReadColumn) error, _ func([]pipeline.Cell) error) error {
	return errors.Join(columns(nil), fs.ErrNotExist)
}

func TestATableThatTheTargetDoesNotHaveIsADifference(t *testing.T) {
	name := event.TableName{DB: "shop", Table: "t"}
	got, err := Compare(t.Context(), side("id*\n1\n2"), absent{}, name)
	if err != nil || got.Missing != 2 || got.Equal() || !strings.Contains(got.Problem, "does not have the table") {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err = Compare(t.Context(), side("id*"), absent{}, name); err != nil || got.Equal() {
		t.Errorf("an empty table that the target lacks is equal: %+v, %v", got, err)
	}
	if _, err := Compare(t.Context(), side("id*\n1"), lost{}, name); err == nil {
		t.Error("a file that is gone is taken for a table that never was")
	}
}

func TestExamplesAreFew(t *testing.T) {
	got, err := Compare(t.Context(), side("id* v"), side("id v"+strings.Repeat("\n1 a", 1)+"\n2 b\n3 c\n4 d\n5 e\n6 f\n7 g"), event.TableName{})
	if err != nil || len(got.Examples) != maxExamples || got.Extra != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}

// fading is a side whose second reading does not say what the first did.
type fading struct {
	first, second side
	reads         *int
}

func (fading) Tables(context.Context) ([]event.TableName, error) { return nil, nil }
func (fading) Close() error                                      { return nil }

func (f fading) Read(ctx context.Context, name event.TableName, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	if *f.reads++; *f.reads == 1 {
		return f.first.Read(ctx, name, columns, row)
	}
	return f.second.Read(ctx, name, columns, row)
}

func TestWhatASourceNoLongerSaysIsCountedAllTheSame(t *testing.T) {
	first := side("id* v\n1 a\n2 b\n3 c")
	target := side("id v\n2 B\n3 C")
	for _, c := range []struct {
		second side
		want   string
	}{
		{"id* v\n3 c", "differs: id=2|differs: id=3: v is c in the source, C in the target|only in the source: id=1"},
		{"id* v w\n3 c d", "differs: id=2|differs: id=3|only in the source: id=1|the rows could not be read again to be named: the table has changed meanwhile"},
	} {
		got, err := Compare(t.Context(), fading{first, c.second, new(int)}, target, event.TableName{DB: "shop", Table: "t"})
		if text := strings.Join(got.Examples, "|"); err != nil || text != c.want || got.Missing != 1 || got.Different != 2 {
			t.Errorf("%s, %v, missing %d, different %d; want %s", text, err, got.Missing, got.Different, c.want)
		}
	}
}

func TestManyMissingRowsAreNamedByTheFirst(t *testing.T) {
	got, err := Compare(t.Context(), side("id* v\n1 a\n2 b\n3 c\n4 d\n5 e\n6 f\n7 "+strings.Repeat("ö", 200)), side("id v\n7 x"), event.TableName{})
	if err != nil || got.Missing != 6 || len(got.Examples) != maxExamples+1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if want := "differs: id=7: v is " + strings.Repeat("ö", shownBytes/2) + "… in the source, x in the target"; got.Examples[0] != want {
		t.Errorf("%s\nwant %s", got.Examples[0], want)
	}
}

// A target without a key is read again for its examples, and may have other columns then.
func TestATargetThatChangedMeanwhileIsCountedAllTheSame(t *testing.T) {
	target := fading{side("a b\n1 x\n2 y"), side("a\n1\n2"), new(int)}
	got, err := Compare(t.Context(), side("a b\n1 x"), target, event.TableName{})
	want := "the rows could not be read again to be named: the table has changed meanwhile"
	if text := strings.Join(got.Examples, "|"); err != nil || got.Extra != 1 || text != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestValuesAreShownOnOneLine(t *testing.T) {
	for text, want := range map[string]string{"plain ö": "plain ö", "two\nlines": `"two\nlines"`, "\x1b[2J": `"\x1b[2J"`, "": ""} {
		if got := show(pipeline.Cell{Text: []byte(text)}); got != want {
			t.Errorf("%q is shown as %s", text, got)
		}
	}
}

// altered is a source whose columns are others from the second reading on.
type altered struct {
	side
	then side
	read *bool
}

func (a altered) Read(ctx context.Context, n event.TableName, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	now := a.side
	if *a.read {
		now = a.then
	}
	*a.read = true
	return now.Read(ctx, n, columns, row)
}

// TestATargetThatFollowedIsNotAccused has the source's columns change behind its reading, and
// the target be as the source is by then.
func TestATargetThatFollowedIsNotAccused(t *testing.T) {
	for name, c := range map[string]struct{ before, after, target side }{
		"a column more":             {"id v\n1 a", "id v n\n1 a 7", "id v n\n1 a 7"},
		"a column less":             {"id v n\n1 a -", "id v\n1 a", "id v\n1 a"},
		"a column more, with a key": {"id* v\n1 a", "id* v n\n1 a 7", "id v n\n1 a 7"},
		"a column less of no row":   {"id* v n", "id* v", "id v"},
		"columns under other names": {"id* v n\n1 a -", "id* v m\n1 a -", "id v m\n1 a -"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Check(t.Context(), altered{c.before, c.after, new(bool)}, c.target, event.TableName{DB: "shop", Table: "t"},
				Options{Wait: time.Nanosecond, Pause: time.Nanosecond})
			if !errors.Is(err, ErrChanged) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
