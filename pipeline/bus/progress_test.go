package bus

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

func tableNumber(i int) checkpoint.TableName {
	return checkpoint.TableName{DB: "shop", Table: fmt.Sprintf("t%03d", i)}
}

// many is a state with this many snapshots under way, of tables with four queues each.
func many(tables int) *checkpoint.State {
	st := checkpoint.NewState()
	g := &checkpoint.Group{N: 1}
	for i := range tables {
		g.Attempts = append(g.Attempts, checkpoint.Attempt{Table: tableNumber(i), Begin: event.Seq(i + 1), Chunk: 1})
		for q := range 4 {
			g.Halves = append(g.Halves, checkpoint.Half{Queue: checkpoint.Queue{Topic: tableNumber(i).Table, ID: q}, Hi: 1})
		}
	}
	if err := st.Apply(g); err != nil {
		panic(err)
	}
	return st
}

// BenchmarkShow is what each group pays, twice, for the status to be known without waiting:
// with one snapshot under way, and with 500. Groups that change neither queues nor attempts
// are resolved only.
func BenchmarkShow(b *testing.B) {
	for _, n := range []int{1, 500} {
		b.Run(fmt.Sprintf("attempts=%d", n), func(b *testing.B) {
			l := checkpointLog{p: &Publisher{}, state: many(n)}
			b.ReportAllocs()
			for b.Loop() {
				l.mu.Lock()
				l.unlock()
			}
		})
	}
}

// TestWhatIsShownIsTheState lets attempts begin, go on, end and be given up at random, and
// compares what people see with the state each time.
func TestWhatIsShownIsTheState(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	l := checkpointLog{p: &Publisher{}}
	for range 2000 {
		l.mu.Lock()
		switch {
		case l.state == nil || r.IntN(100) == 0: // another opening
			l.state = many(r.IntN(5))
		case r.IntN(4) == 0:
			l.state.SetDue(tableNumber(r.IntN(8)), "asked")
		case r.IntN(4) == 0:
			l.state.SetResolved(l.state.N)
		default:
			table := tableNumber(r.IntN(8))
			g := &checkpoint.Group{N: l.state.N + 1}
			switch r.IntN(4) {
			case 0:
				g.Attempts = []checkpoint.Attempt{{Table: table, Begin: event.Seq(g.N), Chunk: uint64(r.IntN(9))}}
			case 1:
				g.Ended = []checkpoint.TableName{table}
			case 2:
				g.Dropped = []checkpoint.TableName{table}
			default:
				g.Trim = []checkpoint.Trim{{Queue: checkpoint.Queue{Topic: table.Table}, From: 1, Upto: 2}}
			}
			if err := l.state.Apply(g); err != nil {
				t.Fatal(err)
			}
		}
		trimming, attempts := 0, map[event.TableName]event.Attempt{}
		for _, q := range l.state.Queues {
			if q.TrimUpto != 0 {
				trimming++
			}
		}
		for _, a := range l.state.Tries {
			attempts[event.TableName(a.Table)] = event.Attempt{Begin: a.Begin, Chunk: a.Chunk, Rows: a.Rows, Estimate: a.Estimate}
		}
		l.unlock()
		if got := l.shown.Load(); got.Trimming != trimming || fmt.Sprint(got.Attempts) != fmt.Sprint(attempts) {
			t.Fatalf("shown is %d, %+v; the state is %d, %+v", got.Trimming, got.Attempts, trimming, attempts)
		}
	}
}
