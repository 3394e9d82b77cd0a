package mysql

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// audits compare the tracked definitions with the server's own: all of them at each
// connection and every so often, one after a statement that may concern it and when its
// rows do not fit. They read in the background and never hold the reader.
//
// What the server answers is taken as valid where the reader passes the place of the
// answer, if no statement of the log concerned the table since the question: the window
// of a snapshot's chunk. Else it is asked again. Answers apart, everything belongs to the
// goroutine that calls Next.
type audits struct {
	source *Source
	server *server
	stand  stand
	tables *tables
	ask    questions
	ctx    context.Context // of the opening

	due   time.Time // of the next round
	round *round    // in progress
	open  map[event.TableName]*inquiry

	wg      sync.WaitGroup
	running int
	some    atomic.Bool
	mu      sync.Mutex
	results []func()
}

// round is a comparison of all tables.
type round struct {
	since  uint64 // statements seen when it was asked
	loaded map[event.TableName]*schema.Loaded
	at     place // "" while it is being asked
}

// inquiry is a question about one table.
type inquiry struct {
	name     event.TableName
	cause    string
	since    uint64 // statements seen when it was asked
	asked    bool
	answered bool
	answer   answer
	failures int
	notYet   time.Time
}

func newAudits(o *opening) *audits {
	return &audits{source: o.s, server: &o.server, stand: o, ask: questions{o.db}, ctx: o.ctx, open: map[event.TableName]*inquiry{}}
}

// all has every table compared soon: a connection is new.
func (as *audits) all() { as.due, as.round = time.Time{}, nil }

// inquire has one table compared.
func (as *audits) inquire(name event.TableName, cause string) {
	if seeded.On(seeded.AuditNeverRuns) {
		return
	}
	as.open[name] = &inquiry{name: name, cause: cause}
}

func (as *audits) close() { as.wg.Wait() }

// step does what is due at a boundary.
func (as *audits) step() {
	if as.some.Swap(false) {
		as.mu.Lock()
		results := as.results
		as.results = nil
		as.mu.Unlock()
		for _, apply := range results {
			as.running--
			apply()
		}
	}
	now := time.Now()
	if as.round == nil && !now.Before(as.due) && !seeded.On(seeded.AuditNeverRuns) {
		as.begin()
	}
	if as.round == nil && len(as.open) == 0 {
		return
	}
	here := as.stand.stands()
	if r := as.round; r != nil && r.at.file != "" && !here.less(r.at) {
		as.compareAll(r)
		as.round, as.due = nil, now.Add(as.source.cfg.AuditEvery)
	}
	if len(as.open) == 0 {
		return
	}
	for _, name := range slices.SortedFunc(maps.Keys(as.open),
		func(a, b event.TableName) int { return strings.Compare(a.String(), b.String()) }) {
		as.advance(as.open[name], here, now)
	}
}

// begin asks for everything.
func (as *audits) begin() {
	r := &round{since: as.tables.statements}
	as.round = r
	srv, low := *as.server, as.stand.here()
	as.job(func(ctx context.Context) func() {
		loaded, at, err := as.ask.everything(ctx, &srv, as.tables.filter, low)
		return func() {
			switch {
			case as.round != r: // a connection was made meanwhile, and another round
			case err != nil:
				as.source.log.Warn("definitions not compared", slog.Any("error", err))
				as.round, as.due = nil, time.Now().Add(min(as.source.cfg.AuditEvery, auditRetry))
			default:
				r.loaded, r.at = loaded, at
			}
		}
	})
}

// auditRetry is when a round that failed is tried again.
const auditRetry = 15 * time.Second

// maxInquiries bounds the questions about single tables that are asked at once.
const maxInquiries = 2

// compareAll has those tables asked for by themselves that seem to differ.
func (as *audits) compareAll(r *round) {
	as.source.metrics.audits.Inc()
	names := map[event.TableName]bool{}
	for n := range r.loaded {
		names[n] = true
	}
	for n := range as.tables.all {
		names[n] = true
	}
	for n := range names {
		t := as.tables.all[n]
		switch {
		case as.open[n] != nil, t != nil && (t.paused != nil || t.changed > r.since):
		case differs(t, r.loaded[n]) != "":
			as.inquire(n, "the definition read from the server differs")
		case t != nil && r.loaded[n] != nil:
			t.agrees(r.loaded[n])
			t.unread = ""
		}
	}
}

// differs says in what a tracked definition differs from the server's.
func differs(t *table, l *schema.Loaded) string {
	var tracked, now *event.Schema
	if t != nil && t.ev != nil {
		tracked = t.ev.Schema
	}
	if l != nil {
		now = l.Schema
	}
	if t != nil && l != nil && t.versioned != l.Versioned {
		return "system versioning was turned on or off"
	}
	return schema.Difference(tracked, now)
}

// advance takes an inquiry further, if the reader's place permits.
func (as *audits) advance(q *inquiry, here place, now time.Time) {
	t := as.tables.all[q.name]
	switch {
	case t != nil && t.paused != nil:
		delete(as.open, q.name) // resuming it reads the definition
	case !q.asked:
		if as.running < maxInquiries && !now.Before(q.notYet) {
			as.question(q)
		}
	case !q.answered || here.less(q.answer.at):
	case t != nil && t.changed > q.since:
		as.open[q.name] = &inquiry{name: q.name, cause: q.cause} // the answer is about another place
	default:
		delete(as.open, q.name)
		as.source.metrics.audits.Inc()
		as.tables.settle(q.name, q.answer.loaded, q.cause)
	}
}

// question asks the server.
func (as *audits) question(q *inquiry) {
	q.asked, q.since = true, as.tables.statements
	srv, low := *as.server, as.stand.here()
	as.job(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, questionTimeout)
		defer cancel()
		answer, err := as.ask.definition(ctx, &srv, q.name, low)
		return func() {
			if err == nil {
				q.answer, q.answered = answer, true
				return
			}
			as.unanswered(q, err)
		}
	})
}

// unanswered has the question asked again later; a table that may not be read while its
// rows wait for the definition is paused, and of another the status says it.
func (as *audits) unanswered(q *inquiry, err error) {
	t := as.tables.all[q.name]
	if errors.Is(err, schema.ErrHidden) && t != nil && t.blind != "" {
		delete(as.open, q.name)
		as.tables.pause(t, pausePrivilege, err.Error())
		return
	}
	if errors.Is(err, schema.ErrHidden) && t != nil { // the next round asks again
		t.unread = err.Error()
		delete(as.open, q.name)
		return
	}
	q.asked, q.failures = false, q.failures+1
	q.notYet = time.Now().Add(backoff(q.failures))
	as.source.log.Warn("definition not compared", slog.String("table", q.name.String()), slog.Any("error", err),
		slog.Int("failures", q.failures))
}

// questionTimeout bounds one question: a statement that holds the table's metadata lock
// may take long, and the question is asked again then.
const questionTimeout = 30 * time.Second

// job runs fn in the background; what it returns is applied by the goroutine of Next.
func (as *audits) job(fn func(ctx context.Context) func()) {
	as.running++
	as.wg.Add(1)
	go func() {
		defer as.wg.Done()
		apply := fn(as.ctx)
		as.mu.Lock()
		as.results = append(as.results, apply)
		as.mu.Unlock()
		as.some.Store(true)
		as.source.poke()
	}()
}
