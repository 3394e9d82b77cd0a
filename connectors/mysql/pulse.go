package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/pipeline"
)

// pulse asks the server every few seconds, beside the log's connection, what time it has
// and where its log ends. A reader that has passed that end has read all that the log held
// at that time: the proof that a heartbeat carries. An end that stays ahead of a reader to
// whom nothing comes, and a question without an answer, are what a frozen server or a cut
// network look like from here.
type pulse struct {
	s     *Source
	db    *sql.DB
	ctx   context.Context // of the opening
	every time.Duration
	limit time.Duration // of one question
	wg    sync.WaitGroup

	// pending is the oldest proof whose end the reader has not passed, newest the last one.
	pending, newest atomic.Pointer[proof]
	// ahead is the server's clock minus ours, in nanoseconds.
	ahead atomic.Int64
	// waits says that the reader has nothing to do but to wait for the log.
	waits atomic.Bool
	// came and moved are when the log's connection last brought anything, and an event of
	// the log, in nanoseconds of our clock.
	came, moved atomic.Int64

	mu  sync.Mutex
	end place // the server's, when last seen
	err error // of the last question; nil when it was answered
	// failing is when the first of the questions failed that were not answered since.
	failing time.Time
}

// proof says that at a time of the server's clock its log ended at a place.
type proof struct {
	end   place
	at    int64     // µs since 1970
	asked time.Time // by our clock
}

const (
	pulseMost    = 2500 * time.Millisecond
	pulsePatient = 10 * time.Second
)

func newPulse(ctx context.Context, s *Source, db *sql.DB) *pulse {
	p := &pulse{s: s, db: db, ctx: ctx, every: min(pulseMost, s.cfg.Heartbeat), limit: min(pulsePatient, 2*s.cfg.Heartbeat)}
	p.limit = max(p.limit, time.Second)
	now := time.Now().UnixNano()
	p.came.Store(now)
	p.moved.Store(now)
	return p
}

// start begins to ask; the goroutine ends with the opening.
func (p *pulse) start(srv server) {
	p.ahead.Store(int64(srv.ahead))
	p.wg.Go(func() {
		for {
			p.ask(&srv)
			if pauseFor(p.ctx, p.ctx, p.every) != nil {
				return
			}
		}
	})
}

// ask is one question. The time is read before the end: what the log holds at that time is
// before it.
func (p *pulse) ask(srv *server) {
	ctx, cancel := context.WithTimeout(p.ctx, p.limit)
	defer cancel()
	asked := time.Now()
	at, err := serverTime(ctx, p.db)
	answered := time.Now()
	var end place
	if err == nil {
		end, _, err = srv.logPlace(ctx, p.db)
	}
	if p.ctx.Err() != nil {
		return
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the server does not answer within %s", p.limit)
	}
	p.mu.Lock()
	p.answered(end, err, time.Now())
	p.mu.Unlock()
	if err != nil {
		return
	}
	p.ahead.Store(int64(at.Sub(asked.Add(answered.Sub(asked) / 2))))
	one := &proof{end: end, at: at.UnixMicro(), asked: asked}
	p.newest.Store(one)
	if p.pending.CompareAndSwap(nil, one) {
		p.s.poke()
	}
}

// answered notes what came of a question; p is locked.
func (p *pulse) answered(end place, err error, now time.Time) {
	switch {
	case err == nil:
		p.end, p.failing = end, time.Time{}
	case p.err == nil:
		p.failing = now
	}
	p.err = err
}

// now is the server's time.
func (p *pulse) now() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) }

// passed is the newest time whose end the reader is past, 0 when there is none that was
// not told. The reader's goroutine calls it.
func (p *pulse) passed(here place) (at int64) {
	for {
		one := p.pending.Load()
		if one == nil || here.file == "" || here.less(one.end) {
			return at
		}
		at = one.at
		if next := p.newest.Load(); next != one && next.at > one.at {
			p.pending.Store(next)
			continue
		}
		p.pending.CompareAndSwap(one, nil)
		return at
	}
}

// heard notes that the log's connection brought a batch; event says that something of the
// log was in it.
func (p *pulse) heard(event bool) {
	now := time.Now().UnixNano()
	p.came.Store(now)
	if event {
		p.moved.Store(now)
	}
}

// report adds to a status what the pulse knows.
func (p *pulse) report(st *pipeline.SourceStatus) {
	p.mu.Lock()
	end, err, failing := p.end, p.err, p.failing
	p.mu.Unlock()
	now := time.Now()
	st.Ahead = time.Duration(p.ahead.Load())
	if end.file != "" {
		st.End.File, st.End.Pos = end.file, end.pos
	}
	silent := now.Sub(time.Unix(0, p.came.Load())) > p.limit
	if err != nil && (silent || !st.Connected) {
		if st.Connected {
			st.LastError = err.Error()
		}
		st.Connected = false
		return
	}
	if err != nil && now.Sub(failing) > p.limit { // the log comes, and where it ends nobody knows
		st.LastError, st.Stalled = err.Error(), "how far the server's log goes is not known: "+err.Error()
		return
	}
	one := p.pending.Load()
	still := now.Sub(time.Unix(0, p.moved.Load()))
	if st.Connected && one != nil && p.waits.Load() && still > p.limit && now.Sub(one.asked) > p.limit {
		st.Stalled = fmt.Sprintf("the server's log goes on to %s:%d and nothing of it has come for %d s", end.file, end.pos, int(still.Seconds()))
	}
}

// serverTime is the server's clock.
func serverTime(ctx context.Context, q querier) (time.Time, error) {
	row, err := oneRow(ctx, q, "SELECT UTC_TIMESTAMP(6)")
	if err != nil {
		return time.Time{}, fmt.Errorf("ask the server for its time: %w", err)
	}
	if len(row) == 0 {
		return time.Time{}, errors.New("the server does not tell its time")
	}
	return time.Parse("2006-01-02 15:04:05.999999", row[0])
}
