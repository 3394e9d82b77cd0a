package consumequeue

import (
	"bytes"

	"github.com/millrace/millrace/broker/store/segment"
)

// Write moves what waits in memory to the files, without a sync.
func (q *Queue) Write() error {
	q.write.Lock()
	defer q.write.Unlock()
	return q.writeOut()
}

func (q *Queue) writeOut() error {
	q.mu.RLock()
	filed, tail := q.filed, q.tail
	q.mu.RUnlock()
	if len(tail) == 0 {
		return nil
	}
	files, err := q.fileset()
	if err != nil {
		return err
	}
	size := files.FileSize()
	for off, b := filed*UnitSize, tail; len(b) > 0; {
		part := b[:min(int64(len(b)), size-off%size)]
		if err := files.Ensure(off); err != nil {
			return err
		}
		if err := files.WriteAt(part, off); err != nil {
			return err
		}
		off, b = off+int64(len(part)), b[len(part):]
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.filed += int64(len(tail) / UnitSize)
	// A copy, because readers may still hold the old one; small queues let go of it all.
	q.tail = bytes.Clone(q.tail[len(tail):])
	return nil
}

// Flush makes all entries durable.
func (q *Queue) Flush() error {
	q.write.Lock()
	defer q.write.Unlock()
	if err := q.writeOut(); err != nil {
		return err
	}
	q.mu.RLock()
	from, to, files := q.dirty, q.filed, q.files
	q.mu.RUnlock()
	if from >= to {
		return nil
	}
	if err := files.Sync(from*UnitSize, to*UnitSize); err != nil {
		return err
	}
	files.Unpin(files.StartOf((to - 1) * UnitSize))
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dirty = max(q.dirty, to)
	return nil
}

// Dirty tells that Flush has something to do.
func (q *Queue) Dirty() bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return q.maxLocked() > q.dirty
}

// Stale tells that the files hold something at the maximum already.
func (q *Queue) Stale() (bool, error) {
	files, err := q.fileset()
	if err != nil {
		return false, err
	}
	q.mu.RLock()
	at := q.maxLocked() * UnitSize
	q.mu.RUnlock()
	if first, end := files.Range(); at < first || at >= end {
		return false, nil
	}
	var b [UnitSize]byte
	if err := files.ReadAt(b[:], at); err != nil {
		return false, err
	}
	return b != [UnitSize]byte{}, nil
}

// CutTail clears what the files hold above the maximum.
func (q *Queue) CutTail() error {
	q.write.Lock()
	defer q.write.Unlock()
	files, err := q.fileset()
	if err != nil {
		return err
	}
	q.mu.RLock()
	filed := q.filed
	q.mu.RUnlock()
	if first, end := files.Range(); filed*UnitSize < first || filed*UnitSize >= end {
		return nil
	}
	return files.CutTail(filed * UnitSize)
}

// Removable tells that RemoveBelow would remove something.
func (q *Queue) Removable() (bool, error) {
	files, err := q.fileset()
	if err != nil {
		return false, err
	}
	first, end := files.Range()
	return end-first > files.FileSize() && first+files.FileSize() <= q.Base()*UnitSize, nil
}

// RemoveBelow removes the files that hold only offsets below the queue's first.
func (q *Queue) RemoveBelow() (int, error) {
	q.write.Lock()
	defer q.write.Unlock()
	files, err := q.fileset()
	if err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		if ok, err := files.RemoveFirst(q.Base() * UnitSize); !ok {
			return n, err
		}
	}
}

// Discard closes the files; their remover calls it first. The queue is not used after it.
func (q *Queue) Discard() {
	q.write.Lock()
	defer q.write.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.files != nil {
		q.files.Discard()
	}
}

// Last finds the entry behind the last valid one in the files: where a queue went on when
// nothing else remembers it.
func Last(files *segment.Files) (int64, error) {
	first, end := files.Range()
	if first == end {
		return 0, nil
	}
	start := end - files.FileSize()
	for ; start >= first; start -= files.FileSize() {
		b := make([]byte, files.FileSize())
		if err := files.ReadAt(b, start); err != nil {
			return 0, err
		}
		for at := len(b) - UnitSize; at >= 0; at -= UnitSize {
			if u := ParseUnit(b[at:]); u.Valid() {
				return (start+int64(at))/UnitSize + 1, nil
			}
		}
	}
	return first / UnitSize, nil
}
