package processor

import "sync"

const (
	// lendFrom is how large an answer's memory is at least to be lent: of small ones the
	// garbage collector takes care well enough.
	lendFrom = 64 << 10
	// lendStep is what lent memory's size is a multiple of, so that it fits again.
	lendStep = 256 << 10
	// lendLimit is the largest that is kept.
	lendLimit = 2 << 20
)

// answerMemory lends memory to large answers. What is lent and never given back is the
// garbage collector's.
type answerMemory struct{ pool sync.Pool }

// take returns memory for n bytes, or nil where the caller had better make it himself.
func (m *answerMemory) take(n int) []byte {
	if n < lendFrom {
		return nil
	}
	size := (n + lendStep - 1) / lendStep * lendStep
	used, ok := m.pool.Get().(*[]byte)
	switch {
	case ok && cap(*used) >= n && cap(*used) <= 4*size:
		return (*used)[:0]
	case ok && cap(*used) > 4*size: // for a small answer too much to hold on to
		m.pool.Put(used)
		return nil
	}
	return make([]byte, 0, size)
}

// give takes back what was lent, when nobody uses it any more.
func (m *answerMemory) give(b []byte) {
	if cap(b) >= lendFrom && cap(b) <= lendLimit {
		b = b[:0]
		m.pool.Put(&b)
	}
}
