package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var epoch = time.Unix(1700000000, 0)

func registration(name string, id int64, conn any, topics ...string) Registration {
	r := Registration{
		Broker:  Broker{Cluster: "c", Name: name, ID: id, Addr: fmt.Sprintf("%s-%d:10911", name, id)},
		HAAddr:  fmt.Sprintf("%s-%d:10912", name, id),
		Conn:    conn,
		Version: Version{Counter: 1},
		Topics:  map[string]Topic{},
	}
	for _, topic := range topics {
		r.Topics[topic] = Topic{ReadQueues: 4, WriteQueues: 4, Perm: 6}
	}
	return r
}

func register(t *testing.T, table *Table, at time.Time, r Registration) (master string) {
	t.Helper()
	master, _, err := table.Register(at, r)
	if err != nil {
		t.Fatal(err)
	}
	return master
}

// routeOf writes a route as "name[id id] name[id]".
func routeOf(table *Table, topic string) string {
	var parts []string
	for _, h := range table.Route(topic) {
		var ids []int64
		for id := range h.Addrs {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		parts = append(parts, fmt.Sprint(h.Name, ids))
	}
	return strings.Join(parts, " ")
}

func expectRoute(t *testing.T, table *Table, topic, want string) {
	t.Helper()
	if got := routeOf(table, topic); got != want {
		t.Fatalf("route of %s is %q, want %q", topic, got, want)
	}
}

func TestRoutesFollowRegistrations(t *testing.T) {
	table := New(Limits{Brokers: 10, Topics: 10})
	register(t, table, epoch, registration("b", 0, 1, "orders", "users"))
	register(t, table, epoch, registration("a", 0, 2, "orders"))
	if master := register(t, table, epoch, registration("a", 1, 3, "orders", "stale")); master != "a-0:10911" {
		t.Fatalf("the slave's master is %q", master)
	}
	expectRoute(t, table, "orders", "a[0 1] b[0]")
	expectRoute(t, table, "users", "b[0]")
	expectRoute(t, table, "stale", "")

	register(t, table, epoch, registration("b", 0, 1, "orders"))
	expectRoute(t, table, "users", "")
	table.DeleteTopic("orders", "another")
	expectRoute(t, table, "orders", "a[0 1] b[0]")
	table.DeleteTopic("orders", "c")
	expectRoute(t, table, "orders", "")
}

func TestSilenceExpiresABroker(t *testing.T) {
	table := New(Limits{Brokers: 10, Topics: 10})
	register(t, table, epoch, registration("a", 0, 1, "orders"))
	register(t, table, epoch.Add(time.Second), registration("b", 0, 2, "orders"))
	quick := registration("q", 0, 3, "orders")
	quick.Timeout = 10 * time.Second
	register(t, table, epoch, quick)

	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{10 * time.Second, "a[0] b[0] q[0]"},
		{11 * time.Second, "a[0] b[0]"},
		{120 * time.Second, "a[0] b[0]"},
		{121 * time.Second, "b[0]"},
		{122 * time.Second, ""},
	} {
		table.Expire(epoch.Add(c.after))
		if got := routeOf(table, "orders"); got != c.want {
			t.Errorf("after %v: %q, want %q", c.after, got, c.want)
		}
	}
	if table.count != 0 || len(table.groups) != 0 {
		t.Fatalf("%d processes, %d groups are left", table.count, len(table.groups))
	}
}

func TestALostConnectionDropsItsBrokerAtOnce(t *testing.T) {
	table := New(Limits{Brokers: 10, Topics: 10})
	register(t, table, epoch, registration("a", 0, "old", "orders"))
	register(t, table, epoch, registration("a", 0, "new", "orders"))
	if gone := table.DropConn("old"); len(gone) != 0 {
		t.Fatalf("the old connection took %v with it", gone)
	}
	expectRoute(t, table, "orders", "a[0]")
	if gone := table.DropConn("new"); len(gone) != 1 {
		t.Fatalf("dropped %v", gone)
	}
	expectRoute(t, table, "orders", "")
}

func TestVersionsSayWhetherToRegisterAgain(t *testing.T) {
	table := New(Limits{Brokers: 10, Topics: 10})
	r := registration("a", 0, 1, "orders")
	if !table.Changed(epoch, r.Broker, r.Version) {
		t.Fatal("an unknown broker need not register")
	}
	register(t, table, epoch, r)
	if table.Changed(epoch.Add(time.Minute), r.Broker, r.Version) {
		t.Fatal("the same version is a change")
	}
	table.Expire(epoch.Add(3 * time.Minute))
	expectRoute(t, table, "orders", "a[0]")
	if !table.Changed(epoch, r.Broker, Version{Counter: 2}) {
		t.Fatal("another version is no change")
	}
}

func TestGoodbye(t *testing.T) {
	table := New(Limits{Brokers: 10, Topics: 10})
	r := registration("a", 0, 1, "orders")
	register(t, table, epoch, r)
	other := r.Broker
	other.Addr = "elsewhere:1"
	if table.Unregister(other) || !table.Unregister(r.Broker) || table.Unregister(r.Broker) {
		t.Fatal("the wrong broker said goodbye")
	}
	expectRoute(t, table, "orders", "")
}

func TestARoleCanChange(t *testing.T) {
	table := New(Limits{Brokers: 10, Topics: 10})
	slave := registration("a", 1, 1, "orders")
	register(t, table, epoch, slave)
	expectRoute(t, table, "orders", "a[1]")
	promoted := slave
	promoted.ID = MasterID
	register(t, table, epoch, promoted)
	expectRoute(t, table, "orders", "a[0]")
}

func TestRefusals(t *testing.T) {
	table := New(Limits{Brokers: 1, Topics: 1})
	register(t, table, epoch, registration("a", 0, 1, "orders"))
	twin := registration("a", 0, 2, "orders")
	twin.Addr = "elsewhere:1"
	moved := registration("a", 0, 2, "orders")
	moved.Cluster = "d"
	nameless := registration("", 0, 2)
	for name, c := range map[string]struct {
		r    Registration
		want error
	}{
		"twin":            {twin, ErrTaken},
		"another cluster": {moved, ErrTaken},
		"no name":         {nameless, ErrInvalid},
		"second broker":   {registration("b", 0, 2), ErrTooMany},
		"second topic":    {registration("a", 0, 1, "orders", "users"), ErrTooMany},
	} {
		if _, _, err := table.Register(epoch, c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	expectRoute(t, table, "orders", "a[0]")
}

func TestWipedWritePermission(t *testing.T) {
	table := New(Limits{Brokers: 10, Topics: 10})
	register(t, table, epoch, registration("a", 0, 1, "orders", "users"))
	if n := table.ChangePerm("a", 0, 2); n != 2 || table.Route("orders")[0].Perm != 4 {
		t.Fatalf("%d changed, perm %d", n, table.Route("orders")[0].Perm)
	}
	if n := table.ChangePerm("a", 2, 0); n != 2 || table.Route("users")[0].Perm != 6 {
		t.Fatalf("%d changed, perm %d", n, table.Route("users")[0].Perm)
	}
}

// What an operator takes from a broker, to empty it before it is stopped, stays taken
// while the broker repeats itself; a change of its topics, or another process, is news.
func TestWipedWritePermissionOutlivesBeats(t *testing.T) {
	for _, tc := range []struct {
		name string
		next func(table *Table, r *Registration)
		perm int32
	}{
		{"the same again", func(*Table, *Registration) {}, 4},
		{"the same again, with a topic more that was forgotten here", func(table *Table, _ *Registration) { table.DeleteTopic("users", "") }, 4},
		{"its topics changed", func(_ *Table, r *Registration) { r.Version.Counter++ }, 6},
		{"it was away", func(table *Table, r *Registration) { table.DropConn(1) }, 6},
		{"it does not say which version it has", func(_ *Table, r *Registration) { r.Version = Version{} }, 6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := New(Limits{Brokers: 10, Topics: 10})
			register(t, table, epoch, registration("a", 0, 1, "orders", "users"))
			table.ChangePerm("a", 0, 2)
			r := registration("a", 0, 1, "orders", "users")
			tc.next(table, &r)
			register(t, table, epoch, r)
			if got := table.Route("orders")[0].Perm; got != tc.perm {
				t.Errorf("perm is %d, want %d", got, tc.perm)
			}
			expectRoute(t, table, "users", "a[0]")
		})
	}
}
