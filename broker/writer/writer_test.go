package writer

import (
	"errors"
	"strconv"
	"testing"

	"github.com/millrace/millrace/message"
)

func props(kv ...string) []byte {
	var p []byte
	for i := 0; i < len(kv); i += 2 {
		p = message.AppendProperty(p, kv[i], kv[i+1])
	}
	return p
}

func TestParseLink(t *testing.T) {
	link := func(change ...string) []byte {
		m := map[string]string{"mr_p": "p", "mr_term": "3", "mr_lo": "11", "mr_hi": "20", "mr_prev": "10", "mr_to": "id"}
		for i := 0; i < len(change); i += 2 {
			if m[change[i]] = change[i+1]; change[i+1] == "" {
				delete(m, change[i])
			}
		}
		return message.AppendProperties(nil, m)
	}
	want := Link{Writer: "p", Term: 3, Lo: 11, Hi: 20, Prev: 10, To: "id"}
	if got, err := ParseLink(link()); err != nil || got != want {
		t.Fatalf("%+v %v", got, err)
	}
	want.Base = true
	if got, err := ParseLink(link("mr_base", "1")); err != nil || got != want {
		t.Fatalf("%+v %v", got, err)
	}
	for _, bad := range [][]string{
		{"mr_p", ""}, {"mr_term", ""}, {"mr_lo", ""}, {"mr_hi", ""}, {"mr_prev", ""},
		{"mr_term", "0"}, {"mr_hi", "0"}, {"mr_lo", "21"}, {"mr_prev", "20"}, {"mr_prev", "21"},
		{"mr_hi", "x"}, {"mr_hi", "-1"}, {"mr_hi", "18446744073709551616"},
	} {
		if got, err := ParseLink(link(bad...)); !errors.Is(err, ErrIllegal) {
			t.Errorf("%s = %q: %+v %v", bad[0], bad[1], got, err)
		}
	}
	whole := link()
	for n := range len(whole) - 1 {
		if l, err := ParseLink(whole[:n]); err == nil && l == want {
			t.Errorf("%d of %d bytes are a whole link", n, len(whole))
		}
	}
}

func FuzzParseLink(f *testing.F) {
	f.Add(props("mr_p", "p", "mr_term", "3", "mr_lo", "11", "mr_hi", "20", "mr_prev", "10"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLink(b)
		if err != nil {
			return
		}
		// It agrees with the map that everybody else reads.
		m, err := message.ParseProperties(b)
		if err != nil {
			return
		}
		if m["mr_p"] != l.Writer {
			t.Fatalf("writer %q, properties say %q", l.Writer, m["mr_p"])
		}
		if n, err := strconv.ParseUint(m["mr_hi"], 10, 64); err != nil || n != l.Hi {
			t.Fatalf("hi %d, properties say %q", l.Hi, m["mr_hi"])
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	rec := Record{Version: 1, Writer: "p", Term: 1<<64 - 1, Opener: "x", Queues: []RecordQueue{{Topic: "t", Hi: 5, To: "id"}}}
	f.Add(rec.message().Body)
	f.Add([]byte(`{"v":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := ParseRecord(b)
		if err != nil {
			return
		}
		again, err := ParseRecord(rec.message().Body)
		if err != nil || again.Term != rec.Term || again.Writer != rec.Writer || len(again.Queues) != len(rec.Queues) {
			t.Fatalf("%+v, then %+v %v", rec, again, err)
		}
	})
}

func TestEveryTruncatedRecordIsRefused(t *testing.T) {
	rec := Record{Version: 1, Writer: "p", Term: 7, Opener: "x", Queues: []RecordQueue{}}
	b := rec.message().Body
	for n := range b {
		if _, err := ParseRecord(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes are a record", n, len(b))
		}
	}
}

func TestReasonsOfRefusals(t *testing.T) {
	for want, err := range map[string]error{
		"duplicate": &LinkError{Duplicate: true}, "gap": &LinkError{}, "stale": &StaleError{}, "fenced": ErrFenced,
		"pending_full": ErrPendingFull, "illegal": ErrIllegal, "other": errors.New("x"),
	} {
		if got := Reason(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}
