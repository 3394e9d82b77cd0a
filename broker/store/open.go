package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/store/commitlog"
	"github.com/millrace/millrace/broker/store/consumequeue"
	"github.com/millrace/millrace/broker/store/index"
	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// Open recovers the store in cfg.Dir, making it where there is none. It starts nothing.
// log and reg may be nil. ErrLostTail and ErrCorrupt name the file and the place.
func Open(cfg Config, fsys vfs.FS, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("store configuration: %w", err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := vfs.MkdirAllSync(fsys, cfg.Dir); err != nil {
		return nil, fmt.Errorf("make the store's directory: %w", err)
	}
	lock, err := fsys.Lock(path.Join(cfg.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w (is another broker running there?)", cfg.Dir, err)
	}
	levels, err := parseDelayLevels(cfg.MessageDelayLevel)
	if err != nil {
		panic("BUG: Validate let delay levels pass: " + err.Error())
	}
	s := &Store{
		cfg: cfg, levels: levels, fs: fsys, log: log, lock: lock,
		cache:      segment.NewCache(fsys, cfg.MaxOpenFiles),
		queues:     map[QueueID]*queue{},
		tombs:      map[string]int64{},
		wakeKeeper: make(chan struct{}, 1),
	}
	s.dispatch.s, s.dispatch.wake = s, make(chan struct{}, 1)
	s.metrics = newMetrics(s, nil)
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", cfg.Dir, mapError(err)), s.Close())
	}
	s.metrics = newMetrics(s, reg)
	return s, nil
}

func (s *Store) open() (err error) {
	if err := s.checkLayout(); err != nil {
		return err
	}
	if s.marks, err = openMarks(s.fs, path.Join(s.cfg.Dir, "checkpoint")); err != nil {
		return err
	}
	_, err = s.fs.Stat(path.Join(s.cfg.Dir, "abort"))
	s.clean = errors.Is(err, fs.ErrNotExist)
	if err != nil && !s.clean {
		return err
	}
	if err := s.openIndex(); err != nil {
		return err
	}
	p, err := s.readPoint()
	if err != nil {
		return err
	}
	start := time.Now()
	from, err := s.recover(p)
	if err != nil {
		return err
	}
	if !s.clean {
		s.log.Info("store recovered after a crash", "from", from, "to", s.clog.Max(),
			"queues", len(s.queues), "took", time.Since(start))
		s.cutQueues()
	}
	f, err := s.fs.Create(path.Join(s.cfg.Dir, "abort"))
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.cfg.Dir); err != nil {
		return err
	}
	s.marks.flushedTo(s.clog.Flushed(), s.clog.LastTimestamp())
	if s.clean && from == s.clog.Max() && from > 0 {
		s.lastPoint.Store(from)
		return nil
	}
	return s.checkpoint()
}

// checkLayout refuses directories of stores that keep their data elsewhere.
func (s *Store) checkLayout() error {
	for _, dir := range []string{"consumequeue_rocksdb", "dledger-n0"} {
		if _, err := s.fs.Stat(path.Join(s.cfg.Dir, dir)); err == nil {
			return fmt.Errorf("%s holds %s: consume queues in RocksDB and DLedger logs cannot be opened; "+
				"export them with RocketMQ's tools first", s.cfg.Dir, dir)
		}
	}
	return nil
}

func (s *Store) openIndex() (err error) {
	if s.cfg.MessageIndexEnable {
		s.index, err = index.Open(s.fs, s.indexDir(), s.cfg.IndexSlots, s.cfg.IndexEntries, s.log)
	}
	return err
}

func (s *Store) indexDir() string { return path.Join(s.cfg.Dir, "index") }

func (s *Store) openLog() error {
	files, err := segment.Open(s.fs, s.cache, s.cfg.LogDir(), s.cfg.FileSizeCommitLog)
	if err != nil {
		if errors.Is(err, segment.ErrMissing) {
			err = fmt.Errorf("%w: %w; bring the file back, or set mappedFileSizeCommitLog to what the files have", ErrCorrupt, err)
		}
		return err
	}
	s.clog = commitlog.New(files, commitlog.Config{
		Sync:          s.cfg.FlushDiskType == FlushSync,
		FlushInterval: s.cfg.FlushInterval,
		Overdue:       s.cfg.SyncFlushTimeout,
		MaxBuffer:     s.cfg.MaxBufferBytes,
		MaxRecord:     max(64<<20, int(s.cfg.MaxMessageSize)+recordOverhead),
		PreWrite:      s.cfg.PreWriteBytes,
		Now:           func() int64 { return time.Now().UnixMilli() },
		Readable:      s.dispatch.readable,
		Flushed:       s.marks.flushedTo,
	}, s.log)
	return nil
}

// recover finds the end of the log and brings the queues up to it, from the checkpoint p
// or, where that is nil or does not match the files, from the log's beginning.
func (s *Store) recover(p *point) (from int64, err error) {
	if err := s.openLog(); err != nil {
		return 0, err
	}
	durable := s.marks.flushed
	if p != nil && !p.rebuild {
		s.load(p)
		if err = s.verifyDerived(p); err == nil {
			durable = max(durable, p.pos)
			from, err = s.replayLog(p.pos, durable, p.timestamp, placeNext)
		}
		if err == nil {
			err = s.verifyWritable()
		}
		switch {
		case err == nil:
			return from, nil
		case errors.Is(err, commitlog.ErrLostTail) && s.cfg.AcceptLostTail:
			durable = s.withoutTail(err)
		case !errors.Is(err, errOutOfOrder) && !errors.Is(err, errNoIndex) && !errors.Is(err, consumequeue.ErrDamaged) &&
			!errors.Is(err, segment.ErrMissing):
			return 0, err
		}
		s.log.Warn("what is derived from the log does not match it and is made again", "err", err)
	}
	if p == nil || p.rebuild {
		if err := s.checkReach(); errors.Is(err, ErrLostTail) && s.cfg.AcceptLostTail {
			durable = s.withoutTail(err)
		} else if err != nil {
			return 0, err
		}
	}
	from, err = s.rebuild(p, durable)
	if errors.Is(err, commitlog.ErrLostTail) && s.cfg.AcceptLostTail {
		from, err = s.rebuild(p, s.withoutTail(err))
	}
	return from, err
}

// withoutTail returns up to where the log has to reach when its end may be missing.
func (s *Store) withoutTail(err error) (durable int64) {
	s.log.Warn("going on without the lost tail, as acceptLostTail says", "err", err)
	return 0
}

// placeNext places a record at the end of its queue, which must be where it belongs.
func placeNext(d *dispatcher, rec *message.Record, phys int64, size int32) error {
	return d.toQueue(rec, phys, size)
}

func (s *Store) load(p *point) {
	for _, q := range p.queues {
		s.queues[q.QueueID] = s.newQueue(q.QueueID, q.base, q.next)
	}
	maps.Copy(s.tombs, p.tombs)
}

// replayLog finds the end of the log from pos on and dispatches what it meets.
func (s *Store) replayLog(pos, durable, timestamp int64, place func(*dispatcher, *message.Record, int64, int32) error) (int64, error) {
	d := &s.dispatch
	d.timestamp = timestamp
	err := s.clog.Recover(commitlog.Recovery{From: pos, Durable: durable, Timestamp: timestamp},
		func(rec *message.Record, phys int64, size int32) error {
			if err := place(d, rec, phys, size); err != nil {
				return err
			}
			d.timestamp = rec.StoreTimestamp
			return d.toIndex(rec, phys)
		})
	if err != nil {
		return 0, err
	}
	d.pos.Store(s.clog.Max())
	// The next offset is what was found in the log, not what the checkpoint remembers.
	for _, q := range s.queues {
		if seeded.On(seeded.OffsetReused) && q.next > q.cq.Base() {
			q.cq.Reset(q.next)
			continue
		}
		q.next = q.cq.Max()
	}
	return max(pos, s.clog.Min()), nil
}

// errNoIndex says that the index is gone.
var errNoIndex = errors.New("the index files are missing")

func (s *Store) verifyDerived(p *point) error {
	if p.indexed && s.index != nil && s.index.Empty() {
		return errNoIndex
	}
	return s.verifyQueues()
}

// verifyQueues looks at the last entry of each queue that the checkpoint names: files that
// were removed or replaced while the store was down are found here.
func (s *Store) verifyQueues() error {
	for _, q := range s.queues {
		top := q.cq.Max()
		if q.cq.Base() == top {
			continue
		}
		var u [1]consumequeue.Unit
		if _, err := q.cq.Read(top-1, u[:]); err != nil {
			return err
		}
		if u[0].Phys < s.clog.Min() {
			continue
		}
		var head [message.PhysicalOffsetAt + 8]byte
		if err := s.clog.Files().ReadAt(head[:], u[0].Phys); err != nil {
			if errors.Is(err, segment.ErrOutside) {
				continue // the log is shorter than it was; its recovery says so
			}
			return err
		}
		if !isRecordOf(head[:], q.ID, top-1, u[0].Phys) {
			return fmt.Errorf("%w: topic %s, queue %d, offset %d leads to %d, where it is not",
				consumequeue.ErrDamaged, q.Topic, q.ID, top-1, u[0].Phys)
		}
	}
	return nil
}

// verifyWritable looks at the files of queues that have entries to be written.
func (s *Store) verifyWritable() error {
	for _, q := range s.queues {
		if !q.cq.Dirty() {
			continue
		}
		if err := q.cq.Open(); err != nil {
			return fmt.Errorf("topic %s, queue %d: %w", q.Topic, q.ID, err)
		}
	}
	return nil
}

// cutQueues clears entries of records that a power cut took from the log. Nothing here
// reads them; RocketMQ's own broker would. It is best effort.
func (s *Store) cutQueues() {
	for _, q := range s.queues {
		stale, err := q.cq.Stale()
		if err == nil && stale {
			err = q.cq.CutTail()
		}
		if err != nil {
			s.log.Warn("the tail of a consume queue could not be cleared", "topic", q.Topic, "queue", q.ID, "err", err)
		}
	}
}
