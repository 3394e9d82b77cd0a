package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/held"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// reader is the place in the server's log: the connection that it is read over, the proof
// that it is the log that was read before, the boundary from which reading on needs nothing
// from before it, and the numbers that rows get. What it gives out are events of which it
// is known what became of them. Only the goroutine that calls Next touches it.
type reader struct {
	s      *Source
	who    account.Account // of every connection of the opening: they lead to one server
	db     *sql.DB
	server server
	// strayed is set when a connection led to another server, with the error.
	strayed *atomic.Pointer[error]
	store   *held.Store
	held    *held.Assembler
	again   func()             // reading begins again at the boundary
	unsure  func(place) string // what a position says of tables
	ctx     context.Context    // of the opening, for its own goroutines
	cancel  context.CancelFunc

	epoch    uint16
	counter  uint64
	set      *stream.Set // executed up to the boundary; nil without GTIDs
	setText  string
	setDirty bool
	setBuf   []byte
	// boundary is the place from which reading on needs nothing from before it but the
	// ranges in xa.
	boundary event.Position
	xa       xaRanges
	xaDirty  bool // the boundary does not have them yet
	maxXA    int
	reserved []event.Reservation
	moved    bool // the boundary moved since the last Commit was handed over
	lastEnd  event.Seq
	// passed is the highest number that was handed over before: in the transaction that
	// begins at the boundary, items up to it are not handed over again.
	passed event.Seq
	// passedOther says that this was on another server: there the identity of the item
	// with that number must be passedID, or the place cannot be found.
	passedOther bool
	passedID    event.Identity
	handed      event.Seq // last number handed over in the open transaction; 0 between two

	rd     *stream.Reader
	batch  stream.Batch
	at     int                // in batch
	verify *event.Fingerprint // still to be met
	skipTo place              // events before it were read before
	pulse  *pulse
	latest int64 // a time of the server's that has come, µs
	faults int   // connections lost in a row without a transaction between
}

func newReader(s *Source) (reader, error) {
	r := reader{s: s, who: s.cfg.Account(), strayed: &atomic.Pointer[error]{}, maxXA: maxXA}
	r.who.Server = account.NewServer(func(err error) {
		r.strayed.Store(&err)
		s.poke()
	})
	var err error
	if r.db, err = s.cfg.openDB(r.who); err != nil {
		return r, err
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.pulse = newPulse(r.ctx, s, r.db)
	r.store = held.NewStore(vfs.OS(), s.cfg.heldDir(), s.cfg.heldMemory())
	return r, nil
}

// takeUp puts the reader at the position that is resumed, or, without one, at the
// server's end. The server must be known.
func (r *reader) takeUp(ctx context.Context, from pipeline.Resume) (fresh bool, err error) {
	at := from.Position
	fresh = at.File == "" && at.GTIDSet == ""
	other := !fresh && at.Server != "" && at.Server != r.server.identity
	if other && !from.NewServer {
		return fresh, fmt.Errorf("%w: it is %s, the position is from %s", pipeline.ErrOtherServer, r.server.identity, at.Server)
	}
	r.held = held.New(r.server.maria, r.store, r.torn)
	r.epoch = max(from.Epoch, at.Epoch, 1)
	r.counter = max(at.Counter, 2)
	r.reserved = from.Reserved
	if at.Done != 0 {
		r.passed = event.MakeSeq(r.epoch, at.Done.Counter())
		r.passedOther, r.passedID = other, at.DoneID
	}
	if r.xa, err = parseXA(at.XA); err != nil {
		return fresh, fmt.Errorf("position: %w", err)
	}
	if fresh {
		now, err := serverTime(ctx, r.db)
		if err != nil {
			return fresh, err
		}
		end, set, err := r.server.logEnd(ctx, r.db)
		if err != nil {
			return fresh, err
		}
		at = event.Position{File: end.file, Pos: end.pos, GTIDSet: set, Time: now.UnixMicro()}
	}
	if other {
		if !r.server.gtid || at.GTIDSet == "" {
			return fresh, fmt.Errorf("%w: the server is %s, the position is from %s, and without GTIDs it cannot be found there; "+
				"begin anew with a snapshot",
				pipeline.ErrHistory, r.server.identity, at.Server)
		}
		at.File, at.Pos, at.Print = "", 0, event.Fingerprint{}
	}
	at.Server, at.Epoch, at.Counter = r.server.identity, r.epoch, r.counter
	at.Done, at.DoneID, at.Tables = 0, event.Identity{}, ""
	if r.server.gtid {
		if r.set, err = stream.ParseSet(r.server.maria, at.GTIDSet); err != nil {
			return fresh, fmt.Errorf("position: %w", err)
		}
		r.setText = r.set.String()
		at.GTIDSet = r.setText
	} else {
		at.GTIDSet = ""
	}
	r.boundary = at
	r.applyReserved()
	if err := r.checkExecuted(ctx); err != nil {
		return fresh, err
	}
	return fresh, r.fetchXA(ctx, other)
}

// step gives the next event of which it is known what became of it; ok is false when more
// of the log must come first.
func (r *reader) step() (st held.Step, ok bool, err error) {
	for {
		if st, ok, err = r.held.Next(); ok || err != nil {
			return st, ok, err
		}
		if r.at >= len(r.batch.Events) {
			return st, false, nil
		}
		e := &r.batch.Events[r.at]
		r.at++
		if err := r.accept(e); err != nil {
			return st, false, err
		}
	}
}

// accept takes an event as it comes from the server.
func (r *reader) accept(e *stream.Event) error {
	if r.verify != nil || r.skipTo.file != "" {
		if skip, err := r.proveHistory(e); skip || err != nil {
			return err
		}
	}
	return r.held.Take(e)
}

// torn notes that the log holds the beginning of a transaction and not its end: the server
// died while it wrote it, and it never happened.
func (r *reader) torn(at stream.Place) {
	r.s.log.Warn("a transaction in the log has no end: the server died in it, and its rows are left out", "file", at.File, "before", at.Start)
}

// askAgain gives the batch up with an error; the events are read again from the boundary.
func (r *reader) askAgain(err error) {
	r.held.Reset()
	r.batch.Err, r.batch.Events = err, r.batch.Events[:r.at]
}

// behind reports whether the reader holds something of the log that it did not give out.
func (r *reader) behind() bool {
	return r.at < len(r.batch.Events) || r.held != nil && (r.held.Open() || r.held.Ready())
}

// take advances the counter and returns its value before.
func (r *reader) take(n uint64) uint64 {
	at := r.counter
	r.counter += n
	return at
}

// passEnd moves the boundary behind a transaction that ends with e, whose number is at.
func (r *reader) passEnd(e *stream.Event, gtid *stream.GTID, at uint64) error {
	if r.counter >= 1<<48 {
		return errors.New("the counter of this epoch is full; the pipeline needs a new epoch")
	}
	r.faults = 0
	if gtid != nil && r.set != nil {
		r.set.Add(gtid)
		r.setDirty = true
	}
	r.boundary.File, r.boundary.Pos = e.Place.File, e.Place.End
	r.boundary.Counter = r.counter
	r.boundary.Print = printOf(e.Place)
	r.lastEnd = event.MakeSeq(r.epoch, at)
	return nil
}

// passTime takes the boundary's time to a transaction's commit, in microseconds. A session
// can give it any time (SET TIMESTAMP): none is believed that has not come yet, nor, before
// the place where the log ended at a known time, one behind that time.
func (r *reader) passTime(commit int64) {
	if p := r.pulse.pending.Load(); p != nil && r.stands().less(p.end) {
		commit = min(commit, p.at)
	}
	if commit > r.latest {
		r.latest = r.pulse.now().UnixMicro()
	}
	r.boundary.Time = max(r.boundary.Time, min(commit, r.latest))
}

// proven is a time up to which the boundary is proven to hold and was not before; 0 when
// there is none.
func (r *reader) proven() int64 {
	if r.verify != nil { // it is not known yet that the log is the one that the boundary is in
		return 0
	}
	at := r.pulse.passed(place{file: r.boundary.File, pos: r.boundary.Pos})
	if at > r.boundary.Time || at != 0 && r.boundary.Time > r.pulse.now().UnixMicro() { // the clock was set back
		r.boundary.Time = at
	}
	return at
}

// passBetween moves the boundary over events that belong to no transaction.
func (r *reader) passBetween(e *stream.Event) {
	if r.boundary.File == "" {
		return // where only GTIDs name the place, none is known before a transaction's end
	}
	if to, ok := rotation(e); ok {
		if to.file != r.boundary.File || to.pos > r.boundary.Pos {
			r.boundary.File, r.boundary.Pos = to.file, to.pos
			r.moved = true
		}
		return
	}
	if !e.Artificial() && e.Place.File == r.boundary.File && e.Place.End > r.boundary.Pos {
		r.boundary.Pos = e.Place.End
		r.moved = true
	}
}

// applyReserved jumps over the ranges that chunks and barriers took at this place.
func (r *reader) applyReserved() {
	for len(r.reserved) > 0 {
		next := r.reserved[0]
		if next.At > r.counter {
			break
		}
		if next.At == r.counter {
			r.counter += next.Count
		}
		r.reserved = r.reserved[1:]
	}
	r.boundary.Counter = r.counter
}

// reserve takes n numbers (two counts each) at the boundary and returns the first.
func (r *reader) reserve(n uint64) event.Seq {
	first := event.MakeSeq(r.epoch, r.counter)
	r.counter += 2 * n
	r.boundary.Counter = r.counter
	return first
}

// position is the boundary as a value that can be kept.
func (r *reader) position() *event.Position {
	p := new(event.Position)
	r.locate(p)
	return p
}

// locate makes p the boundary: it is asked for twice in each transaction.
func (r *reader) locate(p *event.Position) {
	if r.setDirty {
		r.setBuf = r.set.AppendText(r.setBuf[:0])
		r.setText, r.setDirty = string(r.setBuf), false
	}
	r.boundary.GTIDSet = r.setText
	if r.xaDirty {
		r.boundary.XA, r.xaDirty = r.xa.String(), false
	}
	*p = r.boundary
	p.Tables = r.unsure(r.stands())
}

// here is the boundary as a value that can be kept.
func (r *reader) here() (p event.Position) {
	r.locate(&p)
	return p
}

// stands is the boundary's place alone: it is asked for at every transaction.
func (r *reader) stands() place { return place{file: r.boundary.File, pos: r.boundary.Pos} }

// number is that of the byte that is read.
func (r *reader) number() event.Seq { return event.MakeSeq(r.epoch, r.counter) }

// setXA takes another list of prepared transactions into the boundary.
func (r *reader) setXA(all xaRanges) {
	r.xa, r.xaDirty = slices.Clip(all), true
}
