package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

// waiting counts messages of a store that RocketMQ wrote which wait for their time. This
// broker delivers none of them, and takes no new ones.
type waiting struct {
	levels int64 // by delay level; retries wait there too
	timers int64 // by a time of their own
	// more says that there are older timed messages, which were not looked at.
	more bool
}

// timedScan is how many timed messages are looked at, from the newest: each is read.
const timedScan = 200_000

// countWaiting looks at what RocketMQ notes of its deliveries. After a kill those notes are
// some seconds old, and without one nothing counts as delivered: the count is never too low.
// The error says why it may be too high.
func countWaiting(s *store.Store, fsys vfs.FS, config string) (w waiting, err error) {
	delivered, err := delayOffsets(fsys, path.Join(config, "delayOffset.json"))
	for _, q := range s.Queues() {
		if q.Topic != message.TopicSchedule {
			continue
		}
		lowest, end, _ := s.QueueRange(q.Topic, q.ID)
		w.levels += max(0, end-max(lowest, delivered[int(q.ID)+1]))
	}
	mark, markErr := readTimerMark(fsys, path.Join(config, "timercheck"))
	var timerErr error
	w.timers, w.more, timerErr = countTimers(s, mark)
	return w, errors.Join(err, markErr, timerErr)
}

// delayOffsets reads the offset up to which each level is delivered.
func delayOffsets(fsys vfs.FS, name string) (map[int]int64, error) {
	data, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read delay offsets: %w", err)
	}
	var form struct {
		OffsetTable map[string]int64 `json:"offsetTable"`
	}
	if err := protocol.DecodeBody(data, &form); err != nil {
		return nil, fmt.Errorf("read delay offsets %s: %w", name, err)
	}
	table := make(map[int]int64, len(form.OffsetTable))
	for key, offset := range form.OffsetTable {
		level, err := strconv.Atoi(key)
		if err != nil {
			return nil, fmt.Errorf("read delay offsets %s: %q is no level", name, key)
		}
		table[level] = offset
	}
	return table, nil
}

// timerMark is how far RocketMQ's timer wheel is.
type timerMark struct {
	time   int64 // what was due before is delivered, in milliseconds
	offset int64 // what stands before has entered the wheel
}

// readTimerMark reads RocketMQ's file timercheck.
func readTimerMark(fsys vfs.FS, name string) (m timerMark, err error) {
	data, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) < 24 {
		return m, nil
	}
	if err != nil {
		return m, fmt.Errorf("read the timer's checkpoint: %w", err)
	}
	return timerMark{time: int64(binary.BigEndian.Uint64(data)), offset: int64(binary.BigEndian.Uint64(data[16:]))}, nil
}

// countTimers reads the wheel's queue. A message that waits for long is put there again and
// again; its key tells that it is one.
func countTimers(s *store.Store, mark timerMark) (n int64, more bool, err error) {
	lowest, end, ok := s.QueueRange(message.TopicTimer, 0)
	if !ok {
		return 0, false, nil
	}
	from := max(lowest, end-timedScan)
	seen := map[string]bool{}
	for at := from; at < end; {
		r, err := s.Get(message.TopicTimer, 0, at, store.GetOptions{MaxMsgs: 1024, MaxBytes: 4 << 20})
		if err != nil {
			return n, true, fmt.Errorf("read timed messages: %w", err)
		}
		if r.Status != store.Found {
			break
		}
		for b := r.Buf; len(b) > 0; {
			rec, size, err := message.ParseRecord(b)
			if err != nil {
				return n, true, fmt.Errorf("read timed messages: %w", err)
			}
			if waits(&rec, mark) && !again(&rec, seen) {
				n++
			}
			b = b[size:]
		}
		at = r.NextOffset
	}
	return n, from > lowest, nil
}

func waits(rec *message.Record, mark timerMark) bool {
	if _, cancels := rec.Property(message.PropertyTimerDeleteUniqueKey); cancels {
		return false
	}
	out, _ := rec.Property(message.PropertyTimerOutMs)
	due, err := strconv.ParseInt(out, 10, 64)
	return rec.QueueOffset >= mark.offset || err != nil || due >= mark.time
}

func again(rec *message.Record, seen map[string]bool) bool {
	key, ok := rec.Property(message.PropertyUniqueKey)
	if !ok {
		return false
	}
	was := seen[key]
	seen[key] = true
	return was
}

// sayWaiting counts what waits in an imported store and says it where operators look.
func (b *Broker) sayWaiting() {
	w, err := countWaiting(b.store, b.deps.FS, path.Join(b.cfg.StorePathRootDir, "config"))
	if b.waiting = w; err != nil {
		b.log.Warn("delayed messages cannot be counted exactly", slog.Any("error", err))
	}
	if w.levels == 0 && w.timers == 0 && !w.more {
		return
	}
	b.log.Error("delayed messages of RocketMQ wait in this store and will NOT be delivered: this broker has no delay "+
		"levels and no timers yet; stop it, let Apache RocketMQ deliver them from this directory, then start it again",
		slog.Int64("by_delay_level", w.levels), slog.Int64("by_timer", w.timers), slog.Bool("more_timers_than_counted", w.more))
}
