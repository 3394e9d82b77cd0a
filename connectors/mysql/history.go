package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// startByFile looks at the file before it is asked for, and begins at the last complete
// transaction where that is still there, to compare it with the fingerprint.
func (r *reader) startByFile(ctx context.Context, start stream.Start) (stream.Start, error) {
	size, ok, err := r.server.logFile(ctx, r.db, start.File)
	if err != nil {
		return start, err
	}
	if !ok {
		return start, fmt.Errorf("%w: the server no longer has %s (purged, or another log); a new snapshot is needed. Keep logs longer: "+
			"binlog_expire_logs_seconds",
			pipeline.ErrHistory, start.File)
	}
	if start.Pos > size {
		return start, fmt.Errorf("%w: %s ends at %d on the server, %d was read before: the server lost or replaced its log",
			pipeline.ErrHistory, start.File, size, start.Pos)
	}
	p := r.boundary.Print
	if p.File == "" {
		return start, nil
	}
	if p.File != start.File {
		if _, ok, err = r.server.logFile(ctx, r.db, p.File); err != nil || !ok {
			return start, err
		}
	}
	r.verify = &p
	r.skipTo = place{file: start.File, pos: start.Pos}
	return stream.Start{File: p.File, Pos: p.Pos}, nil
}

// checkExecuted makes sure, where only GTIDs name the place, that the server has executed
// what was read from another, and still has what was not. Where a place in the log is
// known the log itself is compared: there a transaction is read before it is executed.
func (r *reader) checkExecuted(ctx context.Context) error {
	if r.set == nil || r.server.maria || r.boundary.File != "" {
		// MariaDB checks its GTID state itself when the log is asked for.
		return nil
	}
	if !r.set.Empty() {
		row, err := oneRow(ctx, r.db, "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+r.setText+"', 10)")
		if err != nil || len(row) == 0 {
			return errors.Join(errors.New("compare gtid_executed"), err)
		}
		if row[0] != "0" {
			return fmt.Errorf("%w: transactions that were read are missing on the server (the reader has %s); it fell behind the "+
				"one that was read before",
				pipeline.ErrHistory, r.setText)
		}
	}
	row, err := oneRow(ctx, r.db, "SELECT @@GLOBAL.gtid_purged")
	if err != nil || len(row) == 0 {
		return errors.Join(errors.New("read gtid_purged"), err)
	}
	purged, err := stream.ParseSet(false, row[0])
	if err != nil {
		return err
	}
	if !r.set.Contains(purged) {
		return fmt.Errorf("%w: the server purged transactions that were not read: purged %s, the reader has %s",
			pipeline.ErrHistory, purged, r.set)
	}
	return nil
}

// history joins the pipeline's sentinel to errors of the stream that mean it.
func (r *reader) history(err error) error {
	switch {
	case errors.Is(err, stream.ErrPurged), errors.Is(err, stream.ErrBeyond):
		return fmt.Errorf("%w: reading from %s:%d: %w", pipeline.ErrHistory, r.boundary.File, r.boundary.Pos, err)
	case errors.Is(err, pipeline.ErrStrayed):
		return fmt.Errorf("%w: %w", pipeline.ErrOtherServer, err)
	case errors.Is(err, stream.ErrDuplicateID):
		return fmt.Errorf("%w; set source.server_id to a number of its own", err)
	case errors.Is(err, stream.ErrDenied):
		return r.grant(err)
	}
	return err
}

// grant adds to an error of a missing privilege what gives it.
func (r *reader) grant(err error) error {
	return fmt.Errorf("%w; GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '%s'@'…'", err, r.s.cfg.User)
}

// rotation is where the log goes on by a ROTATE event.
func rotation(e *stream.Event) (to place, ok bool) {
	if e.Type != stream.RotateEvent || len(e.Body) <= 8 {
		return place{}, false
	}
	return place{file: string(e.Body[8:]), pos: binary.LittleEndian.Uint64(e.Body)}, true
}

// proveHistory compares the first event of the log with the fingerprint and then drops
// events up to the boundary.
func (r *reader) proveHistory(e *stream.Event) (skip bool, err error) {
	if to, ok := rotation(e); ok && r.verify == nil && to.file != r.skipTo.file && r.skipTo.less(to) {
		r.skipTo = place{} // there is nothing behind the boundary in its file: the next one holds what comes
		return false, nil
	}
	if e.Artificial() || e.Type == stream.FormatEvent || e.Type == stream.HeartbeatEvent || e.Type == stream.HeartbeatV2Event ||
		e.Type == stream.RotateEvent {
		return true, nil
	}
	if v := r.verify; v != nil {
		if e.Type == stream.StartEncryptionEvent || e.Place.Start != v.Pos && e.Type == stream.MariaGTIDListEvent {
			return true, nil
		}
		r.verify = nil
		p := e.Place
		if got := printOf(p); got != *v && !seeded.On(seeded.FingerprintUnchecked) {
			return false, fmt.Errorf("%w: the last transaction that was read ended at %s:%d with an event of type %d, time %d, %d bytes, checksum "+
				"%08x; there the server now has type %d, time %d, %d bytes, checksum %08x: it was restored or its log replaced",
				pipeline.ErrHistory, v.File, v.Pos, v.Type, v.Time, v.Size, v.Checksum, p.Type, p.Time, p.Size, p.Checksum)
		}
	}
	at := place{file: e.Place.File, pos: e.Place.Start}
	if at.less(r.skipTo) {
		return true, nil
	}
	r.skipTo = place{}
	return false, nil
}

func printOf(p stream.Place) event.Fingerprint {
	return event.Fingerprint{File: p.File, Pos: p.Start, Type: p.Type, Time: p.Time, Size: p.Size, Checksum: p.Checksum}
}
