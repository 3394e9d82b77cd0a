package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"github.com/millrace/millrace/broker/store/consumequeue"
	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// rebuild makes consume queues and index again from the whole log. A queue whose messages
// have all been deleted is remembered by its files alone, so those are looked at first and
// what they say is made durable.
func (s *Store) rebuild(old *point, durable int64) (int64, error) {
	s.queues, s.tombs = map[QueueID]*queue{}, map[string]int64{}
	logTime := s.marks.logTime // of the last record that was synced
	p := old
	if p == nil || !p.rebuild {
		p = &point{rebuild: true}
		var err error
		if p.queues, err = s.queueHints(old); err != nil {
			return 0, err
		}
		if old != nil {
			p.tombs = old.tombs
		}
		if err := vfs.WriteFileAtomic(s.fs, path.Join(s.cfg.Dir, pointFile), p.encode()); err != nil {
			return 0, fmt.Errorf("write the dispatch checkpoint: %w", err)
		}
	}
	s.load(p)
	if s.index != nil {
		if err := errors.Join(s.index.Close(), vfs.RemoveTree(s.fs, s.indexDir())); err != nil {
			return 0, fmt.Errorf("remove the index: %w", err)
		}
	}
	if err := errors.Join(s.openIndex(), s.openLog()); err != nil {
		return 0, err
	}
	r := placer{s: s, queues: map[*consumequeue.Queue]*placing{}}
	from, err := s.replayLog(0, durable, 0, r.place)
	if err != nil {
		return 0, err
	}
	if (old == nil || old.rebuild) && !s.cfg.AcceptLostTail && s.clog.LastTimestamp() < logTime {
		return 0, fmt.Errorf("%w: its last message was stored at %d, but one of %d was synced (file checkpoint); "+
			"bring the rest of the log back, or go on without it by acceptLostTail: true", ErrLostTail, s.clog.LastTimestamp(), logTime)
	}
	return from, r.end()
}

// maxQueueOffset is above every offset that a queue can come to, and its place in the
// queue's files is still a number.
const maxQueueOffset = 1 << 56

// maxHoles is how many offsets of a queue may be missing between two records that are
// taken for neighbours.
const maxHoles = 1024

// placer places the log's records in their queues during a rebuild. A record's header is
// under no checksum: one that does not follow its queue's last is set aside until the next
// tells whether it is damaged, or the queue has a hole, or begins anew there because its
// topic had been deleted. What is damaged or missing keeps its offset, and reading it is
// ErrCorrupt: nobody steps over it unawares.
type placer struct {
	s      *Store
	queues map[*consumequeue.Queue]*placing
}

type placing struct {
	q      *queue
	begun  bool // a record said where the queue begins
	odd    bool // unit and offset are those of a record set aside
	offset int64
	unit   consumequeue.Unit
}

func (r *placer) place(d *dispatcher, rec *message.Record, phys int64, size int32) error {
	st := message.TransactionState(rec.SysFlag)
	if st == message.TransactionPrepared || st == message.TransactionRollback || phys < r.s.tombs[rec.Topic] {
		return nil
	}
	q, err := r.s.ensureQueue(rec.Topic, rec.QueueID)
	if err != nil {
		return err
	}
	p := r.queues[q.cq]
	if p == nil {
		p = &placing{q: q}
		r.queues[q.cq] = p
	}
	if p.odd {
		if err := r.settle(p, rec.QueueOffset); err != nil {
			return err
		}
	}
	possible := rec.QueueOffset >= 0 && rec.QueueOffset < maxQueueOffset
	switch {
	case !p.begun && possible:
		p.begun = true
		if err := q.cq.Restart(rec.QueueOffset); err != nil {
			return err
		}
	case !p.begun:
		r.s.log.Warn("a record whose offset cannot be is left out", "topic", q.Topic, "queue", q.ID, "offset", rec.QueueOffset, "at", phys)
		return nil
	case rec.QueueOffset != q.cq.Max():
		p.odd, p.offset = true, rec.QueueOffset
		p.unit = consumequeue.Unit{Phys: phys, Size: size, Tags: r.s.tagsCode(rec)}
		return nil
	}
	return d.toQueue(rec, phys, size)
}

// settle decides on the record set aside, knowing the offset of the one that follows. A
// queue gives up what it has for a new beginning only where two records agree on it, or at
// zero.
func (r *placer) settle(p *placing, next int64) error {
	due := p.q.cq.Max()
	possible := p.offset >= 0 && p.offset < maxQueueOffset && next != due+1
	switch gap := p.offset - due; {
	case possible && gap > 0 && gap <= maxHoles:
		r.odd("records of a queue are missing", p, due)
		for range gap { // they lead to a record with another offset, which no reader takes for them
			p.q.cq.Append(p.unit)
		}
	case possible && (p.offset == 0 || next == p.offset+1):
		r.odd("a queue's offsets do not follow each other; it begins anew", p, due)
		if err := p.q.cq.Restart(p.offset); err != nil {
			return err
		}
	default:
		r.odd("a record's offset is damaged", p, due)
	}
	p.q.cq.Append(p.unit)
	p.odd = false
	return p.q.spill()
}

func (r *placer) odd(what string, p *placing, due int64) {
	r.s.log.Warn(what, "topic", p.q.Topic, "queue", p.q.ID, "offset", p.offset, "due", due, "at", p.unit.Phys)
}

// end decides on what was set aside last. Only a topic that was made anew begins at zero.
func (r *placer) end() error {
	for _, p := range r.queues {
		if !p.odd {
			continue
		}
		next := p.q.cq.Max() + 1
		if p.offset == 0 {
			next = p.offset + 1
		}
		if err := r.settle(p, next); err != nil {
			return err
		}
		p.q.next = p.q.cq.Max()
	}
	return nil
}

// queueHints finds the queues that have files, each with the offset behind its last entry;
// a checkpoint knows better.
func (s *Store) queueHints(old *point) (hints []queuePoint, err error) {
	known := map[QueueID]bool{}
	if old != nil {
		for _, q := range old.queues {
			known[q.QueueID] = true
			if _, err := s.usableFiles(q.QueueID); err != nil {
				return nil, err
			}
			hints = append(hints, queuePoint{q.QueueID, q.next, q.next})
		}
	}
	ids, err := s.queueDirs()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if known[id] {
			continue
		}
		h, err := s.queueHint(id)
		if err != nil {
			return nil, err
		}
		hints = append(hints, h)
	}
	return hints, nil
}

// queueDirs lists the queues that have a directory.
func (s *Store) queueDirs() (ids []QueueID, err error) {
	topics, err := s.fs.ReadDir(s.queueRoot())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list consume queues: %w", err)
	}
	for _, topic := range topics {
		if message.CheckTopic(topic) != nil {
			continue
		}
		names, err := s.fs.ReadDir(path.Join(s.queueRoot(), topic))
		if err != nil {
			continue // a file, which is none of ours
		}
		for _, name := range names {
			if id, err := strconv.ParseInt(name, 10, 32); err == nil && id >= 0 {
				ids = append(ids, QueueID{topic, int32(id)})
			}
		}
	}
	return ids, nil
}

func (s *Store) queueHint(id QueueID) (queuePoint, error) {
	files, err := s.usableFiles(id)
	if err != nil || files == nil {
		return queuePoint{QueueID: id}, err
	}
	next, err := consumequeue.Last(files)
	return queuePoint{id, next, next}, err
}

// usableFiles opens a queue's files. Those that cannot be used are removed: the log has
// what they held.
func (s *Store) usableFiles(id QueueID) (*segment.Files, error) {
	files, err := segment.Open(s.fs, s.cache, s.queueDir(id), s.cfg.FileSizeConsumeQueue)
	if errors.Is(err, segment.ErrMissing) {
		s.log.Warn("a consume queue's files cannot be used and are made again", "topic", id.Topic, "queue", id.ID, "err", err)
		return nil, vfs.RemoveTree(s.fs, s.queueDir(id))
	}
	return files, err
}
