package checkpoint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
)

// State is what the valid records up to one of them add up to. A Base holds one.
type State struct {
	// N is the last decided group, Resolved the last one known to be visible as a whole.
	N        uint64   `json:"n,string"`
	Resolved uint64   `json:"resolved,string"`
	Position Position `json:"position"`
	// Epoch is in force for new numbers; it may be above Position.Epoch.
	Epoch  uint16            `json:"epoch"`
	Tables []Table           `json:"tables,omitempty"`
	Queues []QueueState      `json:"queues,omitempty"`
	Groups []Group           `json:"groups,omitempty"` // decided, not known to be resolved
	Tries  []Attempt         `json:"attempts,omitempty"`
	Due    []Due             `json:"due,omitempty"`
	Taken  []Reservation     `json:"reserved,omitempty"` // at or behind Position
	Paused []Paused          `json:"paused,omitempty"`
	OpenTx *OpenTx           `json:"open_tx,omitempty"`
	Config json.RawMessage   `json:"config,omitempty"`
	Mode   string            `json:"mode,omitempty"` // transactional | direct
	Other  map[string]string `json:"other,omitempty"`
	// Route rises whenever any table's route changes.
	Route int `json:"route"`
	// Forgotten is the highest number of a queue that Forget has taken out: one that is not in
	// Queues and ends at or below it is no riddle.
	Forgotten event.Seq `json:"forgotten,string,omitempty"`
	// SchemasAt is when the live schemas were last written anew, in seconds since 1970.
	SchemasAt int64 `json:"schemas_at,omitempty"`
	// PrevBase is the offset of the last message of the Base before this one; -1 = none.
	PrevBase int64 `json:"prev_base"`

	places map[Queue]int // where a queue is in Queues; made when there are many
	tried  uint64
}

// QueueState is the last message that the records put into a queue, visible or not.
type QueueState struct {
	Queue Queue          `json:"q"`
	Last  event.Seq      `json:"last,string"`
	To    event.Identity `json:"to"`
	// TrimFrom and TrimUpto: see Trim; TrimUpto is 0 when nothing is trimmed.
	TrimFrom event.Seq `json:"trim_from,string,omitempty"`
	TrimUpto event.Seq `json:"trim_upto,string,omitempty"`
}

// NewState is the state of a pipeline that has no record.
func NewState() *State { return &State{PrevBase: -1, Mode: "transactional"} }

// Clone is a copy that shares nothing that Apply changes.
func (s *State) Clone() *State {
	c := *s
	c.Tables, c.Queues, c.Groups = slices.Clone(s.Tables), slices.Clone(s.Queues), slices.Clone(s.Groups)
	c.Tries, c.Due, c.Taken = slices.Clone(s.Tries), slices.Clone(s.Due), slices.Clone(s.Taken)
	c.Paused, c.Other, c.places = slices.Clone(s.Paused), maps.Clone(s.Other), nil
	return &c
}

// Apply adds a valid group to the state.
func (s *State) Apply(g *Group) error {
	if g.N != s.N+1 {
		return fmt.Errorf("%w: group %d behind group %d", ErrMalformed, g.N, s.N)
	}
	s.N, s.Position, s.OpenTx = g.N, g.To, g.OpenTx
	s.Epoch = max(s.Epoch, g.To.Epoch)
	s.applyQueues(g)
	s.applyAttempts(g)
	s.applyTables(g)
	s.Groups = append(s.Groups, *g)
	s.SetResolved(g.Resolved)
	return nil
}

func (s *State) applyQueues(g *Group) {
	for _, h := range g.Halves {
		q := s.Queue(h.Queue)
		q.Last, q.To = h.Hi, h.To
	}
	for i := range s.Queues {
		s.Queues[i].TrimFrom, s.Queues[i].TrimUpto = 0, 0
	}
	for _, t := range g.Trim {
		q := s.Queue(t.Queue)
		q.TrimFrom, q.TrimUpto = t.From, t.Upto
	}
	s.Taken = append(s.Taken, g.Reserved...)
	s.dropPassed()
}

// dropPassed forgets reservations that no reader from Position on meets.
func (s *State) dropPassed() {
	at := s.Position
	s.Taken = slices.DeleteFunc(s.Taken, func(r Reservation) bool {
		return r.Epoch < at.Epoch || r.Epoch == at.Epoch && r.At < at.Counter
	})
}

// Tried rises whenever Tries changes.
func (s *State) Tried() uint64 { return s.tried }

func (s *State) applyAttempts(g *Group) {
	for _, a := range g.Attempts {
		s.endAttempt(a.Table)
		s.Tries = append(s.Tries, a)
		s.tried++
	}
	for _, t := range g.Ended {
		s.endAttempt(t)
	}
	for _, d := range g.Due {
		s.SetDue(d.Table, d.Cause)
	}
}

func (s *State) endAttempt(t TableName) {
	n := len(s.Tries)
	if s.Tries = slices.DeleteFunc(s.Tries, func(a Attempt) bool { return a.Table == t }); len(s.Tries) != n {
		s.tried++
	}
	s.Due = slices.DeleteFunc(s.Due, func(d Due) bool { return d.Table == t })
}

// SetDue makes an attempt due. One in progress is given up.
func (s *State) SetDue(t TableName, cause string) {
	s.endAttempt(t)
	s.Due = append(s.Due, Due{Table: t, Cause: cause})
}

func (s *State) applyTables(g *Group) {
	for _, t := range g.Tables {
		s.SetTable(t)
	}
	for _, t := range g.Dropped {
		if i := slices.IndexFunc(s.Tables, func(x Table) bool { return x.Name == t }); i >= 0 {
			s.Tables[i].Gone = true
		}
		s.endAttempt(t)
	}
	for _, p := range g.Paused {
		s.Resume(p.Table)
		s.Paused = append(s.Paused, p)
	}
	for _, t := range g.Resumed {
		s.Resume(t)
	}
}

// SetTable adds a table or replaces what is known of it.
func (s *State) SetTable(t Table) {
	if i := slices.IndexFunc(s.Tables, func(x Table) bool { return x.Name == t.Name }); i >= 0 {
		s.Tables[i] = t
		return
	}
	s.Tables = append(s.Tables, t)
}

// Forget takes a table out, with its queues, its pause and an attempt that is due. Whoever
// asks has seen that nothing of it can be needed: the source has it no longer or nobody wants
// it, and no message of its queues is left to be read. It does not go while a group that is
// not known to be visible speaks of it.
func (s *State) Forget(t TableName) bool {
	at := slices.IndexFunc(s.Tables, func(x Table) bool { return x.Name == t })
	row := Table{Name: t}
	if at >= 0 {
		row = s.Tables[at]
	}
	if slices.ContainsFunc(s.Groups, func(g Group) bool { return g.concerns(&row) }) {
		return false
	}
	if at >= 0 {
		s.Tables = slices.Delete(s.Tables, at, at+1)
	}
	s.Queues = slices.DeleteFunc(s.Queues, func(q QueueState) bool {
		if q.Queue.Topic != row.Topic {
			return false
		}
		s.Forgotten = max(s.Forgotten, q.Last)
		return true
	})
	s.places = nil
	s.endAttempt(t)
	s.Resume(t)
	return true
}

// Forgot reports whether a queue that ends with a number is one that Forget has taken out.
func (s *State) Forgot(q Queue, last event.Seq) bool { return last <= s.Forgotten && s.place(q) < 0 }

// concerns reports whether a group has messages in a table's queues, or speaks of it.
func (g *Group) concerns(t *Table) bool {
	return slices.ContainsFunc(g.Halves, func(h Half) bool { return h.Queue.Topic == t.Topic }) || slices.Contains(g.Dropped, t.Name)
}

// Live are the tables that the source has.
func (s *State) Live() []Table {
	return slices.DeleteFunc(slices.Clone(s.Tables), func(t Table) bool { return t.Gone })
}

// Table is what is known of a table that the source has.
func (s *State) Table(t TableName) (Table, bool) {
	i := slices.IndexFunc(s.Tables, func(x Table) bool { return x.Name == t && !x.Gone })
	if i < 0 {
		return Table{}, false
	}
	return s.Tables[i], true
}

// Resume ends a table's pause.
func (s *State) Resume(t TableName) {
	s.Paused = slices.DeleteFunc(s.Paused, func(p Paused) bool { return p.Table == t })
}

// Queue is the state of a queue, made when it is new. The pointer is good until another
// queue is made.
func (s *State) Queue(q Queue) *QueueState {
	if i := s.place(q); i >= 0 {
		return &s.Queues[i]
	}
	s.Queues = append(s.Queues, QueueState{Queue: q})
	if s.places != nil {
		s.places[q] = len(s.Queues) - 1
	}
	return &s.Queues[len(s.Queues)-1]
}

// Last is the last number that the records gave a queue; 0 = none.
func (s *State) Last(q Queue) event.Seq {
	if i := s.place(q); i >= 0 {
		return s.Queues[i].Last
	}
	return 0
}

// place finds a queue in Queues; -1 = not there.
func (s *State) place(q Queue) int {
	const few = 32
	if len(s.Queues) <= few {
		return slices.IndexFunc(s.Queues, func(x QueueState) bool { return x.Queue == q })
	}
	if s.places == nil {
		s.places = make(map[Queue]int, len(s.Queues))
		for i := range s.Queues {
			s.places[s.Queues[i].Queue] = i
		}
	}
	if i, ok := s.places[q]; ok {
		return i
	}
	return -1
}

// SetResolved says that every group up to n is visible.
func (s *State) SetResolved(n uint64) {
	s.Resolved = max(s.Resolved, n)
	s.Groups = slices.DeleteFunc(s.Groups, func(g Group) bool { return g.N <= s.Resolved })
}

// ResolvedPosition is the position up to which everything is visible.
func (s *State) ResolvedPosition() Position {
	if len(s.Groups) > 0 {
		return s.Groups[0].From
	}
	return s.Position
}
