package bus

import "github.com/millrace/millrace/pipeline/event"

// shown is what the records said when their lock was last released. The lock is held while
// the broker is asked, for as long as it is away, and whoever looks at a pipeline then
// wants to see just that: he never waits.
type shown struct {
	status   PublisherStatus
	progress map[event.TableName]event.Attempt
	held     map[event.TableName]event.PauseReason
}

// unlock releases the lock and shows the state.
func (l *checkpointLog) unlock() {
	l.shown.Store(l.lookLocked())
	l.mu.Unlock()
}

func (l *checkpointLog) lookLocked() *shown {
	out := &shown{status: PublisherStatus{Term: l.p.term}, held: l.held}
	st := l.state
	if st == nil {
		return out
	}
	s := &out.status
	s.Epoch, s.Group, s.Resolved, s.Position = st.Epoch, st.N, st.Resolved, event.Position(st.Position)
	for i := range st.Queues {
		if st.Queues[i].TrimUpto != 0 {
			s.Trimming++
		}
	}
	out.progress = make(map[event.TableName]event.Attempt, len(st.Due)+len(st.Tries))
	for _, d := range st.Due {
		out.progress[event.TableName(d.Table)] = event.Attempt{Table: event.TableName(d.Table), Cause: d.Cause}
	}
	for _, a := range st.Tries {
		out.progress[event.TableName(a.Table)] = event.Attempt{
			Table: event.TableName(a.Table), Begin: a.Begin, Chunk: a.Chunk, Rows: a.Rows, Estimate: a.Estimate, Cause: a.Cause,
		}
	}
	return out
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
}

// Status is a snapshot for people and metrics. Any goroutine may ask; it never waits.
func (p *Publisher) Status() PublisherStatus {
	s := p.ck.shown.Load().status
	s.Rows, s.Trimmed = p.stats.rows.Load(), p.stats.trimmed.Load()
	s.Bytes, s.Halves = p.stats.bytes.Load(), p.stats.halves.Load()
	return s
}

// Progress is how far the attempts are by what is decided: what a restart would find. Due
// tables have an attempt without BEGIN. Any goroutine may ask; it never waits. The map is
// not to be changed.
func (p *Publisher) Progress() map[event.TableName]event.Attempt { return p.ck.shown.Load().progress }

// Tables are those that the checkpoint knows, so that what their queues hold can be read
// while the source is away. They come without schemas.
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
