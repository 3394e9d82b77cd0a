package store

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

func (s *Store) kickKeeper() {
	select {
	case s.wakeKeeper <- struct{}{}:
	default:
	}
}

// checkpointLoop writes dispatch checkpoints, at intervals and when much was dispatched.
func (s *Store) checkpointLoop(ctx context.Context) error {
	t := time.NewTicker(s.cfg.CheckpointInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-s.wakeKeeper:
		case <-ctx.Done():
			return nil
		}
		if !s.damaged.Load() && s.dispatch.pos.Load() == s.lastPoint.Load() {
			continue
		}
		err := s.checkpoint()
		switch {
		case isDiskFull(err):
			s.log.Warn("no space for a dispatch checkpoint; a restart would take longer", "err", err)
		case err != nil:
			return fmt.Errorf("dispatch checkpoint: %w", err)
		}
	}
}

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// retentionLoop deletes what may go and watches how full the disk is.
func (s *Store) retentionLoop(ctx context.Context) error {
	t := time.NewTimer(s.cfg.RetentionInterval)
	defer t.Stop()
	for {
		if err := s.retain(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("retention could not delete", "err", err)
		}
		s.clog.TrimReads()
		next := s.cfg.RetentionInterval
		if errors.Is(s.Err(), ErrDiskFull) {
			next = min(next, time.Second) // somebody may have made space
		}
		t.Reset(next)
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// retain deletes, oldest first, the log files whose time is over or which are too many,
// and then what points into them. The file that is written to always stays.
func (s *Store) retain(ctx context.Context) error {
	before := s.clog.Min()
	for ctx.Err() == nil {
		upto, why := s.expired()
		if why == "" {
			break
		}
		if ok, err := s.deleteFirst(upto, why); !ok {
			if err != nil {
				return err
			}
			break
		}
	}
	s.updateFull()
	if s.clog.Min() == before {
		return nil
	}
	return s.followMin()
}

// updateFull refuses writes above the ratio, and takes them again below it.
func (s *Store) updateFull() {
	u, err := s.DiskUsage()
	if err != nil {
		s.log.Warn("cannot tell how full the disk is", "err", err)
		return
	}
	full := u.Ratio() >= s.cfg.DiskFullRatio
	if s.ratioFull.Swap(full) == full {
		return
	}
	if full {
		s.log.Error("disk is too full; refusing writes until there is space", "used", u.Ratio(), "limit", s.cfg.DiskFullRatio)
	} else {
		s.log.Info("disk has space again; taking writes", "used", u.Ratio())
	}
}

// Why a log file's time is over.
const (
	ExpiredTime = "time"
	ExpiredSize = "size"
	ExpiredDisk = "disk"
)

// Expired is the oldest log file, whose time is over.
type Expired struct {
	Upto  int64         // where it ends
	Why   string        // ExpiredTime, ExpiredSize or ExpiredDisk
	Age   time.Duration // of its youngest record, at least; of ExpiredTime
	Bytes int64         // of the whole log
}

// expired says whether the oldest log file may go, and why. What it ends with is not
// younger than the first record of the next file.
func (s *Store) expired() (upto int64, why string) {
	first, end := s.clog.Files().Range()
	size := s.cfg.FileSizeCommitLog
	f := Expired{Upto: first + size, Bytes: s.clog.Written() - first}
	// Only what is durable goes out of sight, and the tail's file stays.
	if end-first < 2*size || f.Upto > s.clog.Flushed() || f.Upto > s.dispatch.pos.Load() {
		return 0, ""
	}
	if f.Why, f.Age = s.overdue(f); f.Why == "" {
		return 0, ""
	}
	for _, keep := range s.holds {
		if keep(f) {
			return 0, ""
		}
	}
	return f.Upto, f.Why
}

// overdue says by which rule a file's time is over. A disk that needs room comes first: it
// waits for nobody.
func (s *Store) overdue(f Expired) (why string, age time.Duration) {
	if u, err := s.DiskUsage(); err == nil && u.Ratio() >= s.cfg.DiskCleanRatio || errors.Is(s.clogErr(), ErrDiskFull) {
		return ExpiredDisk, 0
	}
	if s.cfg.RetentionBytes > 0 && f.Bytes > s.cfg.RetentionBytes {
		return ExpiredSize, 0
	}
	if s.cfg.FileReservedTime > 0 {
		if age := time.Since(time.UnixMilli(s.fileTime(f.Upto))); age > s.cfg.FileReservedTime {
			return ExpiredTime, age
		}
	}
	return "", 0
}

func (s *Store) clogErr() error { return mapError(s.clog.Err()) }

// fileTime is a time that no record below upto is younger than. Where nothing was
// appended since, it is the last append's.
func (s *Store) fileTime(upto int64) int64 {
	if upto >= s.clog.Readable() {
		return s.clog.LastTimestamp()
	}
	t, err := s.recordTime(upto)
	if err != nil {
		return time.Now().UnixMilli()
	}
	return t
}

// deleteFirst removes the log file that ends at upto, after those who need something of
// it have carried it forward and a checkpoint no longer starts in it.
func (s *Store) deleteFirst(upto int64, why string) (bool, error) {
	for _, hook := range s.hooks {
		if err := hook(upto); err != nil {
			return false, fmt.Errorf("carry forward what is needed of the log below %d: %w", upto, err)
		}
	}
	if s.lastPoint.Load() < upto {
		if err := s.checkpoint(); err != nil && !isDiskFull(err) {
			return false, err
		}
	}
	ok, err := s.clog.Files().RemoveFirst(upto)
	if err != nil {
		return false, fmt.Errorf("remove the log below %d: %w", upto, err)
	}
	if ok {
		s.metrics.deletedFiles.Add(1)
		s.log.Info("log file deleted", "below", upto, "because", why)
	}
	return ok, nil
}

// followMin removes what points only below the log's first byte. A checkpoint names the
// queues' new bounds before files go that the old ones reach into.
func (s *Store) followMin() error {
	var errs []error
	var shorter []*queue
	for _, q := range s.allQueues() {
		if _, err := s.minOffset(q); err != nil {
			errs = append(errs, err)
		} else if ok, err := q.cq.Removable(); err != nil {
			errs = append(errs, err)
		} else if ok {
			shorter = append(shorter, q)
		}
	}
	if len(shorter) > 0 {
		if err := s.checkpoint(); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	for _, q := range shorter {
		if _, err := q.cq.RemoveBelow(); err != nil {
			errs = append(errs, fmt.Errorf("consume queue of topic %s, queue %d: %w", q.Topic, q.ID, err))
		}
	}
	if s.index != nil {
		if _, err := s.index.RemoveBelow(s.clog.Min()); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
