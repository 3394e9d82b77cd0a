package checkpoint

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/millrace/millrace/pipeline/event"
)

// TestLog runs scripts: one record a line, then what they add up to. A line is
//
//	open τ | group τ num pred n=… q=lo-hi<prev … | base τ num pred part/of [from=num]
//
// where a base holds the state of the valid records before it.
func TestLog(t *testing.T) {
	datadriven.Walk(t, "testdata/log", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			whole := true
			for _, arg := range d.CmdArgs {
				if arg.Key == "middle" {
					whole = false
				}
			}
			messages := parseScript(t, d.Input)
			log, err := ReadLog(messages, whole)
			if err != nil {
				return err.Error() + "\n"
			}
			var out strings.Builder
			fmt.Fprintf(&out, "term %d, last valid %d, base at %d, newest at %d\n", log.Term, log.LastValid, log.BaseOffset, log.NewestBase)
			for i := range len(log.Groups) + 1 {
				s, err := log.StateAt(i)
				if err != nil {
					return out.String() + err.Error() + "\n"
				}
				fmt.Fprintf(&out, "%d: %s\n", i, describe(s))
			}
			return out.String()
		})
	})
}

func describe(s *State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "n=%d resolved=%d pos=%d counter=%d epoch=%d", s.N, s.Resolved, s.Position.Pos, s.Position.Counter, s.Epoch)
	for _, q := range s.Queues {
		fmt.Fprintf(&b, " q%d=%d", q.Queue.ID, q.Last)
		if q.TrimUpto != 0 {
			fmt.Fprintf(&b, "(trim %d..%d)", q.TrimFrom, q.TrimUpto)
		}
	}
	for _, g := range s.Groups {
		fmt.Fprintf(&b, " unresolved=%d", g.N)
	}
	for _, a := range s.Tries {
		fmt.Fprintf(&b, " attempt=%s/%d/%d", a.Table.Table, a.Begin, a.Chunk)
	}
	for _, a := range s.Due {
		fmt.Fprintf(&b, " due=%s:%s", a.Table.Table, a.Cause)
	}
	for _, r := range s.Taken {
		fmt.Fprintf(&b, " taken=%d+%d", r.At, r.Count)
	}
	for _, p := range s.Paused {
		fmt.Fprintf(&b, " paused=%s:%s", p.Table.Table, p.Code)
	}
	return b.String()
}

// parseScript turns lines into messages. Bases hold the state that ReadLog finds in the
// lines before them, with the changes that follow as set=value.
func parseScript(t *testing.T, input string) []Message {
	t.Helper()
	var out []Message
	for i, line := range strings.Split(strings.TrimSpace(input), "\n") {
		f := strings.Fields(line)
		r := &Record{Version: Version, Type: Type(f[0])}
		scan(t, f[1], "%d", &r.Term)
		switch r.Type {
		case TypeOpen:
			scan(t, f[2], "%d", &r.Num)
		case TypeGroup:
			scan(t, f[2]+" "+f[3], "%d %d", &r.Num, &r.Pred)
			r.Group = parseGroup(t, f[4:])
		case TypeBase:
			scan(t, f[2]+" "+f[3], "%d %d", &r.Num, &r.Pred)
			r.Part = &Part{}
			scan(t, f[4], "%d/%d", &r.Part.Index, &r.Part.Of)
			r.Part.Data = baseData(t, out, f[5:], r.Part.Index, r.Part.Of)
		}
		body, err := Encode(r)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if r, err = Decode(body); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, Message{Offset: int64(i), Record: r})
	}
	return out
}

func scan(t *testing.T, s, format string, to ...any) {
	t.Helper()
	if _, err := fmt.Sscanf(s, format, to...); err != nil {
		t.Fatalf("%q is not %q: %v", s, format, err)
	}
}

func parseGroup(t *testing.T, fields []string) *Group {
	t.Helper()
	g := &Group{Kind: KindRows}
	table := func(name string) TableName { return TableName{"d", name} }
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		switch {
		case key == "n":
			scan(t, value, "%d", &g.N)
			g.To.Pos, g.To.Counter, g.To.Epoch = g.N*100, g.N*10, 1
		case key == "counter":
			scan(t, value, "%d", &g.To.Counter)
		case key == "epoch":
			scan(t, value, "%d", &g.To.Epoch)
		case key == "resolved":
			scan(t, value, "%d", &g.Resolved)
		case key == "begin":
			g.Attempts = append(g.Attempts, Attempt{Table: table(value), Begin: event.Seq(g.N)})
		case key == "chunk":
			g.Attempts = append(g.Attempts, Attempt{Table: table(value), Begin: 1, Chunk: g.N})
		case key == "end":
			g.Ended = append(g.Ended, table(value))
		case key == "due":
			g.Due = append(g.Due, Due{Table: table(value), Cause: "why"})
		case key == "taken":
			r := Reservation{Epoch: 1}
			scan(t, value, "%d+%d", &r.At, &r.Count)
			g.Reserved = append(g.Reserved, r)
		case key == "pause":
			g.Paused = append(g.Paused, Paused{Table: table(value), Code: "oversize"})
		case key == "resume":
			g.Resumed = append(g.Resumed, table(value))
		case strings.HasPrefix(key, "trim"):
			x := Trim{Queue: Queue{"b", "t", 0}}
			scan(t, key[4:], "%d", &x.Queue.ID)
			scan(t, value, "%d-%d", &x.From, &x.Upto)
			g.Trim = append(g.Trim, x)
		case key[0] == 'q':
			h := Half{Queue: Queue{"b", "t", 0}, ID: "h"}
			scan(t, key[1:], "%d", &h.Queue.ID)
			scan(t, value, "%d-%d<%d", &h.Lo, &h.Hi, &h.Prev)
			g.Halves = append(g.Halves, h)
		default:
			t.Fatalf("field %q", f)
		}
	}
	return g
}

// baseData is one piece of the state behind the messages so far.
func baseData(t *testing.T, before []Message, fields []string, index, of int) []byte {
	t.Helper()
	piece := index
	for len(before) > 0 && before[len(before)-1].Record.Type == TypeBase && index > 0 {
		before, index = before[:len(before)-1], index-1
	}
	s := NewState()
	if log, err := ReadLog(before, true); err == nil {
		if s, err = log.State(); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		switch key {
		case "epoch":
			scan(t, value, "%d", &s.Epoch)
		case "resolved":
			var n uint64
			scan(t, value, "%d", &n)
			s.SetResolved(n)
		case "pos":
			scan(t, value, "%d", &s.Position.Pos)
		case "n":
			scan(t, value, "%d", &s.N)
		}
	}
	all, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	size := (len(all) + of - 1) / of
	parts, err := SplitBase(s, size)
	if err != nil || len(parts) != of {
		t.Fatalf("%d parts of %d, %v", len(parts), of, err)
	}
	return parts[piece]
}

func fullRecord() *Record {
	q := Queue{Broker: "a/b", Topic: "p--d--t", ID: 3}
	table := TableName{"d.x", "t"}
	id := event.Identity{Tx: "0-1-9", Index: 4, Part: 1}
	at := Position{Server: "s", GTIDSet: "0-1-8", File: "bin.1", Pos: 4, Epoch: 2, Counter: 1 << 40, Done: event.MakeSeq(2, 7), DoneID: id,
		Print: event.Fingerprint{File: "bin.1", Pos: 3, Type: 16, Time: 1, Size: 31, Checksum: 9},
		XA:    "X'6f',X'',1 4-90 0-1-7 bin.1\n", Tables: `[{"db":"shop","table":"a"}]`}
	return &Record{Type: TypeGroup, Term: 7, Num: 12, Pred: 10, Group: &Group{
		N: 3, Kind: KindDDL, From: at, To: at, Resolved: 1,
		Halves:   []Half{{Queue: q, ID: "k@1", Tx: "t", Lo: 5, Hi: event.MakeSeq(2, 1<<47), Prev: 4, To: id}},
		Trim:     []Trim{{Queue: q, From: 1, Upto: 9}},
		Attempts: []Attempt{{Table: table, Begin: 5, Chunk: 2, Cursor: []byte{0, 255}, Rows: 3, Estimate: 4, Cause: "new"}},
		Ended:    []TableName{table}, Due: []Due{{table, "why"}}, Reserved: []Reservation{{2, 5, 6}},
		Tables:  []Table{{Name: table, Schema: event.SchemaID{1}, Topic: "p--d--t", Queues: 4, Key: []string{"id"}, Keyless: true, Route: 1, Hash: "xxh64"}},
		Dropped: []TableName{{"d", "gone"}}, Paused: []Paused{{Table: table, Code: "statement", Text: "text", Serial: "s", Where: at}}, Resumed: []TableName{table},
		OpenTx: &OpenTx{ID: "g", Tables: []TableCount{{table, 9}}, Queues: []QueueCount{{q, 8}}},
		Marks:  []Mark{{Table: table, Mark: &event.Mark{Seq: 5, ID: id, SQL: "alter", Queues: 4}}},
	}}
}

func TestRecordRoundTrip(t *testing.T) {
	want := fullRecord()
	body, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(body)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v\n%+v\n%+v", err, got.Group, want.Group)
	}
	for n := range len(body) {
		if _, err := Decode(body[:n]); err == nil {
			t.Errorf("prefix of %d bytes is a record", n)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"unknown field":      `{"v":1,"type":"open","term":"1","num":"1","more":1}`,
		"later version":      `{"v":2,"type":"open","term":"1","num":"1"}`,
		"unknown type":       `{"v":1,"type":"shut","term":"1","num":"1"}`,
		"Open with a pred":   `{"v":1,"type":"open","term":"1","num":"2","pred":"1"}`,
		"its own pred":       `{"v":1,"type":"base","term":"1","num":"2","pred":"2","part":{"index":0,"of":1,"data":""}}`,
		"part out of range":  `{"v":1,"type":"base","term":"1","num":"2","part":{"index":1,"of":1,"data":""}}`,
		"group without halt": `{"v":1,"type":"group","term":"1","num":"2"}`,
		"two values":         `{"v":1,"type":"open","term":"1","num":"1"}{}`,
		"falling numbers":    `{"v":1,"type":"group","term":"1","num":"2","group":{"n":"1","kind":"rows","from":{},"to":{},"resolved":"0","halves":[{"q":"b/t/0","lo":"5","hi":"4","prev":"0","to":""}]}}`,
		"queue without a no": `{"v":1,"type":"group","term":"1","num":"2","group":{"n":"1","kind":"rows","from":{},"to":{},"resolved":"0","halves":[{"q":"b/t","lo":"4","hi":"4","prev":"0","to":""}]}}`,
	} {
		if _, err := Decode([]byte(body)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBaseIsReadFromItsParts(t *testing.T) {
	s := NewState()
	if err := s.Apply(&Group{N: 1, Kind: KindRows, Halves: fullRecord().Group.Halves, Tables: fullRecord().Group.Tables}); err != nil {
		t.Fatal(err)
	}
	for size := 1; size < 400; size += 13 {
		parts, err := SplitBase(s, size)
		if err != nil {
			t.Fatal(err)
		}
		var messages []Message
		for i, data := range parts {
			messages = append(messages, Message{Offset: int64(i), Record: &Record{Type: TypeBase, Part: &Part{Index: i, Of: len(parts), Data: data}}})
		}
		got, err := JoinBase(messages)
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("parts of %d bytes: %v\n%+v\n%+v", size, err, got, s)
		}
	}
}

// TestOnlyTheChainCounts appends records of several terms in every interleaving that a
// broker without fences could make, and compares with the rule as it is written.
func TestOnlyTheChainCounts(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		var messages []Message
		for i := range 2 + rng.IntN(12) {
			r := &Record{Version: Version, Term: uint64(1 + rng.IntN(3)), Num: uint64(i + 1)}
			if rng.IntN(4) == 0 {
				r.Type = TypeOpen
			} else {
				r.Type, r.Pred = TypeGroup, uint64(rng.IntN(i+1))
				r.Group = &Group{N: 1}
			}
			messages = append(messages, Message{Offset: int64(i), Record: r})
		}
		var valid []uint64
		last := uint64(0)
		for i, m := range messages {
			ok := m.Record.Type == TypeGroup && m.Record.Pred == last
			for _, before := range messages[:i] {
				ok = ok && !(before.Record.Type == TypeOpen && before.Record.Term > m.Record.Term)
			}
			if ok {
				last = m.Record.Num
				valid = append(valid, last)
			}
		}
		log, err := ReadLog(messages, true)
		if err != nil || log.LastValid != last || len(log.Groups) != len(valid) {
			t.Fatalf("%d valid records up to %d, want %v, %v", len(log.Groups), log.LastValid, valid, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	body, err := Encode(fullRecord())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"v":1,"type":"open","term":"1","num":"1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Encode(r)
		if err != nil {
			t.Fatalf("a record that was read can't be written: %v", err)
		}
		if _, err := Decode(again); err != nil {
			t.Fatalf("%s\n%s: %v", b, again, err)
		}
		if r.Group != nil {
			s := NewState()
			s.N = r.Group.N - 1
			if err := s.Apply(r.Group); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestManyQueuesAreFound(t *testing.T) {
	s := NewState()
	for i := range 200 {
		s.Queue(Queue{"b", "t", i}).Last = event.Seq(i + 1)
		if i%50 == 0 {
			s = s.Clone()
		}
	}
	for i := range 200 {
		if got := s.Last(Queue{"b", "t", i}); got != event.Seq(i+1) || s.Queue(Queue{"b", "t", i}).Last != got {
			t.Errorf("queue %d: %d", i, got)
		}
	}
	if s.Last(Queue{"b", "t", 200}) != 0 || len(s.Queues) != 200 {
		t.Error("a queue that nothing put anything into")
	}
}
