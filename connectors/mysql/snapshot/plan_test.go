package snapshot

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/millrace/millrace/pipeline/event"
)

func testPlan(t *testing.T) *Plan {
	s := event.NewSchema(event.TableName{DB: "d", Table: "t`x"}, []event.Column{
		{ID: 1, Name: "v", Type: event.TypeFloat, Native: "float"}, {ID: 2, Name: "a", Type: event.TypeInt, Native: "int", Precision: 4},
		{ID: 3, Name: "b", Type: event.TypeText, Native: "varchar(9)", Charset: "latin1", Collation: "latin1_swedish_ci"},
	}, []int{1, 2})
	p, err := NewPlan(s, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStatementsOfACompositeKey(t *testing.T) {
	p := testPlan(t)
	lo, hi := Key{[]byte("1"), []byte("x'")}, Key{[]byte("7"), []byte("")}
	want := "SELECT CAST(`v` AS DOUBLE),`a`,`b` FROM `d`.`t``x` WHERE (`a`>=1 AND (`a`>1 OR (`a`=1 AND `b`>_latin1 X'7827' COLLATE latin1_swedish_ci)))" +
		" AND (`a`<=7 AND (`a`<7 OR (`a`=7 AND `b`<=_latin1 X'' COLLATE latin1_swedish_ci))) ORDER BY `a`,`b`"
	if got := p.Select(lo, hi); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := p.Boundary(nil, 100); got != "SELECT `a`,`b` FROM `d`.`t``x` ORDER BY `a`,`b` LIMIT 1 OFFSET 99" {
		t.Error(got)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(Key{[]byte("1"), []byte("two")}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := DecodeKey(b, 2)
		if err != nil {
			if !errors.Is(err, ErrCursor) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeKey(k.Encode(), 2)
		if err != nil || !slices.EqualFunc(k, again, bytes.Equal) {
			t.Fatalf("%q comes back as %q, %v", k, again, err)
		}
	})
}
