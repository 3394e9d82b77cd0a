package serve

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/internal/testenv/chserver/engine"
)

// request is what faults look at.
type request struct {
	kind  chserver.Kind
	table string // database.table of an insert
	text  string
}

// faults are the armed ones.
type faults struct {
	mu   sync.Mutex
	last int
	all  map[int]*armed
	seq  []int // in the order of their arming
}

type armed struct {
	chserver.Fault
	match    *regexp.Regexp
	seen     int
	state    chserver.FaultState
	released chan struct{}
	open     bool // released is closed
}

func (f *faults) add(fault chserver.Fault) (int, error) {
	if err := fault.Check(); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	if f.all == nil {
		f.all = map[int]*armed{}
	}
	f.all[f.last] = &armed{Fault: fault, match: regexp.MustCompile(fault.Match), released: make(chan struct{})}
	f.seq = append(f.seq, f.last)
	return f.last, nil
}

func (f *faults) state(id int) (chserver.FaultState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.all[id]
	if a == nil {
		return chserver.FaultState{}, fmt.Errorf("there is no fault %d", id)
	}
	return a.state, nil
}

func (f *faults) release(id int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.all[id]
	if a == nil {
		return fmt.Errorf("there is no fault %d", id)
	}
	if !a.open {
		a.open = true
		close(a.released)
	}
	return nil
}

// remove keeps the state, so that it can still be asked for.
func (f *faults) remove(id int) error {
	if err := f.release(id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, n := range f.seq {
		if n == id {
			f.seq = append(f.seq[:i], f.seq[i+1:]...)
			break
		}
	}
	return nil
}

// any reports whether some fault is armed.
func (f *faults) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.seq) > 0
}

func (a *armed) wants(r request) bool {
	switch {
	case a.On == chserver.Any && r.kind == chserver.Connect, a.On != chserver.Any && a.On != r.kind:
		return false
	case a.Table != "":
		if ok, err := path.Match(a.Table, r.table); err != nil || !ok {
			return false
		}
	}
	return a.match.MatchString(r.text)
}

// strikes picks the faults that hit the request. Each counts it once, whatever its point.
func (f *faults) strikes(r request) []*armed {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit []*armed
	for _, id := range f.seq {
		a := f.all[id]
		if !a.wants(r) {
			continue
		}
		a.seen++
		if after := a.seen - a.Skip; after > 0 && (a.Times < 0 || after <= max(1, a.Times)) {
			hit = append(hit, a)
		}
	}
	return hit
}

// dropped says that the connection is to be closed without an answer.
type dropped struct{}

func (dropped) Error() string { return "a fault drops the connection" }

// at lets the faults of one point happen. The error is what the request ends with.
func (f *faults) at(ctx context.Context, point chserver.Point, hit []*armed) error {
	for _, a := range hit {
		if a.At != point {
			continue
		}
		if err := f.strike(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (f *faults) strike(ctx context.Context, a *armed) error {
	f.mu.Lock()
	a.state.Hits++
	if a.Hold {
		a.state.Held++
	}
	f.mu.Unlock()
	if a.Delay > 0 {
		select {
		case <-time.After(a.Delay):
		case <-ctx.Done():
		}
	}
	if a.Hold {
		select {
		case <-a.released:
		case <-ctx.Done():
		}
		f.mu.Lock()
		a.state.Held--
		f.mu.Unlock()
	}
	switch {
	case ctx.Err() != nil:
		return dropped{}
	case a.Crash:
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {} // what is left of the process does nothing more
	case a.Drop:
		return dropped{}
	case a.Code != 0:
		return &engine.Error{Code: a.Code, Message: a.Message}
	}
	return nil
}
