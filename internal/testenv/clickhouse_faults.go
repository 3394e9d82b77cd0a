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

// Withdraw disarms a fault that ends its server, and reports whether it has done so already.
func (f *ClickHouseFault) Withdraw() (ended bool) {
	f.t.Helper()
	err := f.server.control.Remove(context.Background(), f.id)
	if err == nil {
		return false
	}
	select {
	case <-f.server.Done():
		return true
	case <-time.After(5 * time.Minute):
		f.t.Fatalf("the server neither ends nor answers: %v", err)
		return false
	}
}

// ClickHouseLoss is what a loss of power takes from a table: of the blocks that inserts have
// brought, Blocks, behind the Newest ones that stay. An insert brings a block for each partition
// it touches; the first of a table is number 1.
type ClickHouseLoss struct {
	Table  string // in the server's database
	Newest int    // so many of the newest blocks stay: 0 loses from the end, more leaves a hole
	Blocks int
}

// LosePower kills the server and takes from its tables what was not synced, as a machine does
// that loses power. Parts that were merged from what is lost lose only that, since what they were
// merged from is still there; when it is not any more, that is the error, before anything is lost:
// stop merges on the table (SYSTEM STOP MERGES). It returns the names of the parts that it removed,
// with their tables. Start starts the server again.
func (s *ClickHouseServer) LosePower(ctx context.Context, losses ...ClickHouseLoss) ([]string, error) {
	var names, paths []string
	for _, l := range losses {
		answer, err := s.Admin(ctx, fmt.Sprintf(
			"SELECT name, path, min_block_number, max_block_number FROM system.parts WHERE database = '%s' AND table = '%s'", s.Name, l.Table))
		if err != nil {
			return nil, err
		}
		parts, err := parseParts(answer)
		if err != nil {
			return nil, err
		}
		lost, err := l.from(parts)
		if err != nil {
			return nil, fmt.Errorf("lose parts of %s: %w", l.Table, err)
		}
		for _, p := range lost {
			names, paths = append(names, l.Table+"/"+p.name), append(paths, p.path)
		}
	}
	s.Kill()
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return names, err
		}
	}
	return names, nil
}

// part is a row of system.parts.
type part struct {
	name, path string
	min, max   int64
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

// from picks the parts that hold any of the lost blocks.
func (l ClickHouseLoss) from(parts []part) (lost []part, err error) {
	var newest int64
	for _, p := range parts {
		newest = max(newest, p.max)
	}
	last := newest - int64(l.Newest)
	first := last - int64(l.Blocks) + 1
	if l.Blocks < 1 || first < 1 {
		return nil, fmt.Errorf("%d blocks behind %d newer ones: it has had %d", l.Blocks, l.Newest, newest)
	}
	var left []part
	for _, p := range parts {
		if p.max < first || p.min > last {
			left = append(left, p)
		} else {
			lost = append(lost, p)
		}
	}
	for _, p := range lost {
		if !covered(left, p.min, first-1) || !covered(left, last+1, p.max) {
			return nil, fmt.Errorf("part %s also holds other blocks, and what it was merged from is gone", p.name)
		}
	}
	return lost, nil
}

// covered reports whether parts hold all blocks from one to another.
func covered(parts []part, from, to int64) bool {
	for at := from; at <= to; {
		next := at
		for _, p := range parts {
			if p.min <= at && at <= p.max {
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
