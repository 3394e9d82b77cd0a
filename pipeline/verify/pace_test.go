package verify

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// slow is a source whose reading takes a while by the clock of the test's bubble.
type slow struct {
	side
	took  time.Duration
	begun *[]time.Time
}

func (slow) Place(context.Context) (pipeline.Place, error) {
	return pipeline.Place{Time: time.Now()}, nil
}

func (s slow) Read(ctx context.Context, name event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	*s.begun = append(*s.begun, time.Now())
	if err := pause.For(ctx, s.took); err != nil {
		return err
	}
	return s.side.Read(ctx, name, columns, row)
}

// TestToLookAgainAtATableWithoutAKeyIsPaced: each look reads the whole table. Its rows are
// waited for as those of the first reading are, and the source then rests as long as the
// reading took.
func TestToLookAgainAtATableWithoutAKeyIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rows, took, worth = 40, 7 * time.Second, 3 * time.Second
		source := slow{side("a b" + strings.Repeat("\n1 x", rows)), took, new([]time.Time)}
		target := side("a b" + strings.Repeat("\n1 x", rows-1) + "\n2 y")
		paced := 0
		got, err := Check(t.Context(), source, target, event.TableName{DB: "shop", Table: "t"}, Options{
			Dir: t.TempDir(), Wait: time.Hour, Pause: time.Millisecond,
			Reached: func(context.Context, pipeline.Place) (bool, error) { return true, nil },
			Pace: func(ctx context.Context, side string, n int) error {
				if side != "source" {
					return nil
				}
				if n != rows {
					return fmt.Errorf("%d rows of the source are waited for, %d were read", n, rows)
				}
				paced++
				return pause.For(ctx, worth)
			},
		})
		if err != nil || got.State() != Differs || got.Missing != 1 || got.Extra != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		looks := (*source.begun)[1 : len(*source.begun)-1] // between the first reading and the one that names rows
		if len(looks) < steady || paced <= len(looks) {
			t.Fatalf("%d looks, %d waits", len(looks), paced)
		}
		if d := looks[0].Sub((*source.begun)[0]); d < took+worth {
			t.Errorf("the first look came %s after the first reading had begun", d)
		}
		for i := range looks[1:] {
			if d := looks[i+1].Sub(looks[i]); d < took+worth+took {
				t.Errorf("a look came %s after the one before had begun", d)
			}
		}
	})
}

// TestWhatCannotHealIsNotWaitedFor: a table or a column that a target lacks which is as far as
// the source was ends the looks; while it is not as far, it is waited for.
func TestWhatCannotHealIsNotWaitedFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		source side
		target pipeline.Reader
	}{
		{"an empty table", "id* v", absent{}},
		{"a table", "id* v\n1 a", absent{}},
		{"a column of an empty table", "id* v w", side("id v")},
		{"a column that is NULL in all rows", "id* v w\n1 a -", side("id v\n1 a")},
		{"a column", "id* v w\n1 a b", side("id v\n1 a")},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				far := func() bool { return time.Since(began) > time.Hour } // it takes an hour to come there
				o := Options{Dir: t.TempDir(), Wait: 24 * time.Hour, Pause: time.Second,
					Reached: func(context.Context, pipeline.Place) (bool, error) { return far(), nil }}
				got, err := Check(t.Context(), slow{c.source, 0, new([]time.Time)}, c.target, event.TableName{}, o)
				if d := time.Since(began); err != nil || got.State() != Differs || got.Problem == "" || d < time.Hour || d > 2*time.Hour {
					t.Errorf("after %s: %s, %+v, %v", d, got.State(), got, err)
				}
				began = time.Now()
				o.Dir = t.TempDir()
				healed := late{func() bool { return time.Since(began) > 30*time.Minute }, c.target, c.source}
				got, err = Check(t.Context(), slow{c.source, 0, new([]time.Time)}, healed, event.TableName{}, o)
				if err != nil || !got.Equal() {
					t.Errorf("what came in time: %s, %+v, %v", got.State(), got, err)
				}
			})
		})
	}
}

// late is one target, and later another.
type late struct {
	come          func() bool
	before, after pipeline.Reader
}

func (late) Tables(context.Context) ([]event.TableName, error) { return nil, nil }
func (late) Close() error                                      { return nil }

func (l late) Read(ctx context.Context, name event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	if l.come() {
		return l.after.Read(ctx, name, columns, row)
	}
	return l.before.Read(ctx, name, columns, row)
}
