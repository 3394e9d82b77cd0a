package store

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/broker/store/consumequeue"
	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/message"
)

// checkReach looks whether the log holds what the consume queues lead to. It is asked where
// no dispatch checkpoint says so, of stores that RocketMQ wrote: their log
// may be in another directory, or on a disk that is not there, and an empty log under old
// queues would be taken for all there is. Nothing has been written yet.
//
// The last entry of each queue is looked at. A store that was not closed may have entries
// of messages that a power cut took from the log: their places are in its files, as zeroes.
func (s *Store) checkReach() error {
	ids, err := s.queueDirs()
	if err != nil {
		return err
	}
	beyond, example := 0, error(nil)
	for _, id := range ids {
		err := s.reaches(id)
		if errors.Is(err, ErrLostTail) {
			beyond++
			if example == nil {
				example = err
			}
			continue
		}
		if err != nil {
			return err
		}
	}
	if beyond == 0 {
		return nil
	}
	return fmt.Errorf("%w (%d queues lead to messages that the log does not hold). Is the log elsewhere, or its disk not mounted? "+
		"storePathCommitLog says where it is; acceptLostTail: true goes on without what is missing", example, beyond)
}

// reaches looks at the last entry of a queue's files.
func (s *Store) reaches(id QueueID) error {
	files, err := segment.Open(s.fs, s.cache, s.queueDir(id), s.cfg.FileSizeConsumeQueue)
	if errors.Is(err, segment.ErrMissing) {
		return nil // they are made again
	}
	if err != nil {
		return err
	}
	next, err := consumequeue.Last(files)
	if err != nil {
		return err
	}
	first, _ := files.Range()
	if next*consumequeue.UnitSize <= first {
		return nil
	}
	var b [consumequeue.UnitSize]byte
	if err := files.ReadAt(b[:], (next-1)*consumequeue.UnitSize); err != nil {
		return err
	}
	u := consumequeue.ParseUnit(b[:])
	if !u.Valid() || s.logHas(u) {
		return nil
	}
	return fmt.Errorf("%w: %s has no message at %d, where offset %d of topic %s, queue %d is to be",
		ErrLostTail, s.clog.Files().Dir(), u.Phys, next-1, id.Topic, id.ID)
}

// logHas tells whether there is something where an entry leads to. What retention deleted
// was there.
func (s *Store) logHas(u consumequeue.Unit) bool {
	first, end := s.clog.Files().Range()
	switch {
	case u.Phys+int64(u.Size) > end:
		return false
	case u.Phys < first || !s.clean:
		return true
	}
	var head [message.PhysicalOffsetAt + 8]byte
	if err := s.clog.Files().ReadAt(head[:], u.Phys); err != nil {
		return !errors.Is(err, segment.ErrOutside)
	}
	return head != [len(head)]byte{}
}
