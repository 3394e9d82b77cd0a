package consumequeue

import (
	"errors"
	"fmt"
	"sync"

	"github.com/millrace/millrace/broker/store/segment"
)

// ErrDamaged says that an entry which must be there is not one.
var ErrDamaged = errors.New("consume queue is damaged")

// spill is how much of a queue waits in memory before it is written without a sync.
const spill = 64 << 10

// Queue is one consume queue. One goroutine appends; everything else may be called
// concurrently.
type Queue struct {
	open func() (*segment.Files, error)

	write sync.Mutex // one writer of files at a time; taken before mu

	mu    sync.RWMutex
	files *segment.Files // nil until they are needed
	base  int64          // the first offset
	filed int64          // entries below are in files
	dirty int64          // entries below are durable
	tail  []byte         // the entries from filed on; only ever appended to
	minAt int64          // the log's minimum that base was found for
}

// New returns the queue of the offsets [base, next), which are in files, durably. open
// is called when the files are needed.
func New(base, next int64, open func() (*segment.Files, error)) *Queue {
	return &Queue{open: open, base: base, filed: next, dirty: next}
}

// Max is the offset behind the last entry.
func (q *Queue) Max() int64 {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return q.maxLocked()
}

func (q *Queue) maxLocked() int64 { return q.filed + int64(len(q.tail)/UnitSize) }

// Base is the first offset as far as it is known; Min looks again.
func (q *Queue) Base() int64 {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return q.base
}

// Append adds the entry of the offset Max.
func (q *Queue) Append(u Unit) {
	q.mu.Lock()
	q.tail = u.Append(q.tail)
	q.mu.Unlock()
}

// Full tells that enough waits in memory for Write to be worth it.
func (q *Queue) Full() bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return len(q.tail) >= spill
}

// Reset forgets all entries: the queue is empty and goes on at next.
func (q *Queue) Reset(next int64) {
	q.write.Lock()
	defer q.write.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.base, q.filed, q.dirty, q.tail = next, next, next, nil
}

// Restart is Reset where next may not follow the files: they are removed then, since
// files have no gaps.
func (q *Queue) Restart(next int64) error {
	files, err := q.fileset()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if first, end := files.Range(); first < end && (next*UnitSize < first || next*UnitSize > end) {
		if err := files.RemoveAll(); err != nil {
			return err
		}
	}
	q.Reset(next)
	return nil
}

// Open looks at the queue's files, which the first use does otherwise.
func (q *Queue) Open() error {
	_, err := q.fileset()
	return err
}

func (q *Queue) fileset() (*segment.Files, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.files == nil {
		f, err := q.open()
		if err != nil {
			return nil, err
		}
		q.files = f
	}
	return q.files, nil
}

// Read decodes the entries from offset on into dst and returns how many there are: none
// where the queue does not hold the offset (any more). It ends in front of an entry that is
// not valid; one at offset itself is ErrDamaged.
func (q *Queue) Read(offset int64, dst []Unit) (int, error) {
	return q.ReadWith(offset, dst, nil)
}

// ReadWith is Read with room for the bytes of the entries, of UnitSize each; where that is
// too small it makes some.
func (q *Queue) ReadWith(offset int64, dst []Unit, room []byte) (int, error) {
	q.mu.RLock()
	filed, top := q.filed, q.maxLocked()
	n := int(max(0, min(int64(len(dst)), top-offset)))
	if offset < q.base || n == 0 {
		q.mu.RUnlock()
		return 0, nil
	}
	inTail := int(max(0, offset+int64(n)-max(offset, filed)))
	if inTail > 0 {
		b := q.tail[(max(offset, filed)-filed)*UnitSize:]
		for i := range inTail {
			dst[n-inTail+i] = ParseUnit(b[i*UnitSize:])
		}
	}
	q.mu.RUnlock()
	if n > inTail {
		valid, err := q.readFiles(offset, dst[:n-inTail], room)
		if errors.Is(err, segment.ErrOutside) && offset < q.Base() {
			return 0, nil // retention was faster
		}
		if err != nil || valid < n-inTail {
			return valid, err
		}
	}
	return n, nil
}

// readFiles returns how many entries are valid, up to the first that is not.
func (q *Queue) readFiles(offset int64, dst []Unit, room []byte) (int, error) {
	files, err := q.fileset()
	if err != nil {
		return 0, err
	}
	if n := len(dst) * UnitSize; n > len(room) {
		room = make([]byte, n)
	}
	b := room[:len(dst)*UnitSize]
	if err := files.ReadAt(b, offset*UnitSize); err != nil {
		if errors.Is(err, segment.ErrOutside) {
			return 0, fmt.Errorf("%w: offset %d: %w", ErrDamaged, offset, err)
		}
		return 0, err
	}
	for i := range dst {
		if dst[i] = ParseUnit(b[i*UnitSize:]); dst[i].Valid() {
			continue
		}
		if i > 0 {
			return i, nil
		}
		return 0, fmt.Errorf("%w: offset %d in %s", ErrDamaged, offset, files.Place(offset*UnitSize))
	}
	return len(dst), nil
}

// Min is the first offset whose message is at or above minPhys in the log: what is below
// has been deleted there.
func (q *Queue) Min(minPhys int64) (int64, error) {
	q.mu.RLock()
	base, top, at := q.base, q.maxLocked(), q.minAt
	q.mu.RUnlock()
	if at >= minPhys {
		return base, nil
	}
	lo, hi := base, top
	for lo < hi {
		mid := lo + (hi-lo)/2
		var u [1]Unit
		n, err := q.Read(mid, u[:])
		if err != nil {
			return base, err
		}
		if n == 0 { // somebody else was faster
			return q.Base(), nil
		}
		if u[0].Phys < minPhys {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if lo > q.base && lo <= q.maxLocked() {
		q.base = lo
	}
	q.minAt = max(q.minAt, minPhys)
	return q.base, nil
}

// Search returns the first offset in [lo, hi) for which ok, false and then true along the
// queue, is true; hi without one.
func (q *Queue) Search(lo, hi int64, ok func(Unit) (bool, error)) (int64, error) {
	for lo < hi {
		mid := lo + (hi-lo)/2
		var u [1]Unit
		n, err := q.Read(mid, u[:])
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, fmt.Errorf("%w: offset %d is gone", segment.ErrOutside, mid)
		}
		yes, err := ok(u[0])
		if err != nil {
			return 0, err
		}
		if yes {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo, nil
}
