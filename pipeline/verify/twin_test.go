package verify

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

var seed = flag.Uint64("verify.seed", 0, "seed of the random worlds (0 = a new one)")

// world is a source whose log a target follows, in memory: every read of either side lets
// time pass in it. Rows are texts by key; a table without a key has one key for each row.
type world struct {
	rng     *rand.Rand
	keyless bool
	left    int // changes that are still to come
	source  map[int]string
	log     []change
	applied int
	target  map[int]string
	stuck   map[int]bool // keys that the target does not follow any more
	next    int
	asked   map[int]bool // keys that the source was asked for by ranges and by key
}

type change struct {
	key  int
	text string // "" = deleted
}

func newWorld(rng *rand.Rand, keyless bool) *world {
	w := &world{rng: rng, keyless: keyless, left: 50 + rng.IntN(400), source: map[int]string{}, target: map[int]string{},
		stuck: map[int]bool{}, asked: map[int]bool{}}
	for range 20 + rng.IntN(200) {
		w.change(true)
	}
	w.applied = len(w.log)
	w.target = maps.Clone(w.source)
	return w
}

func (w *world) text() string { return "v" + strconv.Itoa(w.rng.IntN(5)) }

func (w *world) change(insert bool) {
	c := change{key: w.next, text: w.text()}
	if !insert && w.next > 0 {
		c.key = w.rng.IntN(w.next)
		switch {
		case w.rng.IntN(3) == 0:
			c.text = ""
		case w.keyless: // a row is another row then
			w.put(change{key: c.key})
			c.key, w.next = w.next, w.next+1
		}
	} else {
		w.next++
	}
	w.put(c)
}

func (w *world) put(c change) {
	apply(w.source, c)
	w.log = append(w.log, c)
}

func apply(m map[int]string, c change) {
	if c.text == "" {
		delete(m, c.key)
		return
	}
	m[c.key] = c.text
}

// pass lets time pass: the source changes, the target follows.
func (w *world) pass() {
	if w.left > 0 && w.rng.IntN(3) == 0 {
		w.left--
		w.change(w.rng.IntN(3) == 0)
	}
	if w.applied < len(w.log) && w.rng.IntN(3) == 0 {
		for range 1 + w.rng.IntN(4) {
			if w.applied < len(w.log) {
				if c := w.log[w.applied]; !w.stuck[c.key] {
					apply(w.target, c)
				}
				w.applied++
			}
		}
	}
}

// spoil makes the target wrong for ever in a few keys.
func (w *world) spoil() {
	for range w.rng.IntN(4) {
		k := w.rng.IntN(w.next + 1)
		w.stuck[k] = true
		if w.rng.IntN(3) == 0 {
			delete(w.target, k)
		} else {
			w.target[k] = "wrong" + strconv.Itoa(k)
		}
	}
}

// wrong are the keys that differ when the target has followed to the end.
func (w *world) wrong(target map[int]string) map[int]bool {
	out := map[int]bool{}
	for k := range w.next + 1 {
		if w.source[k] != target[k] {
			out[k] = true
		}
	}
	return out
}

// multisets compares texts only, as a table without a key does.
func (w *world) multisets(target map[int]string) (n int64) {
	count := map[string]int64{}
	for _, text := range w.source {
		count[text]++
	}
	for _, text := range target {
		count[text]--
	}
	for _, d := range count {
		n += max(d, -d)
	}
	return n
}

// reader is one side of a world.
type reader struct {
	*world
	isTarget bool
	fail     func() error
}

func (reader) Tables(context.Context) ([]event.TableName, error) { return nil, nil }
func (reader) Close() error                                      { return nil }

// rows gives the texts of keys as they are at one moment; time passes while they are handed
// over.
func (r reader) rows(keys []int, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	cols := []pipeline.ReadColumn{{Name: "id", Key: !r.isTarget}, {Name: "v"}}
	if r.keyless {
		cols = []pipeline.ReadColumn{{Name: "v"}}
	}
	if err := columns(cols); err != nil {
		return err
	}
	if r.fail != nil {
		if err := r.fail(); err != nil {
			return err
		}
	}
	now := maps.Clone(r.source)
	if r.isTarget {
		now = maps.Clone(r.target)
	}
	for _, k := range keys {
		text, ok := now[k]
		if !ok {
			continue
		}
		cells := []pipeline.Cell{{Text: []byte(strconv.Itoa(k))}, {Text: []byte(text)}}
		if r.keyless {
			cells = cells[1:]
		}
		if err := row(cells); err != nil {
			return err
		}
		r.pass()
	}
	r.pass()
	return nil
}

func (r reader) Read(_ context.Context, _ event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	from := r.source
	if r.isTarget {
		from = r.target
	}
	keys := slices.Sorted(maps.Keys(from))
	if r.isTarget { // files are in no order
		r.rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	}
	return r.rows(keys, columns, row)
}

func (r reader) ReadAfter(_ context.Context, _ event.TableName, after []pipeline.Cell, n int, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	if r.keyless {
		return errors.ErrUnsupported
	}
	keys := slices.Sorted(maps.Keys(r.source))
	if after != nil {
		last, err := strconv.Atoi(string(after[0].Text))
		if err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(k int) bool { return k <= last })
	}
	keys = keys[:min(n, len(keys))]
	for _, k := range keys {
		r.asked[k] = true
	}
	return r.rows(keys, columns, row)
}

func (r reader) RowsAbout(context.Context, event.TableName) (int64, error) {
	return int64(float64(len(r.source)) * (0.5 + r.rng.Float64())), nil
}

func (r reader) Spread(_ context.Context, _ event.TableName, n int, random func() float64) (out [][]pipeline.Cell, err error) {
	if r.keyless {
		return nil, errors.ErrUnsupported
	}
	for range n {
		out = append(out, []pipeline.Cell{{Text: strconv.AppendInt(nil, int64(random()*float64(r.next)), 10)}})
	}
	return out, nil
}

func (r reader) ReadKeys(_ context.Context, _ event.TableName, wanted [][]pipeline.Cell, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	var keys []int
	for _, k := range wanted {
		n, err := strconv.Atoi(string(k[0].Text))
		if err != nil {
			return err
		}
		keys = append(keys, n)
		r.asked[n] = true
	}
	return r.rows(keys, columns, row)
}

func (r reader) Place(context.Context) (pipeline.Place, error) {
	return pipeline.Place{Time: time.Now(), Pos: uint64(len(r.log))}, nil
}

func (w *world) reached(_ context.Context, p pipeline.Place) (bool, error) {
	w.pass()
	return uint64(w.applied) >= p.Pos, nil
}

var errKilled, errGone = errors.New("killed"), errors.New("the connection is gone")

// TestARandomWorldIsJudgedRightly compares worlds that change while they are read, with
// keys that are wrong for ever and processes that die, with what a look at the quiet world
// finds.
func TestARandomWorldIsJudgedRightly(t *testing.T) {
	first := *seed
	if first == 0 {
		first = rand.Uint64() | 1
	}
	t.Logf("-verify.seed=%d", first)
	for i := range uint64(150) {
		rng := rand.New(rand.NewPCG(first+i, 1))
		w := newWorld(rng, rng.IntN(3) == 0)
		w.spoil()
		before := w.wrong(w.target)
		got, err := w.check(t)
		if err != nil {
			t.Fatalf("seed %d: %v", first+i, err)
		}
		for w.left > 0 || w.applied < len(w.log) {
			w.pass()
		}
		if text := w.judge(got, before); text != "" {
			t.Fatalf("seed %d (world %d, keyless %v): %s\n%+v", first, i, w.keyless, text, got)
		}
	}
}

// TestASampleOfARandomWorldIsJudgedRightly compares parts of the same worlds: whatever the
// source was asked for must be judged, and nothing be said of the rest.
func TestASampleOfARandomWorldIsJudgedRightly(t *testing.T) {
	first := *seed
	if first == 0 {
		first = rand.Uint64() | 1
	}
	t.Logf("-verify.seed=%d", first)
	seen := map[string]int{}
	for i := range uint64(200) {
		rng := rand.New(rand.NewPCG(first+i, 2))
		w := newWorld(rng, rng.IntN(10) == 0)
		for range 3 {
			w.spoil()
		}
		before := w.wrong(w.target)
		sample := &Sample{Rows: 1 + int64(rng.IntN(60)), Seed: rng.Uint64()}
		if rng.IntN(2) == 0 {
			sample = &Sample{Fraction: rng.Float64() / 2, Seed: sample.Seed}
		}
		got, err := w.checkSample(t, sample)
		if err != nil {
			t.Fatalf("seed %d: %v", first+i, err)
		}
		for w.left > 0 || w.applied < len(w.log) {
			w.pass()
		}
		text := ""
		switch state := got.State(); {
		case state == Skipped && w.keyless:
			seen[state]++
			continue
		case got.Sample == nil: // it had few rows
			text = w.judge(got, before)
		default:
			text = w.judgeSample(got, before)
			seen[state]++
			for _, example := range got.Examples {
				kind, _, _ := strings.Cut(example, ":")
				seen["an example: "+kind]++
			}
		}
		if text != "" {
			t.Fatalf("seed %d (world %d, keyless %v): %s\n%+v %+v", first, i, w.keyless, text, got, got.Sample)
		}
	}
	for _, what := range []string{Agrees, Differs, Skipped, "an example: only in the source", "an example: only in the target", "an example: differs"} {
		if seen[what] == 0 {
			t.Errorf("never %s: %v", what, seen)
		}
	}
	t.Log(seen)
}

// judgeSample says what is wrong with the outcome of a sample.
func (w *world) judgeSample(got Table, before map[int]bool) string {
	if got.State() == Equal || got.Sample.Keys == 0 {
		return "a part is not the whole, and not nothing"
	}
	asked := map[int]bool{}
	for k := range before {
		if w.asked[k] {
			asked[k] = true
		}
	}
	return w.judge(got, asked)
}

func (w *world) checkSample(t *testing.T, sample *Sample) (Table, error) {
	return Check(t.Context(), reader{w, false, nil}, reader{w, true, nil}, event.TableName{DB: "shop", Table: "t"}, Options{
		Dir: t.TempDir(), Wait: time.Minute, Pause: time.Microsecond, Reached: w.reached, Sample: sample,
		ChunkRows: 1 + w.rng.IntN(40), PartBytes: int64(keyBytes * (1 + w.rng.IntN(40))),
	})
}

// check compares the world, again after each death from where it was.
func (w *world) check(t *testing.T) (Table, error) {
	o := Options{
		Dir: t.TempDir(), Wait: time.Minute, Pause: time.Microsecond, Reached: w.reached,
		ChunkRows: 1 + w.rng.IntN(40), PartBytes: int64(keyBytes * (1 + w.rng.IntN(40))),
	}
	deaths, failures := w.rng.IntN(3), w.rng.IntN(3)
	fail := func() error {
		if failures > 0 && w.rng.IntN(5) == 0 {
			failures--
			return errGone
		}
		return nil
	}
	o.Save = func(c Cursor) error {
		o.Resume = &c
		if deaths > 0 && w.rng.IntN(3) == 0 {
			deaths--
			return errKilled
		}
		return nil
	}
	for {
		got, err := Check(t.Context(), reader{w, false, fail}, reader{w, true, fail}, event.TableName{DB: "shop", Table: "t"}, o)
		if !errors.Is(err, errKilled) {
			return got, err
		}
	}
}

// judge says what is wrong with an outcome, now that the world is quiet.
func (w *world) judge(got Table, before map[int]bool) string {
	if got.Unsettled > 0 {
		return "the world became quiet, and keys are unsettled"
	}
	if w.keyless {
		if n := w.multisets(w.target); got.Differences() == 0 && n > 0 && len(before) > 0 && w.wrongForEver(before) > 0 {
			return fmt.Sprintf("%d rows differ", n)
		}
		if len(w.stuck) == 0 && !got.Equal() {
			return "nothing differs"
		}
		return ""
	}
	// One that was found to differ may have come right since.
	if most := int64(len(w.stuck)); got.Differences() > most {
		return fmt.Sprintf("%d keys differ at most", most)
	}
	for _, example := range got.Examples {
		if strings.HasSuffix(example, errGone.Error()) { // the rows are counted, and not named
			continue
		}
		_, id, _ := strings.Cut(example, "id=")
		id, _, _ = strings.Cut(id, ":")
		if k, err := strconv.Atoi(id); err != nil || !w.stuck[k] {
			return "does not differ: " + example
		}
	}
	if least := w.wrongForEver(before); got.Differences() < least {
		return fmt.Sprintf("%d keys differ at least", least)
	}
	return ""
}

// wrongForEver counts keys that were wrong before the comparison and still are: texts that
// nobody else has, so that they are wrong without keys as well.
func (w *world) wrongForEver(before map[int]bool) (n int64) {
	for k := range w.wrong(w.target) {
		if before[k] && w.stuck[k] && w.target[k] != "" {
			n++
		}
	}
	return n
}

// endless is a table of n rows that is made while it is read; wrong rows have another text.
type endless struct {
	n     int
	wrong int // every so many rows of the target
}

func (endless) Tables(context.Context) ([]event.TableName, error) { return nil, nil }
func (endless) Close() error                                      { return nil }

func (e endless) Read(_ context.Context, _ event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	if err := columns([]pipeline.ReadColumn{{Name: "id", Key: true}, {Name: "v"}}); err != nil {
		return err
	}
	cells, text := make([]pipeline.Cell, 2), make([]byte, 100)
	for i := range e.n {
		cells[0].Text = strconv.AppendInt(cells[0].Text[:0], int64(i), 10)
		cells[1].Text = text
		if text[0] = 0; e.wrong > 0 && i%e.wrong == 0 {
			text[0] = 1
		}
		if err := row(cells); err != nil {
			return err
		}
	}
	return nil
}

// TestMemoryDoesNotGrowWithTheTable compares tables of which one part alone would not fit,
// and of which a third differs.
func TestMemoryDoesNotGrowWithTheTable(t *testing.T) {
	const rows, most = 600_000, 256 << 10
	c := &check{source: endless{n: rows}, target: endless{n: rows, wrong: 3}, o: Options{Dir: t.TempDir(), ChunkRows: 8192, PartBytes: most}}
	c.join = joiner{dir: c.o.Dir, most: most}
	if err := c.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.out.Different != rows/3 || c.out.SourceRows != rows || len(c.out.Examples) != maxExamples {
		t.Errorf("%+v", c.out)
	}
	if c.join.made == 0 || c.join.peak > most+keyBytes {
		t.Errorf("%d parts were split, the largest took %d bytes", c.join.made, c.join.peak)
	}
}
