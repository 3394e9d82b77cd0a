package mysql

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/snapshot"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// What an attempt may hold in memory; beyond it windows are thrown away and begun anew.
const (
	maxTouched      = 32 << 20
	maxChunkBytes   = 32 << 20
	snapshotFailure = 5
	jobsBesides     = 8 // jobs at once beside those that read chunks
)

// attempts are the snapshots of tables that are due or in progress: they ask for chunks in
// the background and hand their rows over where the reader may. All but the results
// belong to the goroutine that calls Next.
type attempts struct {
	source *Source
	who    account.Account
	server *server
	stand  stand
	tables *tables
	ask    questions
	ctx    context.Context // of the opening

	all     []*attempt // in the order they were asked for
	running int
	wg      sync.WaitGroup
	some    atomic.Bool // results are there

	mu      sync.Mutex
	results []result
}

// stand is what attempts need of the reader's place.
type stand interface {
	// here is the boundary, stands its place alone; reserve takes n numbers there.
	here() event.Position
	stands() place
	reserve(n uint64) event.Seq
	// transactions is how many were seen, the one that is being read among them.
	transactions() uint64
	// emit hands an item over; full says that enough was.
	emit(event.Item)
	full() bool
}

// result is what a job found; the goroutine of Next applies it.
type result struct {
	a     *attempt
	done  bool // the job is over
	apply func()
}

func newAttempts(o *opening) *attempts {
	return &attempts{source: o.s, who: o.who, server: &o.server, stand: o, ask: questions{o.db}, ctx: o.ctx}
}

// resume takes up the attempts of the position: those in progress go on at their
// cursor, those without BEGIN begin, and so do those that the source owes. Of such a one the
// records need not know: a process that ended behind an END has not told of what follows it.
func (as *attempts) resume(all []event.Attempt, due map[event.TableName]owed) {
	for _, ev := range all {
		t := as.tables.all[ev.Table]
		if !as.mayBegin(t) {
			continue
		}
		own, owes := due[ev.Table]
		a := as.add(t, ev.Cause)
		if ev.Begin != 0 && !t.ev.Keyless && (!owes || own.Behind) {
			a.ev = ev
			if err := a.plan(as.tables); err == nil {
				a.last = as.stand.here()
				a.enter(stageReading)
				a.again = own.Behind
				continue
			}
			as.drop(a)
			as.add(t, ev.Cause)
		}
	}
	for _, t := range as.tables.captured() {
		if own, ok := due[t.name]; ok && as.mayBegin(t) && as.of(t) == nil {
			as.owe(t, own.Cause)
		}
	}
}

// mayBegin reports whether a table can have an attempt: resuming a paused table asks for
// one, and so does knowing its definition.
func (as *attempts) mayBegin(t *table) bool {
	return t != nil && t.defined() && t.paused == nil && t.blind == ""
}

// owed is what a position says of attempts. What others have asked for they know
// themselves.
func (as *attempts) owed() map[event.TableName]*owed {
	out := map[event.TableName]*owed{}
	for _, a := range as.all {
		switch {
		case a.again:
			out[a.t.name] = &owed{Cause: causeCascade, Behind: true}
		case a.own && a.ev.Begin == 0:
			out[a.t.name] = &owed{Cause: a.ev.Cause}
		}
	}
	return out
}

func (as *attempts) add(t *table, cause string) *attempt {
	a := newAttempt(as.ctx, t, cause)
	as.all = append(as.all, a)
	as.tables.changed = true
	return a
}

func (as *attempts) of(t *table) *attempt {
	for _, a := range as.all {
		if a.t == t {
			return a
		}
	}
	return nil
}

func (as *attempts) drop(a *attempt) {
	a.close()
	as.tables.changed = true
	as.all = slices.DeleteFunc(as.all, func(b *attempt) bool { return a == b })
}

func (as *attempts) close() {
	for _, a := range slices.Clone(as.all) {
		as.drop(a)
	}
	as.wg.Wait()
}

// request begins an attempt of a table, anew if one is in progress.
func (as *attempts) request(t *table, cause string) {
	if a := as.of(t); a != nil {
		as.drop(a)
	}
	if as.mayBegin(t) {
		as.add(t, cause).own = true
	}
}

// abandon ends a table's attempt: its caller pauses the table or it is gone.
func (as *attempts) abandon(t *table, why string) {
	if a := as.of(t); a != nil {
		as.source.log.Info("snapshot abandoned", slog.String("table", t.name.String()), slog.String("cause", why))
		as.drop(a)
	}
}

// discard throws away what was read of a table but not handed over yet: a statement
// changed the table between the reading and its place.
func (as *attempts) discard(t *table) {
	a := as.of(t)
	switch {
	case a == nil:
	case a.whole != nil:
		as.request(t, a.ev.Cause)
	case a.stage == stageReading:
		as.source.metrics.chunks.WithLabelValues("discarded").Add(float64(len(a.windows)))
		if err := a.plan(as.tables); err != nil {
			as.request(t, "the table's key changed: "+a.ev.Cause)
		}
	}
}

// restart begins an attempt in progress anew; one that is not in progress is for the
// caller of the source to ask for.
func (as *attempts) restart(t *table, cause string) {
	if as.of(t) != nil {
		as.request(t, cause)
	}
}

const causeCascade = "a foreign key changed rows that the server does not log"

// cascade notes that a foreign key changed the table without rows in the log. An attempt
// that has begun goes on, lest a table that is changed this way all the time is never
// complete, and another one follows; one that has not has it all.
func (as *attempts) cascade(t *table) {
	switch a := as.of(t); {
	case a != nil && a.ev.Begin == 0:
	case a != nil:
		a.again, as.tables.changed = true, true
	default:
		as.source.log.Warn("rows changed that the server does not log", slog.String("table", t.name.String()),
			slog.String("remedy", "drop the cascading foreign key; a snapshot follows"))
		as.owe(t, causeCascade)
	}
}

// owe begins an attempt that nobody asked for, and tells of it: until it has ended the table
// is not whole, also when the process ends before its BEGIN.
func (as *attempts) owe(t *table, cause string) {
	as.request(t, cause)
	if a := as.of(t); a != nil {
		as.tables.tellDue(t, cause)
	}
}

// touch notes that a row was changed, for the windows of its table.
func (as *attempts) touch(t *table, before, after event.Image) error {
	if len(as.all) == 0 {
		return nil
	}
	a := as.of(t)
	if a == nil || a.stage != stageReading || len(a.windows) == 0 {
		return nil
	}
	for _, img := range [2]event.Image{before, after} {
		if img == nil {
			continue
		}
		if err := a.touch(img, as.stand.transactions()); err != nil {
			return err
		}
	}
	if a.bytes > maxTouched {
		as.source.log.Warn("snapshot windows discarded", slog.String("table", t.name.String()),
			slog.String("reason", "too many rows changed while they were read"))
		as.discard(t)
	}
	return nil
}

// holding reports whether the reader must stay where it is: a snapshot without a key is
// being opened or handed over.
func (as *attempts) holding() bool {
	return slices.ContainsFunc(as.all, func(a *attempt) bool { return a.stage.holds() })
}

// describe is the table's part of the status.
func (as *attempts) describe(t *table) pipeline.SourceTable {
	st := pipeline.SourceTable{Name: t.name, Rows: t.rows, Paused: t.paused != nil}
	a := as.of(t)
	st.Attempting = a != nil || t.blind != ""
	switch {
	case t.paused != nil: // it says why itself
	case t.blind != "":
		st.Trouble = "its rows are left out until its definition is known: " + t.blind
	case a != nil && a.lastErr != "" && a.failures > 0:
		st.Trouble, st.Quotes = a.lastErr, a.quotes
	case t.unread != "":
		st.Trouble = "its definition cannot be compared with the server's: " + t.unread
	}
	return st
}

// wants reports whether an attempt of the table is asked for or in progress.
func (as *attempts) wants(n event.TableName) bool {
	t := as.tables.all[n]
	return t != nil && as.of(t) != nil
}

// options are for connections that read rows.
func (as *attempts) options() snapshot.Options {
	return snapshot.Options{Account: as.who}
}
