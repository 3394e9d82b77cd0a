package consumequeue

import (
	"bytes"
	"sort"

	"github.com/millrace/millrace/broker/store/segment"
)

// Write moves what waits in memory to the files, without a sync.
func (q *Queue) Write() error {
	q.write.Lock()
	defer q.write.Unlock()
	return q.writeOut(true)
}

// WriteLater is Write whose caller makes everything on the file system durable and then
// calls Synced with the result.
func (q *Queue) WriteLater() (filed int64, err error) {
	q.write.Lock()
	defer q.write.Unlock()
	err = q.writeOut(false)
	q.mu.RLock()
	defer q.mu.RUnlock()
	return q.filed, err
}

// Synced says that the entries below to are durable.
func (q *Queue) Synced(to int64) {
	q.mu.Lock()
	from, files := q.dirty, q.files
	q.dirty = max(q.dirty, to)
	q.mu.Unlock()
	for at := from; files != nil && at < to; at += files.FileSize() / UnitSize {
		files.Unpin(files.StartOf(at * UnitSize))
	}
	if files != nil && to > 0 {
		files.Unpin(files.StartOf((to - 1) * UnitSize))
	}
}

func (q *Queue) writeOut(durable bool) error {
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
		if err := makeRoom(files, off, durable); err != nil {
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

// makeRoom makes the file that holds off. Only a queue's first file may be left to be
// synced later: behind one of which a crash leaves no more than its name, another could
// stand that is whole.
func makeRoom(files *segment.Files, off int64, durable bool) error {
	first, end := files.Range()
	switch {
	case first == end && !durable:
		return files.EnsureLater(off)
	case first < end && off >= end && !durable:
		if err := files.Sync(end-files.FileSize(), end); err != nil {
			return err
		}
	}
	return files.Ensure(off)
}

// Flush makes all entries durable.
func (q *Queue) Flush() error {
	q.write.Lock()
	defer q.write.Unlock()
	if err := q.writeOut(true); err != nil {
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

// Last finds the offset behind the last entry in the files: where a queue went on when
// nothing else remembers it.
func Last(files *segment.Files) (int64, error) {
	first, end := files.Range()
	size := files.FileSize()
	for start := end - size; start >= first && first < end; start -= size {
		var failed error
		n := sort.Search(int(size/UnitSize), func(i int) bool {
			var b [UnitSize]byte
			if err := files.ReadAt(b[:], start+int64(i)*UnitSize); err != nil {
				failed = err
			}
			return !ParseUnit(b[:]).Valid()
		})
		if failed != nil || n > 0 {
			return start/UnitSize + int64(n), failed
		}
	}
	return first / UnitSize, nil
}
