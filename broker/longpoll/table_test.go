package longpoll

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var orders = Key{Topic: "orders", QueueID: 1}

func parked(t *testing.T, table *Table, owner string, offset int64, deadline time.Time, wants func(int64) bool) *[]Reason {
	t.Helper()
	var got []Reason
	err := table.Park(orders, &Waiter{
		Owner: owner, Offset: offset, Deadline: deadline, Wants: wants,
		Wake: func(r Reason) { got = append(got, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return &got
}

func TestArrivalWakesOnlyWhoWantsIt(t *testing.T) {
	table := New(Limits{Total: 10, PerOwner: 10})
	end := time.Unix(100, 0)
	all := parked(t, table, "a", 5, end, nil)
	tagged := parked(t, table, "b", 5, end, func(code int64) bool { return code == 7 })
	later := parked(t, table, "c", 6, end, nil)

	table.Arrive(Key{Topic: "orders", QueueID: 2}, 5, 7)
	table.Arrive(orders, 4, 7)
	if len(*all)+len(*tagged)+len(*later) != 0 {
		t.Fatal("a foreign queue or an old message woke somebody")
	}
	table.Arrive(orders, 5, 8)
	if len(*all) != 1 || len(*tagged) != 0 || len(*later) != 0 {
		t.Fatalf("offset 5 with tag 8 woke %v %v %v", *all, *tagged, *later)
	}
	table.Arrive(orders, 6, 7)
	if len(*all) != 1 || len(*tagged) != 1 || len(*later) != 1 || table.Len() != 0 {
		t.Fatalf("offset 6 with tag 7 woke %v %v %v, %d left", *all, *tagged, *later, table.Len())
	}
}

func TestAdvanceWakesWhateverIsWanted(t *testing.T) {
	table := New(Limits{Total: 10, PerOwner: 10})
	got := parked(t, table, "a", 5, time.Unix(100, 0), func(int64) bool { return false })
	table.Advance(orders, 5)
	if len(*got) != 0 {
		t.Fatal("the end did not move past the waiter")
	}
	table.Advance(orders, 6)
	if len(*got) != 1 || (*got)[0] != Arrived {
		t.Fatalf("woken: %v", *got)
	}
}

func TestDeadlinesExpireInOrder(t *testing.T) {
	table := New(Limits{Total: 10, PerOwner: 10})
	second := parked(t, table, "a", 0, time.Unix(20, 0), nil)
	first := parked(t, table, "a", 0, time.Unix(10, 0), nil)
	next, ok := table.Expire(time.Unix(10, 0))
	if !ok || !next.Equal(time.Unix(20, 0)) || len(*first) != 1 || (*first)[0] != Expired || len(*second) != 0 {
		t.Fatalf("at 10: first %v second %v next %v %v", *first, *second, next, ok)
	}
	if _, ok = table.Expire(time.Unix(20, 0)); ok || len(*second) != 1 {
		t.Fatalf("at 20: second %v, more %v", *second, ok)
	}
}

func TestRoomIsBounded(t *testing.T) {
	table := New(Limits{Total: 3, PerOwner: 2})
	end := time.Unix(100, 0)
	parked(t, table, "a", 0, end, nil)
	gone := parked(t, table, "a", 0, end, nil)
	wake := func(Reason) {}
	if err := table.Park(orders, &Waiter{Owner: "a", Deadline: end, Wake: wake}); !errors.Is(err, ErrFull) {
		t.Fatalf("third of one owner: %v", err)
	}
	parked(t, table, "b", 0, end, nil)
	if err := table.Park(orders, &Waiter{Owner: "c", Deadline: end, Wake: wake}); !errors.Is(err, ErrFull) {
		t.Fatalf("fourth in all: %v", err)
	}
	table.DropOwner("a")
	if table.Len() != 1 || len(*gone) != 0 {
		t.Fatalf("after the drop %d are left, woken %v", table.Len(), *gone)
	}
	parked(t, table, "c", 0, end, nil)
}

func TestRunKeepsDeadlinesAndWakesTheRestAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(Limits{Total: 10, PerOwner: 10})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- table.Run(ctx) }()
		began := time.Now()
		woken := make(chan time.Duration, 2)
		for _, d := range []time.Duration{time.Minute, 2 * time.Second} {
			if err := table.Park(orders, &Waiter{Owner: 1, Deadline: began.Add(d), Wake: func(Reason) { woken <- time.Since(began) }}); err != nil {
				t.Fatal(err)
			}
		}
		if got := <-woken; got != 2*time.Second {
			t.Fatalf("woken after %v", got)
		}
		cancel()
		if got := <-woken; got != 2*time.Second {
			t.Fatalf("at the end: woken after %v", got)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := table.Park(orders, &Waiter{Owner: 1}); !errors.Is(err, ErrFull) {
			t.Fatalf("after the end: %v", err)
		}
	})
}

func TestWhatWaitersKeepIsBounded(t *testing.T) {
	table := New(Limits{Total: 10, PerOwner: 10, Bytes: 100})
	key := Key{Topic: "orders"}
	park := func(owner any) error {
		return table.Park(key, &Waiter{Owner: owner, Bytes: 60, Deadline: time.Unix(1, 0), Wake: func(Reason) {}})
	}
	for range 2 {
		if err := park("a"); err != nil {
			t.Fatal(err)
		}
		if err := park("b"); !errors.Is(err, ErrFull) {
			t.Fatalf("there is no room for 120 bytes: %v", err)
		}
		table.DropOwner("a")
	}
	if err := park("b"); err != nil {
		t.Fatal(err)
	}
	table.Expire(time.Unix(2, 0))
	if err := park("c"); err != nil {
		t.Error(err)
	}
}
