package life

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

var (
	update = flag.Bool("update", false, "write testdata/transitions.txt anew")
	seed   = flag.Uint64("seed", 0, "of the random lives; 0 takes the clock")
)

// twin is a table told naively: it keeps all that ever happened, and looks through it
// whenever it is asked something.
type twin []Event

// sinceOpened is what the last opening found recorded, and what happened behind it.
func (w twin) sinceOpened() (Recorded, twin) {
	for i, e := range slices.Backward(w) {
		if e.Kind == Opened {
			return e.Recorded, w[i+1:]
		}
	}
	return Recorded{}, w
}

func (w twin) gone() event.PauseReason {
	recorded, then := w.sinceOpened()
	for _, e := range slices.Backward(then) {
		switch e.Kind {
		case Dropped:
			return e.Reason
		case Created:
			return event.PauseReason{}
		}
	}
	if recorded.Pause.Code == event.PauseDropped {
		return recorded.Pause
	}
	return event.PauseReason{}
}

func (w twin) held() event.PauseReason {
	for _, e := range slices.Backward(w) {
		switch e.Kind {
		case Misrouted, LeftOut:
			return e.Reason
		case Taken:
			return event.PauseReason{}
		}
	}
	return event.PauseReason{}
}

// pause is the first reason since the table flowed last, or was asked to go on last if there
// is one since. One of the file's gives way to another of the file's.
func (w twin) pause() event.PauseReason {
	recorded, then := w.sinceOpened()
	var reasons, before twin
	if recorded.Pause.Code != "" && recorded.Pause.Code != event.PauseDropped {
		reasons = append(reasons, Event{Kind: Paused, Reason: recorded.Pause})
	}
	for _, e := range then {
		switch e.Kind {
		case Resumed:
			reasons, before = nil, nil
		case Withdrawn:
			if len(reasons) > 0 {
				before = twin{{Kind: Paused, Reason: first(reasons)}}
				reasons = nil
			}
		case Asked:
			reasons, before = append(before, reasons...), nil
		case Paused:
			reasons, before = append(reasons, e), nil
		case Misrouted, LeftOut:
			if len(before) > 0 && !first(before).Code.ByFile() {
				break // it stands for another reason
			}
			reasons, before = append(reasons, e), nil
		}
	}
	return first(append(before, reasons...))
}

func first(reasons twin) (why event.PauseReason) {
	for i, e := range reasons {
		if i == 0 || why.Code.ByFile() && e.Kind != Paused {
			why = e.Reason
		}
	}
	return why
}

// asked: somebody asked since the table stood or flowed last, and did not take it back.
func (w twin) asked() bool {
	if w.pause().Code != "" {
		return false
	}
	for i, e := range slices.Backward(w) {
		switch {
		case e.Kind == Withdrawn || e.Kind == Resumed:
			return false
		case e.Kind == Asked:
			return w[:i].pause().Code == ""
		case w[:i+1].pause().Code != "":
			return false
		}
	}
	return false
}

// attempt is what happened last of those events that are not of one that was given up.
func (w twin) attempt() (begin event.Seq, cause string, there bool) {
	recorded, then := w.sinceOpened()
	if a := recorded.Attempt; a != nil {
		begin, cause, there = a.Begin, a.Cause, true
	}
	given := map[event.Seq]bool{}
	stale := func(b event.Seq) bool {
		for g := range given {
			if b <= g {
				return true
			}
		}
		return b == 0
	}
	for _, e := range then {
		switch {
		case e.Kind == Due:
			given[begin] = true
			begin, cause, there = 0, e.Cause, true
		case e.Kind == Dropped, e.Kind == Ended && !stale(e.Attempt.Begin):
			begin, cause, there = 0, "", false
		case e.Kind == Begun, e.Kind == Advanced && !stale(e.Attempt.Begin):
			begin, cause, there = e.Attempt.Begin, e.Attempt.Cause, true
		}
	}
	return begin, cause, there
}

// check compares what a table and its twin say to every question.
func check(t *testing.T, got Table, w twin) {
	t.Helper()
	begin, cause, attempt := w.attempt()
	state, code, reason := pipeline.StateRunning, event.PauseCode(""), ""
	switch gone, held, pause := w.gone(), w.held(), w.pause(); {
	case gone.Code != "":
		state, code, reason = pipeline.StateDropped, event.PauseDropped, gone.Text
	case held.Code == event.PauseExcluded:
		state, code, reason = pipeline.StateExcluded, event.PauseExcluded, held.Text
	case pause.Code == event.PauseExcluded:
		state, code, reason = pipeline.StateExcluded, event.PauseExcluded, pause.Text
	case pause.Code != "":
		state, code, reason = pipeline.StatePaused, pause.Code, pause.String()
	case w.asked():
		state, code, reason = pipeline.StatePaused, event.PauseRequest, "paused by request"
	case attempt && begin != 0:
		state, reason = pipeline.StateSnapshot, cause
	case attempt:
		state, reason = pipeline.StateDue, cause
	}
	s, c, r := got.State()
	a, there := got.Attempt()
	stood, stands := got.StoodAt()
	wantStood := w.gone().Where
	if w.gone().Code == "" {
		wantStood = w.pause().Where
	}
	is := fmt.Sprint(s, c, r, got.Flows(), got.Halted(), got.Wished(), got.Stands(), got.Held(), got.Gone(), a.Begin,
		a.Cause, there, stood, stands)
	want := fmt.Sprint(state, code, reason, state == pipeline.StateRunning, w.pause().Code != "", w.asked(), w.pause().Code != "" ||
		w.asked(), w.held(), w.gone(),
		begin, cause, attempt, wantStood, w.gone().Code != "" || w.pause().Code != "" || w.asked())
	if is != want {
		t.Fatalf("after %s\n  is   %s\n  want %s", w, is, want)
	}
}

func (w twin) String() string {
	var out []string
	for _, e := range w {
		text := e.Kind.String()
		if e.Reason.Code != "" {
			text += "(" + string(e.Reason.Code) + ")"
		}
		if e.Attempt.Begin != 0 {
			text += fmt.Sprint("(", e.Attempt.Begin, ")")
		}
		if e.Kind == Opened {
			text += fmt.Sprintf("(%s, %+v)", e.Recorded.Pause.Code, e.Recorded.Attempt)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func because(code event.PauseCode, n int) event.PauseReason {
	return event.PauseReason{Code: code, Text: fmt.Sprintf("%s %d", code, n), Where: event.Position{Pos: uint64(n)}}
}

// events is one event of every sort, with details by n.
func events(n int) []Event {
	attempt := event.Attempt{Begin: event.Seq(1 + n%3), Cause: fmt.Sprint("begun ", n)}
	return []Event{
		{Kind: Opened},
		{Kind: Opened, Recorded: Recorded{Attempt: &event.Attempt{Cause: "recorded"}}},
		{Kind: Opened, Recorded: Recorded{Attempt: &event.Attempt{Begin: 2, Cause: "recorded"}}},
		{Kind: Opened, Recorded: Recorded{Pause: because(event.PauseCharset, n)}},
		{Kind: Opened, Recorded: Recorded{Pause: because(event.PauseExcluded, n)}},
		{Kind: Opened, Recorded: Recorded{Pause: because(event.PauseDropped, n)}},
		{Kind: Taken},
		{Kind: Misrouted, Reason: because(event.PauseRoute, n)},
		{Kind: LeftOut, Reason: because(event.PauseExcluded, n)},
		{Kind: Asked},
		{Kind: Withdrawn},
		{Kind: Paused, Reason: because(event.PauseRequest, n)},
		{Kind: Paused, Reason: because(event.PauseCharset, n)},
		{Kind: Resumed},
		{Kind: Due, Cause: fmt.Sprint("due ", n)},
		{Kind: Begun, Attempt: attempt},
		{Kind: Advanced, Attempt: attempt},
		{Kind: Ended, Attempt: attempt},
		{Kind: Dropped, Reason: because(event.PauseDropped, n)},
		{Kind: Created},
	}
}

// reached are all combinations of facts that events lead to, each with a shortest way there.
func reached() map[Table]twin {
	found := map[Table]twin{{}: nil}
	for level := []Table{{}}; len(level) > 0; {
		var next []Table
		for _, t := range level {
			for _, e := range events(1) {
				after := t.After(e)
				if _, known := found[after]; !known {
					found[after] = append(slices.Clone(found[t]), e)
					next = append(next, after)
				}
			}
		}
		level = next
	}
	return found
}

// TestEveryEventInEveryState tries every sort of event behind every combination of facts
// that can be reached, and compares with the twin.
func TestEveryEventInEveryState(t *testing.T) {
	all := reached()
	if len(all) < 200 {
		t.Fatalf("only %d combinations were reached", len(all))
	}
	for table, way := range all {
		check(t, table, way)
		for n := range 3 { // of attempts of before, the present one, and behind
			for _, e := range events(n) {
				check(t, table.After(e), append(slices.Clone(way), e))
			}
		}
	}
	t.Logf("%d combinations × %d events", len(all), 3*len(events(0)))
}

// TestRandomLives compares long lives with the twin's.
func TestRandomLives(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 0))
	for range 300 {
		var table Table
		var way twin
		for n := range 40 {
			all := events(n)
			e := all[r.IntN(len(all))]
			e.Attempt.Begin = event.Seq(r.IntN(n + 2))
			if e.Kind == Begun {
				e.Attempt.Begin = event.Seq(n + 2) // rises
			}
			table, way = table.After(e), append(way, e)
			check(t, table, way)
		}
	}
}

// TestTransitions holds the states that people see to a list: from each, what each event can
// lead to.
func TestTransitions(t *testing.T) {
	leads := map[pipeline.State]map[Kind]map[pipeline.State]bool{}
	for table := range reached() {
		from, _, _ := table.State()
		if leads[from] == nil {
			leads[from] = map[Kind]map[pipeline.State]bool{}
		}
		for _, e := range events(1) {
			to, _, _ := table.After(e).State()
			if leads[from][e.Kind] == nil {
				leads[from][e.Kind] = map[pipeline.State]bool{}
			}
			leads[from][e.Kind][to] = true
		}
	}
	var b bytes.Buffer
	b.WriteString("# from each state, by each event: the states that it can lead to\n")
	for _, info := range pipeline.States() {
		for _, k := range Kinds() {
			var to []string
			for s := range leads[info.State][k] {
				to = append(to, string(s))
			}
			if len(to) > 0 {
				slices.Sort(to)
				fmt.Fprintf(&b, "%-9s %-10s %s\n", info.State, k, strings.Join(to, " "))
			}
		}
	}
	const file = "testdata/transitions.txt"
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("the transitions are others than in %s (-update writes it anew):\n%s", file, b.Bytes())
	}
}

// TestEveryKindHasARule: an event without one would be forgotten in silence.
func TestEveryKindHasARule(t *testing.T) {
	for _, k := range Kinds() {
		if Rules()[k] == (Rule{}) || k.String() == "" {
			t.Errorf("event %d (%s) does nothing", k, k)
		}
	}
}

// TestTablesTellOfChanges: who listens hears of what changed something, once, and of tables
// that the records forgot.
func TestTablesTellOfChanges(t *testing.T) {
	a, b := event.TableName{DB: "shop", Table: "a"}, event.TableName{DB: "shop", Table: "b"}
	var told []string
	ts := New(func(name event.TableName, e Event, before, after Table) {
		from, _, _ := before.State()
		to, _, _ := after.State()
		told = append(told, fmt.Sprintf("%s %s: %s, %s", name.Table, e.Kind, from, to))
	})
	ts.Report(b, Event{Kind: Due, Cause: "x"})
	ts.Report(b, Event{Kind: Taken})
	ts.Report(b, Event{Kind: Asked})
	ts.Open(map[event.TableName]Recorded{a: {Pause: because(event.PauseCharset, 1)}})
	want := []string{"b due: running, due", "b asked: due, paused", "a opened: running, paused", "b opened: paused, paused"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if names := ts.Names(); !slices.Equal(names, []event.TableName{a, b}) {
		t.Errorf("names %v", names)
	}
	if table := ts.Of(b); !table.Wished() || ts.All()[b] != table {
		t.Errorf("a wish that no record has is gone: %+v", table)
	}
}
