package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/held"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// An XA transaction is in the log when it is prepared and holds when it is committed. Its
// rows wait between the two, and are numbered and handed over where XA COMMIT stands
// (delivery rule C5). The position says which are open and where in the log they are: after
// a restart these ranges are read again, and nothing else from before the position.

// xaRange is a prepared transaction that is not decided: its identity as the log writes it,
// and where it is.
type xaRange struct {
	id       string
	file     string
	from, to uint64
	gtid     string // "-" without one
}

// xaRanges are those at a place in the log, in the order in which they were prepared.
type xaRanges []xaRange

// maxXA is how many bytes positions keep of open XA transactions at most: a record has three
// positions, and a broker takes 4 MiB. That is some ten thousand of them.
const maxXA = 1 << 20

// size is about how much of that they take.
func (all xaRanges) size() (n int) {
	const numbers = 30
	for i := range all {
		n += len(all[i].id) + len(all[i].gtid) + len(all[i].file) + numbers
	}
	return n
}

// String is what positions keep: a line each, of identity, range, GTID and file.
func (all xaRanges) String() string {
	b := make([]byte, 0, all.size())
	for i := range all {
		x := &all[i]
		b = append(append(b, x.id...), ' ')
		b = append(strconv.AppendUint(b, x.from, 10), '-')
		b = append(strconv.AppendUint(b, x.to, 10), ' ')
		b = append(append(b, x.gtid...), ' ')
		b = append(append(b, x.file...), '\n')
	}
	return string(b)
}

func parseXA(text string) (all xaRanges, err error) {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(f) != 4 {
			return nil, fmt.Errorf("open XA transaction %q has %d parts of 4", line, len(f))
		}
		a, b, _ := strings.Cut(f[1], "-")
		from, err1 := strconv.ParseUint(a, 10, 64)
		to, err2 := strconv.ParseUint(b, 10, 64)
		if err := errors.Join(err1, err2); err != nil || from >= to || f[0] == "" || f[2] == "" || f[3] == "" {
			return nil, fmt.Errorf("open XA transaction %q is no identity, range, GTID and file: %w", line, errors.Join(err, errRange))
		}
		all = append(all, xaRange{id: f[0], file: f[3], from: from, to: to, gtid: f[2]})
	}
	return all, nil
}

var errRange = errors.New("a range ends behind its beginning")

// without are the others.
func (all xaRanges) without(id string) xaRanges {
	return slices.DeleteFunc(slices.Clone(all), func(x xaRange) bool { return x.id == id })
}

// preparedXA notes, at the end of a prepared transaction, that it is open. Where more are than a
// position can keep the oldest is given up: its COMMIT makes attempts due.
func (o *opening) preparedXA(st *held.Step) {
	x := xaRange{id: st.XA, file: st.Event.Place.File, from: o.tx.start.Start, to: st.Event.Place.End, gtid: "-"}
	if o.tx.named {
		x.gtid = o.tx.id()
	}
	all := append(o.xa.without(st.XA), x)
	for len(all) > 1 && all.size() > o.maxXA {
		o.s.log.Warn("more XA transactions are prepared than can be kept: a snapshot of every table follows when the oldest is committed",
			"xid", all[0].id, "file", all[0].file, "pos", all[0].from, "open", len(all),
			"remedy", "find what nobody decides with XA RECOVER, and commit it or roll it back")
		o.held.Forget(all[0].id)
		all = all[1:]
	}
	o.setXA(all)
}

// decidedXA takes the XA COMMIT or XA ROLLBACK, with number at, of a transaction that was
// prepared before. Where its rows are not held (it was prepared before the pipeline began,
// or the server no longer has that part of its log), nothing else in the log brings them:
// an attempt of every table becomes due.
func (o *opening) decidedXA(st *held.Step, at uint64) error {
	seq := event.MakeSeq(o.epoch, at)
	if st.Unknown && !o.tx.known {
		if o.passed > seq {
			return fmt.Errorf("%w: a part of the XA transaction %s was handed over, and the server no longer has the rest: it was prepared in a "+
				"part of its log that is gone",
				pipeline.ErrHistory, st.XA)
		}
		o.attemptsDue(o.tables.captured(), seq, "XA COMMIT "+st.XA,
			"an XA transaction was committed that was prepared in a part of the log that was not read")
	}
	if st.Doubt {
		o.doubted(st, at)
	}
	o.setXA(o.xa.without(st.XA))
	return o.endTx(st.Event, at+1)
}

// fetchXA reads the ranges of the open XA transactions again. One that cannot be had is
// said, and its COMMIT makes attempts due; other says that the ranges are those of another
// server.
func (r *reader) fetchXA(ctx context.Context, other bool) error {
	found := xaRanges{}
	for _, x := range r.xa {
		again, err := r.fetchRange(ctx, x, other)
		switch {
		case errors.Is(err, errGone):
			r.s.log.Warn("an open XA transaction cannot be read again: a snapshot of every table follows when it is committed", "xid", x.id,
				"file", x.file, "pos", x.from, "error", err)
		case err != nil:
			return fmt.Errorf("read the open XA transaction %s at %s:%d again: %w", x.id, x.file, x.from, err)
		default:
			found = append(found, again)
		}
	}
	r.setXA(found)
	return nil
}

// errGone says that the server does not have an open XA transaction where it was.
var errGone = errors.New("the server's log does not have it")

// fetchRange reads one range and keeps its rows. A server that lost the transaction in a
// fail-over would be waited for without end: what it has ends where its log ends now.
func (r *reader) fetchRange(ctx context.Context, x xaRange, other bool) (xaRange, error) {
	start, err := r.rangeStart(ctx, x, other)
	if err != nil {
		return x, err
	}
	end, _, err := r.server.logPlace(ctx, r.db)
	if err != nil {
		return x, err
	}
	rd, err := r.dump(ctx, start)
	if err != nil {
		return x, gone(err)
	}
	defer rd.Close()
	from := held.New(r.server.maria, r.store, nil)
	defer from.Close()
	f := fetching{want: x, other: other, end: end, held: from}
	for {
		select {
		case b := <-rd.Batches():
			done, err := f.take(b)
			if done {
				r.held.Adopt(from, x.id)
				return f.found, nil
			}
			if err != nil {
				return x, gone(err)
			}
		case <-ctx.Done():
			return x, ctx.Err()
		}
	}
}

// rangeStart is where reading must begin to meet the range.
func (r *reader) rangeStart(ctx context.Context, x xaRange, other bool) (start stream.Start, err error) {
	if !other {
		size, ok, err := r.server.logFile(ctx, r.db, x.file)
		if err == nil && (!ok || x.to > size) {
			err = fmt.Errorf("%w: %s is gone or shorter", errGone, x.file)
		}
		return stream.Start{File: x.file, Pos: x.from}, err
	}
	if r.set == nil || x.gtid == "-" {
		return start, fmt.Errorf("%w: it has no GTID", errGone)
	}
	if had, err := r.logged(ctx, x.gtid); err != nil || !had {
		return start, errors.Join(err, fmt.Errorf("%w: it never had %s", errGone, x.gtid))
	}
	if start.Set, err = r.set.Before(x.gtid); err != nil {
		return start, fmt.Errorf("%w: %w", errGone, err)
	}
	return start, nil
}

// logged reports whether the server can have a transaction in its log. On MySQL that all that
// was read is executed was seen before.
func (r *reader) logged(ctx context.Context, gtid string) (bool, error) {
	if !r.server.maria {
		return true, nil
	}
	row, err := oneRow(ctx, r.db, "SELECT @@GLOBAL.gtid_binlog_state")
	if err != nil || len(row) == 0 {
		return false, errors.Join(errors.New("read gtid_binlog_state"), err)
	}
	return stream.Reached(row[0], gtid), nil
}

// gone joins errGone to what the server says of a log that it does not have.
func gone(err error) error {
	if errors.Is(err, stream.ErrPurged) || errors.Is(err, stream.ErrBeyond) || errors.Is(err, stream.ErrUnreadable) ||
		errors.Is(err, stream.ErrCorrupt) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// fetching reads on until a prepared transaction was met.
type fetching struct {
	want  xaRange
	other bool
	end   place // of the server's log, before the reading began
	held  *held.Assembler
	found xaRange
	start stream.Place // of the transaction that is being read
	gtid  string
	begun bool
}

// take takes a batch; done says that the transaction is held.
func (f *fetching) take(b stream.Batch) (done bool, err error) {
	for i := range b.Events {
		if err := f.held.Take(&b.Events[i]); err != nil {
			return false, err
		}
		for {
			st, ok, err := f.held.Next()
			if err != nil {
				return false, err
			}
			if !ok {
				break
			}
			if f.step(&st) {
				done = true // the last step of the transaction: what follows takes it in
			} else if st.Last && !f.other && st.Event.Place.End >= f.want.to {
				return false, fmt.Errorf("%w: another transaction is there", errGone)
			}
		}
		if done {
			return true, nil
		}
		if f.atEnd(&b.Events[i]) {
			return false, fmt.Errorf("%w: up to its end at %s there is no such transaction", errGone, f.end)
		}
	}
	return false, b.Err
}

// atEnd reports whether e says that everything was read that the log held.
func (f *fetching) atEnd(e *stream.Event) bool {
	at := place{file: e.Place.File, pos: e.Place.End}
	if to, ok := rotation(e); ok {
		at = to
	}
	return at.file != "" && !at.less(f.end)
}

// step looks at an event; it is true at the end of the transaction that is looked for.
func (f *fetching) step(st *held.Step) bool {
	e := st.Event
	if st.Frame == held.GTID {
		f.begun, f.start, f.gtid = true, e.Place, "-"
		if e.Type != stream.AnonymousGTIDEvent {
			if g, err := stream.ParseGTID(e); err == nil {
				f.gtid = string(g.AppendText(nil))
			}
		}
	}
	if st.Frame == held.None {
		return false
	}
	if !f.begun {
		f.begun, f.start, f.gtid = true, e.Place, "-"
	}
	if !st.Last {
		return false
	}
	f.begun = false
	f.found = xaRange{id: st.XA, file: e.Place.File, from: f.start.Start, to: e.Place.End, gtid: f.gtid}
	if f.other {
		return st.Frame == held.Prepared && f.found.id == f.want.id && f.found.gtid == f.want.gtid
	}
	return st.Frame == held.Prepared && f.found == f.want
}
