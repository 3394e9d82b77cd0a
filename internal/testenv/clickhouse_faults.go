package testenv

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv/chserver"
)

// ClickHouseFault is a fault that is armed on a server.
type ClickHouseFault struct {
	t      testing.TB
	server *ClickHouseServer
	id     int
}

// Inject arms a fault, which is disarmed with the test. A server that starts again has none.
func (s *ClickHouseServer) Inject(t testing.TB, f chserver.Fault) *ClickHouseFault {
	t.Helper()
	id, err := s.control.Inject(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return &ClickHouseFault{t: t, server: s, id: id}
}

// State is what the fault has done so far.
func (f *ClickHouseFault) State() chserver.FaultState {
	f.t.Helper()
	state, err := f.server.control.State(context.Background(), f.id)
	if err != nil {
		f.t.Fatal(err)
	}
	return state
}

// WaitHeld waits until the fault holds n requests.
func (f *ClickHouseFault) WaitHeld(n int) {
	f.t.Helper()
	f.wait(fmt.Sprintf("hold %d requests", n), func(s chserver.FaultState) bool { return s.Held >= n })
}

// WaitHits waits until the fault has struck n requests.
func (f *ClickHouseFault) WaitHits(n int) {
	f.t.Helper()
	f.wait(fmt.Sprintf("strike %d requests", n), func(s chserver.FaultState) bool { return s.Hits >= n })
}

func (f *ClickHouseFault) wait(what string, enough func(chserver.FaultState) bool) {
	f.t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		state := f.State()
		if enough(state) {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the fault did not %s in five minutes: %+v", what, state)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Release lets go what the fault holds, now and later.
func (f *ClickHouseFault) Release() {
	f.t.Helper()
	if err := f.server.control.Release(context.Background(), f.id); err != nil {
		f.t.Fatal(err)
	}
}

// Remove disarms the fault and lets go what it holds.
func (f *ClickHouseFault) Remove() {
	f.t.Helper()
	if err := f.server.control.Remove(context.Background(), f.id); err != nil {
		f.t.Fatal(err)
	}
}

// part is a row of system.parts.
type part struct {
	name, path string
	min, max   int64
}

// LoseNewest kills the server and takes from a table of its database what its newest blocks
// brought, as a machine does that loses power before the files are synced: n blocks, of which
// an insert makes one for each partition it touches. Parts that were merged from them lose
// only those, since what they were merged from is still there; when it is not any more, that is
// the error: stop merges on the table (SYSTEM STOP MERGES). It returns the names of the parts
// that it removed. Start starts the server again.
func (s *ClickHouseServer) LoseNewest(ctx context.Context, table string, n int) ([]string, error) {
	answer, err := s.Admin(ctx, fmt.Sprintf(
		"SELECT name, path, min_block_number, max_block_number FROM system.parts WHERE database = '%s' AND table = '%s'", s.Name, table))
	if err != nil {
		return nil, err
	}
	parts, err := parseParts(answer)
	if err != nil {
		return nil, err
	}
	lost, err := newest(parts, n)
	if err != nil {
		return nil, fmt.Errorf("lose parts of %s: %w", table, err)
	}
	s.Kill()
	var names []string
	for _, p := range lost {
		names = append(names, p.name)
		if err := os.RemoveAll(p.path); err != nil {
			return names, err
		}
	}
	return names, nil
}

func parseParts(lines string) ([]part, error) {
	var parts []part
	for line := range strings.Lines(lines) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("system.parts answered %q", line)
		}
		p := part{name: f[0], path: f[1]}
		var err error
		if p.min, err = strconv.ParseInt(f[2], 10, 64); err != nil {
			return nil, err
		}
		if p.max, err = strconv.ParseInt(f[3], 10, 64); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// newest picks the parts that hold any of the n newest blocks.
func newest(parts []part, n int) (lost []part, err error) {
	var last int64
	for _, p := range parts {
		last = max(last, p.max)
	}
	if int64(n) > last {
		return nil, fmt.Errorf("%d blocks: it has had %d", n, last)
	}
	keep := last - int64(n) // the last block that stays
	for _, p := range parts {
		if p.max <= keep {
			continue
		}
		lost = append(lost, p)
		if p.min <= keep && !covered(parts, p.min, keep) {
			return nil, fmt.Errorf("part %s also holds older blocks, and what it was merged from is gone", p.name)
		}
	}
	return lost, nil
}

// covered reports whether parts of no later blocks hold those from one to another.
func covered(parts []part, from, to int64) bool {
	for at := from; at <= to; {
		next := at
		for _, p := range parts {
			if p.min <= at && p.max <= to {
				next = max(next, p.max+1)
			}
		}
		if next == at {
			return false
		}
		at = next
	}
	return true
}
