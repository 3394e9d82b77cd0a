package held

import (
	"bytes"
	"fmt"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/seeded"
)

// # When is a row in the log a row of the table?
//
// The simple idea: a server writes a transaction into its log when it commits, so what is
// in the log holds. It is wrong in three ways.
//
//  1. A transaction that cannot be taken back as a whole is written although it is rolled
//     back, with ROLLBACK for its end (binlog_rollback in MariaDB's sql/log.cc,
//     MYSQL_BIN_LOG::rollback in MySQL's sql/binlog.cc), if trans_cannot_safely_rollback says
//     so. MariaDB's looks at the transaction: OPTION_BINLOG_THIS_TRX is set (a temporary table
//     was made or dropped in it, or DROP TEMPORARY TABLE found none), in the format STATEMENT
//     a table without transactions was changed, in MIXED one that is temporary or by a
//     statement that is all of it. MySQL's looks at a flag of the transaction's cache, which
//     MYSQL_BIN_LOG::write_event sets behind an event that a statement with such changes wrote
//     there; events of rows do not come that way (binlog_write_table_map and
//     flush_and_set_pending_rows_event write into the cache themselves), so that nothing
//     sets it where rows are logged.
//  2. Inside of a transaction that commits, SAVEPOINT is written where it stands
//     (binlog_savepoint_set in both files). ROLLBACK TO cuts the cache back to it, unless
//     trans_cannot_safely_rollback: then it is written too, behind the rows that it takes
//     back (binlog_savepoint_rollback).
//  3. An XA transaction is written when it is prepared: MariaDB in
//     binlog_commit_flush_xa_prepare, MySQL in binlog_cache_data::finalize with an
//     XA_prepare_log_event behind XA END. It holds with XA COMMIT, which is a transaction of
//     its own (MySQL: do_binlog_xa_commit_rollback): later, or never.
//
// This was read in the sources of MariaDB 10 and MySQL 8.0, and tried on MariaDB 10.11 and
// MySQL 9.7, with GTIDs and without.
//
// Rows of tables without transactions are written by themselves, with COMMIT, before the
// transaction that they were changed in (the statement's cache is flushed first), and stay.
//
// Can an event at the beginning say that none of this will come? MariaDB's GTID event
// cannot: Gtid_log_event sets FL_TRANSACTIONAL from the cache that is written and FL_DDL
// from what the statement did that ends the transaction, and the same transaction, bytes
// for bytes, is found with COMMIT and with ROLLBACK behind it (the test
// TestNoFlagTellsHowATransactionEnds holds two such). MySQL's has only whether statements
// are in it, and its length. So the end is waited for, always:
//
//	Take(e):   between transactions    → a Step at once
//	           inside of one           → kept; savepoints and what is rolled back to them noted
//	           the last event of one   → everything kept becomes Steps, withdrawn rows marked
//	           … XA PREPARE            → the frames become Steps, the rows wait under the identity
//	           … XA COMMIT             → the rows that wait become Steps in front of it
//
// What waiting costs: servers write a transaction into the log in one piece, so that its end
// comes as fast as it can be read. An event is not copied while it fits into memory.
//
// Savepoints of different levels (those that a trigger or a function makes) share their
// names in the log. A replica takes the newest of a name, and so do we.

// Step is an event of which it is known what becomes of it.
type Step struct {
	// Event is good until the next call of Next.
	Event *stream.Event
	Frame Frame
	// Last says that the transaction ends with it.
	Last bool
	// Withdrawn says that it was rolled back: of its rows only the numbers count.
	Withdrawn bool
	// XA is the identity of the XA transaction, with Prepared, XACommit and XARollback.
	XA string
	// Unknown comes with XACommit of a transaction whose rows are not held.
	Unknown bool
	// Doubt says that the transaction was rolled back to a savepoint that it does not have:
	// which of its rows hold is not known.
	Doubt bool
}

// Assembler takes the events of a log and gives them back as Steps once their meaning is
// known. One goroutine uses it.
type Assembler struct {
	maria bool
	store *Store
	// torn is told of a transaction that ended without an end: the server died in it.
	torn func(at stream.Place)

	cur        log // the open transaction
	open       bool
	standalone bool // MariaDB: one statement, no end event
	begun      bool // MySQL: BEGIN was read
	rows       bool
	saves      savepoints
	gone       spans
	doubt      bool

	prepared map[string]*waiting

	out   release
	moved stream.Event // of rows that waited, at its new place
}

// New makes an Assembler. torn may be nil.
func New(maria bool, store *Store, torn func(at stream.Place)) *Assembler {
	return &Assembler{maria: maria, store: store, torn: torn, prepared: map[string]*waiting{}}
}

// Open reports whether a transaction has begun of which nothing was given back yet.
func (a *Assembler) Open() bool { return a.open }

// Ready reports whether there are Steps to take.
func (a *Assembler) Ready() bool { return a.out.on }

// Reset forgets the open transaction and Steps that were not taken: the log is read again
// from a place between two transactions. What is prepared stays, and so does what the
// transaction did to it whose last Step was taken.
func (a *Assembler) Reset() {
	if o := &a.out; o.on && o.single == nil && o.last == nil && o.rows == nil && o.cur.at == a.cur.events {
		a.finish()
	}
	a.out = release{}
	a.begin()
	a.open = false
}

// Close forgets everything.
func (a *Assembler) Close() {
	a.Reset()
	for id := range a.prepared {
		a.forget(id)
	}
}

func (a *Assembler) begin() {
	a.cur.store = a.store
	a.cur.drop()
	a.open, a.standalone, a.begun, a.rows, a.doubt = true, false, false, false, false
	a.saves, a.gone = a.saves[:0], nil
}

// Keep must be called before events that were given to Take change: what is held of them is
// copied. Their bodies are kept as they are, and must not change at all.
func (a *Assembler) Keep() {
	if a.open {
		a.cur.keep()
	}
}

// Take takes the next event. Every Step must have been taken before.
func (a *Assembler) Take(e *stream.Event) error {
	if a.out.on {
		panic("BUG: an event is given before the steps of the last one were taken")
	}
	switch e.Type {
	case stream.GTIDEvent, stream.GTIDTaggedEvent, stream.MariaGTIDEvent, stream.AnonymousGTIDEvent:
		a.tear(e)
		a.begin()
		a.standalone = e.Type == stream.MariaGTIDEvent && len(e.Body) > 12 && e.Body[12]&1 != 0 && e.Body[12]&64 == 0
		return a.keep(e, GTID)
	case stream.QueryEvent, stream.MariaQueryCompressed:
		return a.query(e)
	case stream.XIDEvent:
		return a.end(e, Commit, "")
	case stream.XAPrepareEvent:
		id, onePhase, err := preparedID(e.Body)
		if err != nil {
			return fmt.Errorf("at %s:%d: %w", e.Place.File, e.Place.Start, err)
		}
		if onePhase {
			return a.end(e, Commit, "")
		}
		return a.end(e, Prepared, id)
	case stream.IncidentEvent, stream.MariaPartialRowData:
		a.pass(e) // whatever it is a part of, the reader stops
		return nil
	case stream.FormatEvent, stream.RotateEvent, stream.StopEvent:
		a.tear(e) // a transaction is in one file as a whole
	}
	if waits(e.Type) {
		a.rows = a.rows || e.Type != stream.TableMapEvent
		return a.keep(e, None)
	}
	if !a.open {
		a.pass(e)
		return nil
	}
	if e.Artificial() || e.Type == stream.HeartbeatEvent || e.Type == stream.HeartbeatV2Event {
		return nil // it says that the server lives, and nothing of the transaction
	}
	return a.keep(e, None)
}

// tear gives up a transaction that another event cut off.
func (a *Assembler) tear(e *stream.Event) {
	if !a.open {
		return
	}
	if a.torn != nil && a.cur.events > 0 {
		a.torn(e.Place)
	}
	a.begin()
	a.open = false
}

// pass gives an event back at once.
func (a *Assembler) pass(e *stream.Event) {
	a.out.on, a.out.single = true, e
}

// keep adds an event to the open transaction, and opens one if there is none.
func (a *Assembler) keep(e *stream.Event, f Frame) error {
	if !a.open {
		a.begin()
	}
	return a.cur.add(e, f)
}

// query takes a statement.
func (a *Assembler) query(e *stream.Event) error {
	sql, err := stream.QueryText(e)
	if err != nil {
		return fmt.Errorf("at %s:%d: %w", e.Place.File, e.Place.Start, err)
	}
	f, rest := statement(sql)
	switch f {
	case Begin, XAStart:
		if !a.open {
			a.begin()
		}
		a.begun = true
	case Commit:
		return a.end(e, Commit, "")
	case Rollback:
		return a.end(e, Rollback, "")
	case XACommit, XARollback:
		return a.endXA(e, f, string(rest))
	case Savepoint:
		a.saves.set(name(rest), a.cur.events+1)
	case RollbackTo:
		if at, ok := a.saves.rollback(name(rest)); ok {
			a.gone.add(at, a.cur.events)
		} else {
			a.doubt = true
		}
	case Release:
		a.saves.release(name(rest))
	case Statement:
		if bytes.HasSuffix(bytes.ToUpper(bytes.TrimSpace(sql)), []byte("START TRANSACTION")) {
			if !a.open {
				a.begin()
			}
			a.begun = true // CREATE TABLE … SELECT in one transaction
			break
		}
		if a.standalone || !a.maria && !a.begun {
			return a.end(e, Statement, "")
		}
	}
	return a.keep(e, f)
}

// end takes the last event of a transaction and makes everything that was kept of it
// available.
func (a *Assembler) end(e *stream.Event, f Frame, id string) error {
	if err := a.keep(e, f); err != nil {
		return err
	}
	if f == Rollback {
		a.gone = spans{{0, a.cur.events}}
	}
	if seeded.On(seeded.RolledBackRowsKept) {
		a.gone = nil
	}
	a.open, a.standalone, a.begun, a.rows = false, false, false, false
	a.out = release{on: true, frame: f, xa: id, cur: walk{log: &a.cur}}
	if f == XACommit {
		if w := a.prepared[id]; w != nil {
			a.out.from, a.out.rows = w, &walk{log: &w.log}
		}
	}
	return nil
}
