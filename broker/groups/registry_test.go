package groups

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
)

type fakeChannel struct{ name string }

func (f *fakeChannel) Oneway(*remoting.Command) error { return nil }
func (f *fakeChannel) RemoteAddr() net.Addr           { return &net.TCPAddr{} }

// told records what a registry reported: "group:members".
type told []string

func (l *told) changed(group string, members []Channel) {
	names := []string{}
	for _, m := range members {
		names = append(names, m.(*fakeChannel).name)
	}
	slices.Sort(names)
	*l = append(*l, fmt.Sprint(group, ":", names))
}

func (l *told) expect(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(*l)
	if !slices.Equal(*l, want) {
		t.Fatalf("reported %q, want %q", *l, want)
	}
	*l = nil
}

var roomy = Limits{Groups: 100, Members: 100, Subscriptions: 100}

func consumer(expressions ...string) Consumer {
	c := Consumer{Model: "CLUSTERING"}
	for i, e := range expressions {
		c.Subscriptions = append(c.Subscriptions, ParseTags(fmt.Sprint("t", i), e, 1))
	}
	return c
}

func TestMembersComeAndGo(t *testing.T) {
	var log told
	r := NewRegistry(roomy, log.changed)
	a, b := &fakeChannel{"a"}, &fakeChannel{"b"}
	now := time.Unix(1000, 0)
	beat := func(ch *fakeChannel) {
		t.Helper()
		if err := r.BeatConsumer(now, "g", Client{ID: ch.name, Channel: ch}, consumer("*")); err != nil {
			t.Fatal(err)
		}
	}
	beat(a)
	log.expect(t, "g:[a]")
	beat(a)
	log.expect(t)
	beat(b)
	log.expect(t, "g:[a b]")
	if ids := r.MemberIDs("g"); !slices.Equal(ids, []string{"a", "b"}) {
		t.Fatalf("members %v", ids)
	}

	again := &fakeChannel{"a"} // the same client over a new connection
	beat(again)
	log.expect(t, "g:[a a b]")
	if ids := r.MemberIDs("g"); !slices.Equal(ids, []string{"a", "b"}) {
		t.Fatalf("members %v", ids)
	}
	r.Drop(a)
	log.expect(t, "g:[a b]")
	r.Drop(again)
	log.expect(t, "g:[b]")

	now = now.Add(Expiry)
	r.Expire(now)
	log.expect(t)
	r.Expire(now.Add(time.Second))
	log.expect(t, "g:[]")
	if _, known := r.Subscription("g", "t0"); known {
		t.Fatal("an empty group is still known")
	}
}

// TestAnotherOfTheSameIDStays: two processes may have one client id. Whichever goes, by its
// connection or with a goodbye, the other is a member still.
func TestAnotherOfTheSameIDStays(t *testing.T) {
	for name, leave := range map[string]func(*Registry, *fakeChannel){
		"closed":  func(r *Registry, ch *fakeChannel) { r.Drop(ch) },
		"goodbye": func(r *Registry, ch *fakeChannel) { r.Leave(ch, "same", "", "g") },
	} {
		for gone := range 2 {
			r := NewRegistry(roomy, nil)
			both := []*fakeChannel{{"first"}, {"second"}}
			for _, ch := range both {
				if err := r.BeatConsumer(time.Unix(0, 0), "g", Client{ID: "same", Channel: ch}, consumer("*")); err != nil {
					t.Fatal(err)
				}
			}
			leave(r, both[gone])
			if s, known := r.Subscription("g", "t0"); !known || s == nil {
				t.Errorf("%s: with member %d the other went", name, gone)
			}
			leave(r, both[1-gone])
			if _, known := r.Subscription("g", "t0"); known {
				t.Errorf("%s: nobody is left, and the group is known", name)
			}
		}
	}
}

func TestLeaveNamesItsGroups(t *testing.T) {
	var log told
	r := NewRegistry(roomy, log.changed)
	a := &fakeChannel{"a"}
	for _, g := range []string{"g", "h"} {
		if err := r.BeatConsumer(time.Unix(0, 0), g, Client{ID: "a", Channel: a}, consumer("*")); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.BeatProducer(time.Unix(0, 0), "p", Client{ID: "a", Channel: a}); err != nil {
		t.Fatal(err)
	}
	log = nil
	r.Leave(a, "a", "p", "h")
	log.expect(t, "h:[]")
	if _, ok := r.Producer("p"); ok || len(r.MemberIDs("g")) != 1 {
		t.Fatal("the wrong groups were left")
	}
}

func TestSubscriptionsFollowTheNewestBeat(t *testing.T) {
	var log told
	r := NewRegistry(roomy, log.changed)
	a, b := &fakeChannel{"a"}, &fakeChannel{"b"}
	beat := func(ch *fakeChannel, info Consumer) {
		t.Helper()
		if err := r.BeatConsumer(time.Unix(0, 0), "g", Client{ID: ch.name, Channel: ch}, info); err != nil {
			t.Fatal(err)
		}
	}
	beat(a, consumer("red"))
	beat(b, consumer("blue"))
	s, _ := r.Subscription("g", "t0")
	if s.Wants(message.TagsCode("red")) || !s.Wants(message.TagsCode("blue")) {
		t.Fatalf("the group wants %q", s.Expression)
	}
	if v := r.Consumers("g"); v[0].Conflicts != 1 {
		t.Fatalf("%d conflicts", v[0].Conflicts)
	}
	old := consumer("green")
	old.Subscriptions[0].Version = 0
	beat(a, old)
	if s, _ = r.Subscription("g", "t0"); s.Expression != "blue" {
		t.Fatalf("an older version won: %q", s.Expression)
	}
	beat(a, consumer())
	if s, known := r.Subscription("g", "t0"); s != nil || !known {
		t.Fatalf("subscription %v, group known %v", s, known)
	}
}

func TestLimits(t *testing.T) {
	r := NewRegistry(Limits{Groups: 1, Members: 1, Subscriptions: 1}, nil)
	now := time.Unix(0, 0)
	a := Client{ID: "a", Channel: &fakeChannel{"a"}}
	b := Client{ID: "b", Channel: &fakeChannel{"b"}}
	for _, c := range []struct {
		why  string
		err  error
		want error
	}{
		{"too many topics", r.BeatConsumer(now, "g", a, consumer("*", "*")), ErrTooMany},
		{"first", r.BeatConsumer(now, "g", a, consumer("*")), nil},
		{"again", r.BeatConsumer(now, "g", a, consumer("*")), nil},
		{"second member", r.BeatConsumer(now, "g", b, consumer("*")), ErrTooMany},
		{"second group", r.BeatConsumer(now, "h", a, consumer("*")), ErrTooMany},
		{"producer", r.BeatProducer(now, "g", a), nil},
		{"second producer", r.BeatProducer(now, "g", b), ErrTooMany},
		{"second producer group", r.BeatProducer(now, "h", a), ErrTooMany},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.why, c.err, c.want)
		}
	}
}

func TestProducersTakeTurns(t *testing.T) {
	r := NewRegistry(roomy, nil)
	seen := map[string]int{}
	for _, n := range []string{"a", "b", "c"} {
		if err := r.BeatProducer(time.Unix(0, 0), "p", Client{ID: n, Channel: &fakeChannel{n}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 9 {
		c, ok := r.Producer("p")
		if !ok {
			t.Fatal("no producer")
		}
		seen[c.ID]++
	}
	if seen["a"] != 3 || seen["b"] != 3 || seen["c"] != 3 {
		t.Fatalf("turns %v", seen)
	}
}

func TestTagExpressions(t *testing.T) {
	for _, c := range []struct {
		expression string
		tags       []string
		all        bool
	}{
		{"*", nil, true},
		{"", nil, true},
		{" || ", nil, true},
		{"a", []string{"a"}, false},
		{" a||b || c ", []string{"a", "b", "c"}, false},
	} {
		s := ParseTags("t", c.expression, 0)
		if !slices.Equal(s.Tags, c.tags) || (s.Filter() == nil) != c.all || s.Wants(message.TagsCode("zz")) != c.all {
			t.Errorf("%q: tags %q, filter %v", c.expression, s.Tags, s.Filter() != nil)
		}
		for _, tag := range c.tags {
			if !s.Wants(message.TagsCode(tag)) {
				t.Errorf("%q does not want %q", c.expression, tag)
			}
		}
	}
	var none *Subscription
	if none.Filter() != nil {
		t.Error("no subscription filters")
	}
}
