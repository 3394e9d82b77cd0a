package verify

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// quiet is a world of n rows that does not change.
func quiet(n int) *world {
	w := &world{rng: rand.New(rand.NewPCG(1, 1)), source: map[int]string{}, stuck: map[int]bool{}, asked: map[int]bool{}}
	for range n {
		w.change(true)
	}
	w.applied, w.target = len(w.log), maps.Clone(w.source)
	return w
}

// exact is a source that knows its rows, and has one place only when it is told so.
type exact struct {
	reader
	place string
}

func (e exact) RowsAbout(context.Context, event.TableName) (int64, error) {
	return int64(len(e.source)), nil
}

func (e exact) Spread(ctx context.Context, name event.TableName, n int, random func() float64) ([][]pipeline.Cell, error) {
	keys, err := e.reader.Spread(ctx, name, n, random)
	for i := range keys {
		if e.place != "" {
			keys[i][0].Text = []byte(e.place)
		}
	}
	return keys, err
}

// TestASampleLooksAtBothSides compares two hundred rows of ten thousand, once, without a look
// again: what is wrong in every fifth row must be among them, whatever is wrong.
func TestASampleLooksAtBothSides(t *testing.T) {
	const rows = 10_000
	for name, c := range map[string]struct {
		place string
		spoil func(w *world)
		kind  string // "" = nothing differs
		keys  [2]int64
	}{
		"nothing":                      {spoil: func(*world) {}, keys: [2]int64{150, 250}},
		"ranges that meet":             {place: "70", spoil: func(*world) {}, keys: [2]int64{50, 150}},
		"ranges that meet and differ":  {place: "70", spoil: every(5, func(w *world, k int) { w.target[k] = "wrong" }), kind: differs, keys: [2]int64{50, 150}},
		"rows that differ":             {spoil: every(5, func(w *world, k int) { w.target[k] = "wrong" }), kind: differs, keys: [2]int64{150, 250}},
		"rows that are missing":        {spoil: every(5, func(w *world, k int) { delete(w.target, k) }), kind: onlySource, keys: [2]int64{130, 250}},
		"rows that are too many":       {spoil: every(5, func(w *world, k int) { delete(w.source, k) }), kind: onlyTarget, keys: [2]int64{150, 270}},
		"the last half is not there":   {spoil: every(1, func(w *world, k int) { delete(w.target, k+rows/2) }), kind: onlySource, keys: [2]int64{100, 250}},
		"the target has nothing":       {spoil: every(1, func(w *world, k int) { delete(w.target, k) }), kind: onlySource, keys: [2]int64{90, 150}},
		"the source has next to none":  {spoil: every(1, func(w *world, k int) { delete(w.source, k+300) }), kind: onlyTarget, keys: [2]int64{2000, 5000}},
		"the beginning alone is there": {spoil: every(1, func(w *world, k int) { delete(w.target, k+20) }), kind: onlySource, keys: [2]int64{90, 250}},
	} {
		t.Run(name, func(t *testing.T) {
			w := quiet(rows)
			c.spoil(w)
			o := Options{Dir: t.TempDir(), Sample: &Sample{Rows: 200, Seed: 42}}
			got, err := Check(t.Context(), exact{reader{w, false, nil}, c.place}, reader{w, true, nil}, event.TableName{DB: "shop", Table: "t"}, o)
			if err != nil || got.Sample == nil {
				t.Fatalf("%+v, %v", got, err)
			}
			want := Agrees
			if c.kind != "" {
				want = Differs
			}
			if got.State() != want || got.Equal() || got.Sample.Keys < c.keys[0] || got.Sample.Keys > c.keys[1] ||
				got.Sample.About != int64(len(w.source)) {
				t.Errorf("%s: %+v %s", got.State(), got, got.Sample)
			}
			for _, example := range got.Examples {
				if !strings.HasPrefix(example, c.kind) {
					t.Errorf("not %q: %s", c.kind, example)
				}
			}
			if same := got.SourceChecksum == got.TargetChecksum; same != (c.kind == "") || got.SourceRows > got.Sample.Keys {
				t.Errorf("%+v", got)
			}
			once, err := Check(t.Context(), exact{reader{w, false, nil}, c.place}, reader{w, true, nil}, event.TableName{DB: "shop", Table: "t"}, o)
			if err != nil || *once.Sample != *got.Sample || once.SourceChecksum != got.SourceChecksum {
				t.Errorf("the same seed gives another sample: %+v, then %+v, %v", got, once, err)
			}
		})
	}
}

func every(n int, spoil func(w *world, k int)) func(*world) {
	return func(w *world) {
		for k := 0; k < w.next; k += n {
			spoil(w, k)
		}
	}
}

// TestWhatGivesNoSampleIsSaid: a table that is no larger than the sample is compared as a
// whole, with or without a key; another one without a key, or of a reader that can't tell
// where to look, is not compared, and that is not equal.
func TestWhatGivesNoSampleIsSaid(t *testing.T) {
	for _, c := range []struct {
		rows    int
		keyless bool
		sample  Sample
		state   string
		text    string
	}{
		{100, false, Sample{Rows: 100}, Equal, ""},
		{100, true, Sample{Rows: 100}, Equal, ""},
		{100, false, Sample{Fraction: 1}, Equal, ""},
		{0, false, Sample{Fraction: 0.5}, Equal, ""},
		{100, true, Sample{Rows: 99}, Skipped, "its key gives no ranges"},
		{100, true, Sample{Fraction: 0.5}, Skipped, "its key gives no ranges"},
	} {
		w := quiet(c.rows)
		w.keyless = c.keyless
		got, err := Check(t.Context(), exact{reader{w, false, nil}, ""}, reader{w, true, nil}, event.TableName{},
			Options{Dir: t.TempDir(), Sample: &c.sample})
		if err != nil || got.State() != c.state || got.Sample != nil || !strings.HasPrefix(got.Skipped, c.text) ||
			got.SourceRows != 0 && c.state == Skipped {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	got, err := Check(t.Context(), side("id*\n1"), side("id\n1"), event.TableName{}, Options{Dir: t.TempDir(), Sample: &Sample{Rows: 1}})
	if err != nil || got.State() != Skipped || got.Equal() {
		t.Errorf("%+v, %v", got, err)
	}
	failing := reader{quiet(10), false, func() error { return errGone }}
	if got, err := Check(t.Context(), exact{failing, ""}, reader{quiet(10), true, nil}, event.TableName{}, Options{Dir: t.TempDir(), Sample: &Sample{Rows: 1}}); !errors.Is(err, errGone) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSizesOfSamples(t *testing.T) {
	for text, want := range map[string]Sample{"1": {Rows: 1}, "100000": {Rows: 100000}, "1%": {Fraction: 0.01}, "0.5%": {Fraction: 0.005}, "100%": {Fraction: 1}} {
		if got, err := ParseSample(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5", "0%", "101%", "-1%", "NaN%", "Inf%", "%", "1 %", "x", "99999999999999999999"} {
		if got, err := ParseSample(text); err == nil || !strings.Contains(err.Error(), strconv.Quote(text)+" is neither") ||
			strings.Contains(err.Error(), "%!") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
