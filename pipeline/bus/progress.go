package bus

import (
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

// unlock releases the lock and shows the state. The lock is held while the broker is asked,
// for as long as it is away, and whoever looks at a pipeline then wants to see just that: he
// never waits.
func (l *checkpointLog) unlock() {
	s := PublisherStatus{Term: l.p.term}
	if st := l.state; st != nil {
		s.Epoch, s.Group, s.Resolved, s.Position = st.Epoch, st.N, st.Resolved, event.Position(st.Position)
		l.sum.follow(st)
		s.Trimming, s.Attempts = l.sum.trimming, l.sum.attempts
	}
	l.shown.Store(&s)
	l.mu.Unlock()
}

// sum is what is counted over all queues and attempts of a state. It is made when they have
// changed, not for each group that is decided or resolved.
type sum struct {
	of       *checkpoint.State
	n, tried uint64
	trimming int
	attempts map[event.TableName]event.Attempt // never changed once it is made
}

func (m *sum) follow(st *checkpoint.State) {
	same := m.of == st
	if !same || m.n != st.N {
		m.trimming = 0
		for i := range st.Queues {
			if st.Queues[i].TrimUpto != 0 {
				m.trimming++
			}
		}
	}
	if !same || m.tried != st.Tried() {
		m.attempts = make(map[event.TableName]event.Attempt, len(st.Tries))
		for _, a := range st.Tries {
			m.attempts[event.TableName(a.Table)] = event.Attempt{Begin: a.Begin, Chunk: a.Chunk, Rows: a.Rows, Estimate: a.Estimate}
		}
	}
	m.of, m.n, m.tried = st, st.N, st.Tried()
}

// PublisherStatus is what people see of a publisher.
type PublisherStatus struct {
	Term     uint64
	Epoch    uint16
	Group    uint64 // last decided
	Resolved uint64
	Rows     uint64
	Trimmed  uint64
	Bytes    uint64
	Halves   uint64
	Trimming int // queues whose messages are held against what is read again
	Position event.Position
	// Attempts are the snapshots under way as far as they are decided: a crash takes no more
	// than what they lack. Nobody may change it.
	Attempts map[event.TableName]event.Attempt
}

// Status is a snapshot for people and metrics. Any goroutine may ask; it never waits.
func (p *Publisher) Status() PublisherStatus {
	s := *p.ck.shown.Load()
	s.Rows, s.Trimmed = p.stats.rows.Load(), p.stats.trimmed.Load()
	s.Bytes, s.Halves = p.stats.bytes.Load(), p.stats.halves.Load()
	return s
}

// Tables are those that the checkpoint knows, so that what their queues hold can be read
// while the source is away, or when it has them no longer. They come without schemas.
func (p *Publisher) Tables() []*event.Table {
	p.ck.mu.Lock()
	defer p.ck.mu.Unlock()
	if p.ck.state == nil {
		return nil
	}
	tables := make([]*event.Table, len(p.ck.state.Tables))
	for i, t := range p.ck.state.Tables {
		tables[i] = &event.Table{Name: event.TableName(t.Name), Queues: t.Queues, Keyless: t.Keyless}
	}
	return tables
}
