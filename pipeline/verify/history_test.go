package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// past is a target with a log: lines "seq op id v", or "seq x below"; rows are "id v".
type past struct {
	side
	log       []string
	rows      []string
	keyed     bool
	unchecked []string
}

func (p past) Read(_ context.Context, _ event.TableName, columns func([]pipeline.ReadColumn) error, _ func([]pipeline.Cell) error) error {
	return columns([]pipeline.ReadColumn{{Name: "id", Key: p.keyed}, {Name: "v"}})
}

func (p past) ReadHistory(_ context.Context, _ event.TableName, columns func([]pipeline.ReadColumn, []string) error,
	change func(pipeline.Change, []pipeline.Cell) error, row func([]pipeline.Cell) error) error {
	if err := columns([]pipeline.ReadColumn{{Name: "id"}, {Name: "v"}}, p.unchecked); err != nil {
		return err
	}
	cells := func(words []string) []pipeline.Cell {
		return []pipeline.Cell{{Text: []byte(words[0])}, {Text: []byte(words[1])}}
	}
	for _, line := range p.log {
		words := strings.Fields(line)
		seq, _ := strconv.ParseUint(words[0], 10, 64)
		c := pipeline.Change{Seq: seq, Op: words[1]}
		var of []pipeline.Cell
		if c.Op == "x" {
			c.Below, _ = strconv.ParseUint(words[2], 10, 64)
			of = []pipeline.Cell{{Null: true}, {Null: true}}
		} else {
			of = cells(words[2:])
		}
		if err := change(c, of); err != nil {
			return err
		}
	}
	for _, line := range p.rows {
		if err := row(cells(strings.Fields(line))); err != nil {
			return err
		}
	}
	return nil
}

func TestALogIsReplayed(t *testing.T) {
	log := []string{"1 c 1 a", "2 c 2 b", "3 u 1 A", "4 d 2 b", "5 c 3 c"}
	for _, c := range []struct {
		name      string
		keyed     bool
		log, rows []string
		want      string // missing extra different twice
		unchecked []string
	}{
		{"equal", true, log, []string{"3 c", "1 A"}, "0 0 0 0", nil},
		{"in another order", true, []string{"5 c 3 c", "3 u 1 A", "1 c 1 a", "4 d 2 b", "2 c 2 b"}, []string{"3 c", "1 A"}, "0 0 0 0", nil},
		{"an older value", true, log, []string{"3 c", "1 a"}, "0 0 1 0", nil},
		{"an older value of what is not checked", true, log, []string{"3 c", "1 a"}, "0 0 0 0", []string{"v"}},
		{"a deletion is missed", true, log, []string{"3 c", "1 A", "2 b"}, "0 1 0 0", nil},
		{"a row is lost", true, log, []string{"1 A"}, "1 0 0 0", nil},
		{"a row twice", true, log, []string{"3 c", "1 A", "1 A"}, "0 0 0 1", nil},
		{"truncated", true, append(log, "6 x 6", "7 c 9 z"), []string{"9 z"}, "0 0 0 0", nil},
		{"an end removes what is below its begin", true, append(log, "6 r 3 c", "9 x 6"), []string{"3 c"}, "0 0 0 0", nil},
		{"rows without a key", false, []string{"1 c 1 a", "2 c 1 a", "3 c 2 b", "4 d 1 a"}, []string{"1 a", "2 b"}, "0 0 0 0", nil},
		{"one too many without a key", false, []string{"1 c 1 a", "2 c 1 a", "3 d 1 a"}, []string{"1 a", "1 a"}, "0 1 0 0", nil},
		{"other rows without a key", false, []string{"1 c 1 a", "2 c 1 a"}, []string{"1 b"}, "2 1 0 0", nil},
	} {
		p := past{log: c.log, rows: c.rows, keyed: c.keyed, unchecked: c.unchecked}
		got, err := History(t.Context(), p, p, event.TableName{DB: "shop", Table: "t"}, "")
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprintf("%d %d %d %d", got.Missing, got.Extra, got.Different, got.Duplicates); text != c.want ||
			got.Equal() != (c.want == "0 0 0 0") {
			t.Errorf("%s: %s, %+v", c.name, text, got)
		}
	}
	p := past{log: []string{"1 q 1 a"}, keyed: true}
	if _, err := History(t.Context(), p, p, event.TableName{}, ""); err == nil ||
		!strings.Contains(err.Error(), `change 1 has the operation "q"`) {
		t.Errorf("%v", err)
	}
	if _, err := History(t.Context(), side("id"), side("id"), event.TableName{}, ""); err == nil {
		t.Error("a target without a log is compared")
	}
}

// TestARandomLogIsReplayed replays random changes in random order, in parts that are split.
func TestARandomLogIsReplayed(t *testing.T) {
	first := *seed
	if first == 0 {
		first = rand.Uint64() | 1
	}
	t.Logf("-verify.seed=%d", first)
	for i := range uint64(50) {
		rng := rand.New(rand.NewPCG(first+i, 2))
		state, floor := map[string]string{}, 0
		p := past{keyed: true}
		for seq := 1; seq < 200+rng.IntN(400); seq++ {
			id := strconv.Itoa(rng.IntN(60))
			switch v := fmt.Sprint("v", seq); {
			case rng.IntN(100) == 0:
				p.log, state, floor = append(p.log, fmt.Sprintf("%d x %d", seq, seq)), map[string]string{}, seq
			case rng.IntN(4) == 0 && state[id] != "":
				p.log = append(p.log, fmt.Sprintf("%d d %s %s", seq, id, state[id]))
				delete(state, id)
			default:
				p.log, state[id] = append(p.log, fmt.Sprintf("%d u %s %s", seq, id, v)), v
			}
		}
		rng.Shuffle(len(p.log), func(i, j int) { p.log[i], p.log[j] = p.log[j], p.log[i] })
		for id, v := range state {
			p.rows = append(p.rows, id+" "+v)
		}
		got, err := History(t.Context(), p, p, event.TableName{}, "")
		if err != nil || !got.Equal() || got.SourceRows != int64(len(state)) || got.SourceChecksum != got.TargetChecksum {
			t.Fatalf("seed %d, floor %d: %+v, %v", first+i, floor, got, err)
		}
		if len(p.rows) == 0 {
			continue
		}
		p.rows[0] += "wrong"
		if got, err = History(t.Context(), p, p, event.TableName{}, ""); err != nil || got.Different != 1 {
			t.Fatalf("seed %d: %+v, %v", first+i, got, err)
		}
	}
}
