package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/millrace/millrace/internal/vfs"
)

const marksSize = 4096

// marks is RocketMQ's file "checkpoint": times of the last record in the log, in the
// consume queues and in the index, and up to where the log is flushed.
//
// The flushed position is written after every sync and synced only at dispatch
// checkpoints. So it is exact after a kill, and after a power cut never too high: below
// it, whatever is no record is damage and not the end.
type marks struct {
	mu      sync.Mutex
	f       vfs.File
	logTime int64
	cqTime  int64
	flushed int64
}

func openMarks(fsys vfs.FS, name string) (*marks, error) {
	m := &marks{}
	b, err := vfs.ReadFile(fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.f, err = fsys.Create(name)
	case err == nil:
		if len(b) >= 40 {
			be := binary.BigEndian
			m.logTime, m.cqTime = int64(be.Uint64(b)), int64(be.Uint64(b[8:]))
			// Written twice, it has no checksum else. Where the two differ, somebody else
			// wrote there, and no log is held against that.
			if flushed := be.Uint64(b[24:]); flushed == be.Uint64(b[32:]) {
				m.flushed = max(0, int64(flushed))
			}
		}
		m.f, err = fsys.OpenReadWrite(name)
	}
	if err == nil && len(b) != marksSize {
		err = m.f.Truncate(marksSize)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return m, nil
}

// flushedTo notes that the log is durable up to pos. An error costs only knowledge, so it
// is left to the next dispatch checkpoint to report.
func (m *marks) flushedTo(pos, timestamp int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushed, m.logTime = pos, timestamp
	_ = m.writeLocked()
}

// dispatched notes up to which time consume queues and index are durable, durably.
func (m *marks) dispatched(timestamp int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cqTime = timestamp
	if err := m.writeLocked(); err != nil {
		return err
	}
	return m.f.Sync()
}

func (m *marks) writeLocked() error {
	be := binary.BigEndian
	var b [40]byte // one sector: a power cut leaves the old or the new
	be.PutUint64(b[:], uint64(m.logTime))
	be.PutUint64(b[8:], uint64(m.cqTime))
	be.PutUint64(b[16:], uint64(m.cqTime))
	be.PutUint64(b[24:], uint64(m.flushed)) // masterFlushedOffset
	be.PutUint64(b[32:], uint64(m.flushed)) // confirmPhyOffset
	_, err := m.f.WriteAt(b[:], 0)
	return err
}

func (m *marks) close() error { return m.f.Close() }
