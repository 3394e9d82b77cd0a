package bus

import (
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/pipeline/event"
)

// pulled is the memory of what one pull brought. It is used again when none of the messages
// is in anybody's hands any more.
type pulled struct {
	release func()
	held    atomic.Int32
}

// hold counts one more who looks at the messages; each drops once.
func (p *pulled) hold() { p.held.Add(1) }

func (p *pulled) drop() {
	if p.held.Add(-1) == 0 {
		p.release()
	}
}

// keepRows is how many rows' room of a slice is kept for the next one.
const keepRows = 1 << 16

// slicePool keeps the memory of slices that were handed back. The zero value is ready.
type slicePool struct{ pool sync.Pool }

func (p *slicePool) get() *event.Slice {
	if s, ok := p.pool.Get().(*event.Slice); ok {
		return s
	}
	return new(event.Slice)
}

// put takes a slice back. What it pointed at is let go.
func (p *slicePool) put(s *event.Slice) {
	if cap(s.Rows) > keepRows || cap(s.Txs) > keepRows {
		return
	}
	clear(s.Rows)
	clear(s.Txs)
	*s = event.Slice{Txs: s.Txs[:0], Rows: s.Rows[:0]}
	p.pool.Put(s)
}
