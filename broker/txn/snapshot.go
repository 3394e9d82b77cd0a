package txn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// snapshotMagic begins the file; version and checksum of the rest follow on its line.
const snapshotMagic = "millrace-transactions"

const snapshotVersion = 1

var errSnapshot = errors.New("the snapshot is damaged or of another version")

// snapshot is the state at a place in the log. It may tell of records behind Applied as
// well, all of which are durable before the file is written: reading them again changes
// nothing.
type snapshot struct {
	// Applied is from where the log has to be read on.
	Applied int64           `json:"applied"`
	Print   recordPrint     `json:"print"`
	Writers []writer.Record `json:"writers"`
	Halves  []snapshotHalf  `json:"halves"`
	Ops     []int64         `json:"ops"`

	// durable is how far the log must be flushed before this may be written.
	durable int64
}

// recordPrint tells the record that ends at Applied, so that a log with another history
// is not taken for ours.
type recordPrint struct {
	Phys           int64  `json:"phys"`
	Size           int32  `json:"size"`
	QueueID        int32  `json:"queueId"`
	QueueOffset    int64  `json:"queueOffset"`
	StoreTimestamp int64  `json:"storeTimestamp"`
	BodyCRC        uint32 `json:"bodyCRC"`
	Topic          string `json:"topic"`
}

type snapshotHalf struct {
	First      int64        `json:"first"`
	QueueFirst int64        `json:"queueFirst"`
	Key        string       `json:"key"`
	Group      string       `json:"group"`
	Topic      string       `json:"topic"`
	QueueID    int32        `json:"queueId"`
	Link       *writer.Link `json:"link,omitempty"`
	Bytes      int64        `json:"bytes"`
	Stored     int64        `json:"stored"`
	Immunity   int64        `json:"immunity"`
	Phys       int64        `json:"phys"`
	Queue      int64        `json:"queue"`
	Size       int32        `json:"size"`
	Checks     int          `json:"checks"`
	Asked      int64        `json:"asked"`
}

func printOf(rec *message.Record, phys int64) recordPrint {
	return recordPrint{Phys: phys, Size: rec.TotalSize, QueueID: rec.QueueID, QueueOffset: rec.QueueOffset,
		StoreTimestamp: rec.StoreTimestamp, BodyCRC: rec.BodyCRC, Topic: rec.Topic}
}

// takeSnapshot copies the state. It is written when all that it tells is durable.
func (s *Service) takeSnapshot() {
	last := s.lastPhys.Load()
	if s.deps.SnapshotFile == "" || last < 0 {
		return
	}
	rec, _, err := s.log.ReadRecord(last)
	if err != nil {
		return
	}
	snap := &snapshot{Applied: last + int64(rec.TotalSize), Print: printOf(&rec, last)}
	snap.Halves, snap.Ops = s.copyHalves()
	snap.Writers = s.writers.Snapshot()
	snap.durable = s.log.MaxPhysical()
	s.snap = snap
}

func (s *Service) copyHalves() ([]snapshotHalf, []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	halves := make([]snapshotHalf, 0, s.index.count)
	for h := s.index.ring.newer; h != &s.index.ring; h = h.newer {
		if h.first < 0 {
			continue
		}
		halves = append(halves, snapshotHalf{First: h.first, QueueFirst: h.queueFirst, Key: h.key, Group: h.group,
			Topic: h.to.Topic, QueueID: h.to.ID, Link: h.link, Bytes: h.bytes, Stored: h.stored, Immunity: h.immunity,
			Phys: h.phys, Queue: h.queue, Size: h.size, Checks: h.checks, Asked: h.asked})
	}
	return halves, append([]int64(nil), s.ops...)
}

// writeSnapshot writes the snapshot that waits, if what it tells is durable.
func (s *Service) writeSnapshot() {
	if s.snap == nil || s.log.FlushedPhysical() < s.snap.durable {
		return
	}
	snap := s.snap
	s.snap = nil
	if err := vfs.WriteFileAtomic(s.deps.FS, s.deps.SnapshotFile, snap.encode()); err != nil {
		s.deps.Logger.Warn("snapshot of transactions cannot be written; a restart will take longer",
			"file", s.deps.SnapshotFile, "error", err)
	}
}

func (snap *snapshot) encode() []byte {
	body, err := json.Marshal(snap)
	if err != nil {
		panic("BUG: snapshot: " + err.Error())
	}
	head := fmt.Sprintf("%s %d %08x\n", snapshotMagic, snapshotVersion, crc32.ChecksumIEEE(body))
	return append([]byte(head), body...)
}

// parseSnapshot checks magic, version and checksum, in that order.
func parseSnapshot(b []byte) (*snapshot, error) {
	head, body, ok := bytes.Cut(b, []byte{'\n'})
	var version int
	var sum uint32
	if !ok || len(head) > 64 {
		return nil, errSnapshot
	}
	if n, err := fmt.Sscanf(string(head), snapshotMagic+" %d %x", &version, &sum); n != 2 || err != nil {
		return nil, errSnapshot
	}
	if version != snapshotVersion || sum != crc32.ChecksumIEEE(body) {
		return nil, errSnapshot
	}
	var snap snapshot
	if err := json.Unmarshal(body, &snap); err != nil {
		return nil, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	return &snap, nil
}

// loadSnapshot takes over the snapshot if it belongs to this log, and returns from where
// the log has to be read on; -1 without one.
func (s *Service) loadSnapshot() int64 {
	if s.deps.SnapshotFile == "" {
		return -1
	}
	b, err := vfs.ReadFile(s.deps.FS, s.deps.SnapshotFile)
	if errors.Is(err, fs.ErrNotExist) {
		return -1
	}
	var snap *snapshot
	if err == nil {
		snap, err = parseSnapshot(b)
	}
	if err == nil {
		err = s.belongs(snap)
	}
	if err != nil {
		s.deps.Logger.Warn("snapshot of transactions is not used; the log is read instead",
			"file", path.Base(s.deps.SnapshotFile), "error", err)
		return -1
	}
	s.writers.Load(snap.Writers)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range snap.Halves {
		h := snap.Halves[i].half()
		s.addLocked(h)
		s.replay.byQueue[h.queue] = h
		if h.link == nil && h.key != "" {
			s.replay.byKey[h.key] = h
		}
	}
	for _, q := range snap.Ops {
		s.replay.unop[q] = struct{}{}
	}
	s.lastPhys.Store(snap.Print.Phys)
	s.applied.Store(snap.Applied)
	return snap.Applied
}

func (sh *snapshotHalf) half() *half {
	return &half{first: sh.First, queueFirst: sh.QueueFirst, key: sh.Key, group: sh.Group,
		to: store.QueueID{Topic: sh.Topic, ID: sh.QueueID}, link: sh.Link, bytes: sh.Bytes, stored: sh.Stored,
		immunity: sh.Immunity, phys: sh.Phys, queue: sh.Queue, size: sh.Size, checks: sh.Checks, asked: sh.Asked}
}

// belongs tells whether the log holds the record that the snapshot ends with.
func (s *Service) belongs(snap *snapshot) error {
	if snap.Print.Phys < s.log.MinPhysical() || snap.Applied > s.log.MaxPhysical() {
		return fmt.Errorf("it ends at %d, the log is from %d to %d", snap.Applied, s.log.MinPhysical(), s.log.MaxPhysical())
	}
	rec, _, err := s.log.ReadRecord(snap.Print.Phys)
	if err != nil {
		return fmt.Errorf("the record that it ends with: %w", err)
	}
	if printOf(&rec, snap.Print.Phys) != snap.Print {
		return errors.New("the log has another record where it ends")
	}
	return nil
}
