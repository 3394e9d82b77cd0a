package commitlog

import (
	"sync"

	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/internal/vfs"
)

const (
	prewriteChunk = 512 << 10
	// prewriteUpTo is how large a sync may be for prewriting to pay: a larger one carries
	// so many appends that the journal's share in each is small, and every byte that is
	// written twice is missed.
	prewriteUpTo = 128 << 10
	blockSize    = 4096
)

// prewriter writes zeroes ahead of the tail, so that the sync of an append finds its
// blocks allocated and written: a sync that must also commit a file system journal costs
// about twice as much. Two rules keep it away from the data: it never touches anything
// below what the writer has claimed, and the writer waits for zeroes that are under way.
type prewriter struct {
	mu       sync.Mutex
	changed  *sync.Cond
	high     int64 // the writer's claim
	tail     int64 // what is appended and synced
	zeroed   int64
	from, to int64 // under way; equal when nothing is
	started  bool  // nothing is written ahead before the first append
	busy     bool  // syncs are large now
	stopped  bool
	stuck    bool // no space: wait until the tail moves
}

func (z *prewriter) init() { z.changed = sync.NewCond(&z.mu) }

func (z *prewriter) beforeWrite(from, to int64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for z.from < to && from < z.to {
		z.changed.Wait()
	}
	z.high = max(z.high, to)
}

// reset starts from a recovered tail.
func (z *prewriter) reset(tail int64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.high, z.tail, z.zeroed = tail, tail, tail
}

// advance says that a sync of so many bytes has moved the tail.
func (z *prewriter) advance(tail, bytes int64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.tail = tail
	z.started, z.stuck, z.busy = true, false, bytes > prewriteUpTo
	z.changed.Broadcast()
}

func (z *prewriter) stop() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.stopped = true
	z.changed.Broadcast()
}

// next waits for a piece to write; ok is false at the end. A piece is within one file,
// which may have to be made.
func (z *prewriter) next(ahead, fileSize int64) (from, to int64, ok bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for !z.stopped {
		from = max(z.zeroed, (z.high+blockSize-1)/blockSize*blockSize)
		next := z.tail - z.tail%fileSize + 2*fileSize // at most one file is made ahead
		to = min(from+prewriteChunk, z.tail+ahead, from-from%fileSize+fileSize, next)
		if z.started && !z.stuck && !z.busy && to > from && (to-from >= min(prewriteChunk, ahead/2) || to%fileSize == 0) {
			z.from, z.to = from, to
			return from, to, true
		}
		z.changed.Wait()
	}
	return 0, 0, false
}

func (z *prewriter) done(err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if err == nil {
		z.zeroed = z.to
	} else {
		z.stuck = true
	}
	z.from, z.to = 0, 0
	z.changed.Broadcast()
}

// prewriteLoop runs until the prewriter is stopped. A full disk only makes it wait.
func (l *Log) prewriteLoop() {
	if l.cfg.PreWrite <= 0 {
		return
	}
	w := zeroWriter{files: l.files, zeroes: make([]byte, prewriteChunk), start: -1}
	defer w.close()
	for {
		from, to, ok := l.zero.next(l.cfg.PreWrite, l.files.FileSize())
		if !ok {
			return
		}
		err := w.write(from, to)
		l.zero.done(err)
		if err != nil && !isFull(err) {
			l.fail(err)
			return
		}
	}
}

// zeroWriter opens files for itself: the system reports a write that was lost once to
// each who has the file open, so the zeroes' sync cannot swallow what the log's must see.
type zeroWriter struct {
	files  *segment.Files
	zeroes []byte
	file   vfs.File
	start  int64
}

func (w *zeroWriter) write(from, to int64) error {
	if err := w.files.Ensure(from); err != nil {
		return err
	}
	if start := w.files.StartOf(from); start != w.start {
		w.close()
		f, err := w.files.OpenOwn(start)
		if err != nil {
			return err
		}
		w.file, w.start = f, start
	}
	if _, err := w.file.WriteAt(w.zeroes[:to-from], from-w.start); err != nil {
		return err
	}
	return w.file.Sync()
}

func (w *zeroWriter) close() {
	if w.file != nil {
		w.file.Close() // all that it wrote is synced
	}
	w.file, w.start = nil, -1
}
