package clickhouse

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
)

// cluster is a cluster's sink in a process.
type cluster struct {
	*Sink
	t      *testing.T
	m      schemas
	origin string
}

func newCluster(t *testing.T, c Config, m schemas, origin string) *cluster {
	t.Helper()
	s, err := New(c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &cluster{s, t, m, origin}
}

func (c *cluster) claim(generation uint64) (owner, error) {
	table, err := c.openTable(c.t.Context(), pipeline.Claim{Pipeline: "p", Sink: "olap", Table: tableName, Generation: generation, Origin: c.origin, Schemas: c.m})
	return owner{table, c.t}, err
}

func (c *cluster) wins(generation uint64) owner {
	c.t.Helper()
	o, err := c.claim(generation)
	if err != nil {
		c.t.Fatalf("cluster %s, generation %d: %v", c.origin, generation, err)
	}
	return o
}

// refused claims in vain, with generations below and above the target's.
func (c *cluster) refused(what string) {
	c.t.Helper()
	for _, generation := range []uint64{2, 10_000} {
		_, err := c.claim(generation)
		if err == nil || !errors.Is(err, pipeline.ErrUnwritable) || errors.Is(err, pipeline.ErrSuperseded) {
			c.t.Fatalf("%s, generation %d: %v", what, generation, err)
		}
		for _, word := range []string{"millrace_test.orders", "another cluster", "sink (olap)", "another target", "goes on by itself"} {
			if !strings.Contains(err.Error(), word) {
				c.t.Errorf("%s: it says %q, and not %q", what, err, word)
			}
		}
	}
}

func (c *cluster) beats() {
	c.t.Helper()
	if err := c.KeepStatus(c.t.Context(), "p", []pipeline.TableFreshness{{Table: tableName, State: pipeline.StateRunning}}); err != nil {
		c.t.Fatal(err)
	}
}

// Two clusters have the same names and control queues of their own. The one that is at work
// keeps the table, however high the other's generations are; the other one is told who has it,
// and goes on when the first has been silent.
func TestOneOfTwoClustersWins(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c, m := targetOn(t, ch.ClickHouseDatabase), schemas{}
	s := simple(m)
	// move shifts what the server noted: its own clock can't be moved.
	move := func(table, by string) {
		t.Helper()
		if _, err := ch.Admin(t.Context(), "ALTER TABLE "+c.ControlDatabase+"."+table+" UPDATE at = at "+by+" WHERE 1 SETTINGS mutations_sync = 2"); err != nil {
			t.Fatal(err)
		}
	}
	a, b := newCluster(t, c, m, "a"), newCluster(t, c, m, "b")
	one := a.wins(5).write(0, rows(s, 0, create(10, image(t, s, 1, "a")))).flush()
	b.refused("the other has claimed")
	a.beats()
	move("ledger", "- INTERVAL 1 HOUR")
	b.refused("the other shows that it is at work")
	b.beats() // says nothing of a table that it has not
	one.write(0, rows(s, 10, create(12, image(t, s, 2, "b")))).flush()
	same(t, "the first's", shows(t, c), []string{"id=1 v=a", "id=2 v=b"})
	states, err := ch.Admin(t.Context(), "SELECT count() FROM "+c.ControlDatabase+".status")
	if err != nil || strings.TrimSpace(states) != "1" {
		t.Errorf("%s rows of status, %v", strings.TrimSpace(states), err)
	}
	one = newCluster(t, c, m, "a").wins(6) // another process of the cluster that has it

	move("ledger", "- INTERVAL 1 HOUR")
	move("beat", "- INTERVAL 1 HOUR")
	if _, err := b.claim(3); !errors.Is(err, pipeline.ErrSuperseded) || errors.Is(err, pipeline.ErrUnwritable) {
		t.Errorf("silent, and a generation below: %v", err)
	}
	two := b.wins(20)
	one.write(0, rows(s, 12, create(14, image(t, s, 3, "zombie"))))
	if _, err := one.Flush(t.Context()); !errors.Is(err, pipeline.ErrSuperseded) {
		t.Errorf("the one that was silent wakes up: %v", err)
	}
	a.refused("it is the other's now")
	two.write(0, rows(s, 12, create(14, image(t, s, 3, "c")))).flush()
	same(t, "the second's", shows(t, c), []string{"id=1 v=a", "id=2 v=b", "id=3 v=c"})
}

// The server's clock went back, or ours jumps: a cluster that is at work stays so, and one that
// is silent does not stand in the way for ever.
func TestARivalIsSilentByEitherClock(t *testing.T) {
	ch := testenv.ClickHouseWithFaults(t, chserver.Options{})
	c, m := targetOn(t, ch.ClickHouseDatabase), schemas{}
	a, b := newCluster(t, c, m, "a"), newCluster(t, c, m, "b")
	a.wins(5)
	a.beats()
	for _, table := range []string{"ledger", "beat"} {
		if _, err := ch.Admin(t.Context(), "ALTER TABLE "+c.ControlDatabase+"."+table+" UPDATE at = at + INTERVAL 1 HOUR WHERE 1 SETTINGS mutations_sync = 2"); err != nil {
			t.Fatal(err)
		}
	}
	b.refused("its signs are of a time that has not come")
	start := time.Now()
	at := func(d time.Duration) { b.now = func() time.Time { return start.Add(d) } }
	at(2 * rivalSilence)
	a.beats() // by the server's clock before the one that is there
	b.refused("it is at work")
	at(-time.Hour)
	b.refused("our clock went back")
	at(-time.Hour + rivalSilence)
	if _, err := b.claim(3); !errors.Is(err, pipeline.ErrSuperseded) {
		t.Errorf("silent, and a generation below: %v", err)
	}
	b.wins(20)
}

// A claim of a version that knew no origins is passed, as it was then.
func TestAClaimWithoutAnOriginIsPassed(t *testing.T) {
	c, m := targetOn(t, testenv.ClickHouse(t)), schemas{}
	newCluster(t, c, m, "").wins(5)
	newCluster(t, c, m, "b").wins(6)
	newCluster(t, c, m, "").wins(7)
}
