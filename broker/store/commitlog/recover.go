package commitlog

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/message"
)

// Recovery says where and how to look for the log's end.
type Recovery struct {
	// From is where a record starts, or the end: everything below is known to be whole.
	From int64
	// Durable is up to where the log is known to have been synced.
	Durable int64
	// Timestamp is the store timestamp of the last record below From.
	Timestamp int64
}

// Recover finds the end of the log, calling visit for every record from r.From on, and
// makes everything behind it durably zero: what a power cut left there in parts must
// never come to light again.
//
// What is no record is the end where nothing below it was promised; below r.Durable it is
// ErrCorrupt with file and position, or ErrLostTail when nothing at all follows.
func (l *Log) Recover(r Recovery, visit func(rec *message.Record, phys int64, size int32) error) error {
	first, end := l.files.Range()
	if first == end { // no files: the log starts where it is known to have been
		first = l.files.StartOf(max(r.From, r.Durable))
		end = first
	}
	pos, timestamp := min(max(r.From, first), end), r.Timestamp
	var stop error
	if pos < end {
		s := scanner{log: l, size: l.files.FileSize()}
		pos, stop = s.run(pos, end, func(rec *message.Record, phys int64, size int32) error {
			timestamp = max(timestamp, rec.StoreTimestamp)
			return visit(rec, phys, size)
		})
		if stop != nil && !errors.Is(stop, errNoRecord) {
			return stop
		}
	}
	if pos < r.Durable {
		return l.explain(pos, min(r.Durable, end), r.Durable, stop)
	}
	if err := l.files.CutTail(pos); err != nil {
		return fmt.Errorf("cut the commit log at %d: %w", pos, err)
	}
	// What is whole but was not synced (async flush, a kill) is served from now on.
	if first < pos {
		if err := l.files.Sync(max(r.Durable, first), pos); err != nil {
			return fmt.Errorf("sync the commit log up to %d: %w", pos, err)
		}
	}
	l.start(pos, timestamp)
	return nil
}

func (l *Log) start(tail, timestamp int64) {
	l.tail = tail
	l.written.Store(tail)
	l.flushed.Store(tail)
	l.lastTimestamp.Store(timestamp)
	l.zero.reset(tail)
}

// explain tells a log that was cut, or restored from an older copy, from one that is
// damaged: behind the end of the first there is nothing.
func (l *Log) explain(pos, to, durable int64, cause error) error {
	empty, err := l.isZero(pos, to)
	switch {
	case err != nil:
		return err
	case !empty:
		return l.corrupt(pos, fmt.Errorf("%w; everything up to %d was synced", cause, durable))
	}
	return fmt.Errorf("%w: it ends in %s (offset %d), but everything up to %d was synced; bring the rest of the log back, or go on without "+
		"it by acceptLostTail: true",
		ErrLostTail, l.files.Place(pos), pos, durable)
}

func (l *Log) isZero(from, to int64) (bool, error) {
	buf := make([]byte, min(max(to-from, 0), scanBuffer))
	for from < to {
		b := buf[:min(int64(len(buf)), to-from)]
		if err := l.files.ReadAt(b, from); err != nil {
			return false, err
		}
		for _, c := range b {
			if c != 0 {
				return false, nil
			}
		}
		from += int64(len(b))
	}
	return true, nil
}
