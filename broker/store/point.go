package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// point is the dispatch checkpoint: up to where in the log the consume queues and the
// index are durable, and the bounds of every queue there. It is what makes a restart
// independent of the store's size. The file is ours; without it everything is made again
// from the log.
type point struct {
	pos       int64 // everything below is dispatched and durable
	timestamp int64 // store timestamp of the last record below pos
	rebuild   bool  // the bounds are hints only: records decide
	indexed   bool  // there are index files
	queues    []queuePoint
	tombs     map[string]int64
}

type queuePoint struct {
	QueueID
	base, next int64
}

const (
	pointFile    = "dispatchCheckpoint"
	pointMagic   = 0x4d524443 // "MRDC"
	pointVersion = 1

	flagRebuild = 1
	flagIndexed = 2
)

var errBadPoint = errors.New("dispatch checkpoint is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (p *point) encode() []byte {
	be := binary.BigEndian
	b := be.AppendUint32(make([]byte, 0, 64+len(p.queues)*48), pointMagic)
	b = be.AppendUint32(b, pointVersion)
	b = be.AppendUint64(b, uint64(p.pos))
	b = be.AppendUint64(b, uint64(p.timestamp))
	flags := uint32(0)
	if p.rebuild {
		flags |= flagRebuild
	}
	if p.indexed {
		flags |= flagIndexed
	}
	b = be.AppendUint32(b, flags)
	b = be.AppendUint32(b, uint32(len(p.queues)))
	for _, q := range p.queues {
		b = appendName(b, q.Topic)
		b = be.AppendUint32(b, uint32(q.ID))
		b = be.AppendUint64(b, uint64(q.base))
		b = be.AppendUint64(b, uint64(q.next))
	}
	b = be.AppendUint32(b, uint32(len(p.tombs)))
	for topic, pos := range p.tombs {
		b = appendName(b, topic)
		b = be.AppendUint64(b, uint64(pos))
	}
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendName(b []byte, name string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...)
}

// parsePoint decodes a dispatch checkpoint. Its counts are bounded by its size, and the
// checksum is verified first.
func parsePoint(b []byte) (*point, error) {
	be := binary.BigEndian
	if len(b) < 40 || be.Uint32(b) != pointMagic {
		return nil, fmt.Errorf("%w: %d bytes without its magic number", errBadPoint, len(b))
	}
	if v := be.Uint32(b[4:]); v != pointVersion {
		return nil, fmt.Errorf("%w: version %d", errBadPoint, v)
	}
	b, sum := b[:len(b)-4], be.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(b, castagnoli); got != sum {
		return nil, fmt.Errorf("%w: checksum is %08x, it says %08x", errBadPoint, got, sum)
	}
	r := pointReader{b: b[8:]}
	p := &point{pos: r.int64(), timestamp: r.int64(), tombs: map[string]int64{}}
	flags := r.uint32()
	p.rebuild, p.indexed = flags&flagRebuild != 0, flags&flagIndexed != 0
	for range r.count(22) {
		p.queues = append(p.queues, queuePoint{QueueID{r.name(), int32(r.uint32())}, r.int64(), r.int64()})
	}
	for range r.count(10) {
		topic := r.name()
		p.tombs[topic] = r.int64()
	}
	if r.bad || len(r.b) > 0 || p.pos < 0 {
		return nil, fmt.Errorf("%w: its parts do not fit its size", errBadPoint)
	}
	for _, q := range p.queues {
		if q.base < 0 || q.base > q.next || q.ID < 0 {
			return nil, fmt.Errorf("%w: queue %d of topic %q has the bounds %d and %d", errBadPoint, q.QueueID.ID, q.Topic, q.base, q.next)
		}
		if err := message.CheckTopic(q.Topic); err != nil {
			return nil, fmt.Errorf("%w: %w", errBadPoint, err)
		}
	}
	return p, nil
}

// pointReader reads fields until one does not fit.
type pointReader struct {
	b   []byte
	bad bool
}

func (r *pointReader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *pointReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *pointReader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *pointReader) name() string {
	if b := r.take(2); b != nil {
		return string(r.take(int(binary.BigEndian.Uint16(b))))
	}
	return ""
}

// count reads how many parts follow, each of least bytes at least.
func (r *pointReader) count(least int) int {
	n := int(r.uint32())
	if n < 0 || n > len(r.b)/least {
		r.bad = true
		return 0
	}
	return n
}

// readPoint returns nil without an error when there is none that can be used.
func (s *Store) readPoint() (*point, error) {
	b, err := vfs.ReadFile(s.fs, path.Join(s.cfg.Dir, pointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the dispatch checkpoint: %w", err)
	}
	p, err := parsePoint(b)
	if err != nil {
		s.log.Warn("the dispatch checkpoint cannot be used; consume queues and index are made again from the log", "err", err)
		return nil, nil
	}
	return p, nil
}

// pointLocked is the point as of now. It is called with dispatcher.mu held.
func (s *Store) pointLocked() *point {
	p := &point{pos: s.dispatch.pos.Load(), timestamp: s.dispatch.timestamp, tombs: map[string]int64{}}
	p.indexed = s.index != nil && !s.index.Empty()
	s.queueMu.RLock()
	defer s.queueMu.RUnlock()
	for id, q := range s.queues {
		p.queues = append(p.queues, queuePoint{id, q.cq.Base(), q.cq.Max()})
	}
	for topic, pos := range s.tombs {
		if pos > s.clog.Min() {
			p.tombs[topic] = pos
		} else {
			delete(s.tombs, topic)
		}
	}
	return p
}

// checkpoint makes consume queues and index durable and then says so.
func (s *Store) checkpoint() error {
	s.checkpointing.Lock()
	defer s.checkpointing.Unlock()
	s.dispatch.mu.Lock()
	p := s.pointLocked()
	s.dispatch.mu.Unlock()
	return s.writePoint(p)
}

// writePoint is called with checkpointing held. The log comes first: what a queue points
// at is durable before the queue is. Entries that come in meanwhile may be flushed too;
// a restart writes over what is above the point.
func (s *Store) writePoint(p *point) error {
	if err := s.clog.SyncNow(); err != nil {
		return err
	}
	if err := s.flushQueues(); err != nil {
		return err
	}
	if s.index != nil {
		if err := s.index.Flush(); err != nil {
			return err
		}
	}
	name := path.Join(s.cfg.Dir, pointFile)
	if s.damaged.Load() {
		if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return s.fs.SyncDir(s.cfg.Dir)
	}
	if err := vfs.WriteFileAtomic(s.fs, name, p.encode()); err != nil {
		return fmt.Errorf("write the dispatch checkpoint: %w", err)
	}
	s.lastPoint.Store(p.pos)
	return s.marks.dispatched(p.timestamp)
}

// flushQueues is called with checkpointing held. Many queues are synced with all that the
// disk has: one by one, ten thousand would take seconds and keep the log's syncs waiting.
func (s *Store) flushQueues() error {
	var dirty []*queue
	for _, q := range s.allQueues() {
		if q.cq.Dirty() {
			dirty = append(dirty, q)
		}
	}
	all, ok := s.fs.(vfs.AllSyncer)
	if ok && (len(dirty) > s.cfg.SyncAllAbove || s.namesPending) {
		return s.flushTogether(dirty, all)
	}
	for _, q := range dirty {
		if err := q.cq.Flush(); err != nil {
			return fmt.Errorf("flush consume queue of topic %s, queue %d: %w", q.Topic, q.ID, err)
		}
	}
	return nil
}

func (s *Store) flushTogether(dirty []*queue, all vfs.AllSyncer) error {
	s.namesPending = true
	filed := make([]int64, len(dirty))
	for i, q := range dirty {
		var err error
		if filed[i], err = q.cq.WriteLater(); err != nil {
			return fmt.Errorf("write consume queue of topic %s, queue %d: %w", q.Topic, q.ID, err)
		}
	}
	if err := all.SyncAll(s.cfg.Dir); err != nil {
		return fmt.Errorf("sync all consume queues: %w", err)
	}
	s.namesPending = false
	for i, q := range dirty {
		q.cq.Synced(filed[i])
	}
	return nil
}
