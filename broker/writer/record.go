package writer

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/message"
)

// decimal is a number that keeps its 64 bits in JSON: a string of digits.
type decimal uint64

func (d decimal) MarshalJSON() ([]byte, error) {
	return strconv.AppendQuote(nil, strconv.FormatUint(uint64(d), 10)), nil
}

func (d *decimal) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	n, err := strconv.ParseUint(s, 10, 64)
	*d = decimal(n)
	return err
}

// recordVersion is the format of Record; a higher one is refused.
const recordVersion = 1

// Record is what the log remembers of a writer: docs/format/writer.md. At its own place it
// names exactly the queues that have, or had, messages. The last message of one may be
// newer than it says: that message stands before the record, and stays in the log until a
// record that names it stands behind.
type Record struct {
	Version int           `json:"v"`
	Writer  string        `json:"writer"`
	Term    decimal       `json:"term"`
	Opener  string        `json:"opener"`
	Queues  []RecordQueue `json:"queues"`
	Base    *RecordBase   `json:"base,omitempty"`
	// Since is a place in the log before which the record knows everything.
	Since int64 `json:"since"`
	// At is the record's own place; snapshots say it, records do not need to.
	At int64 `json:"at,omitempty"`
}

// RecordQueue is the last message of one queue.
type RecordQueue struct {
	Topic   string  `json:"topic"`
	QueueID int32   `json:"queueId"`
	Hi      decimal `json:"hi"`
	To      string  `json:"to"`
	Offset  int64   `json:"offset"`
	Phys    int64   `json:"phys"`
	// Recorded is, in snapshots, the hi that the newest record in the log says.
	Recorded decimal `json:"recorded,omitempty"`
}

// RecordBase is the newest message with property mr_base.
type RecordBase struct {
	Topic   string `json:"topic"`
	QueueID int32  `json:"queueId"`
	Offset  int64  `json:"offset"`
	Phys    int64  `json:"phys"`
}

// recordLocked describes w as it is now.
func (w *state) recordLocked() Record {
	rec := Record{Version: recordVersion, Writer: w.name, Term: decimal(w.term), Opener: w.opener, Queues: []RecordQueue{}}
	for _, q := range sortedQueues(w) {
		if q.hi == 0 {
			continue
		}
		rec.Queues = append(rec.Queues, RecordQueue{Topic: q.id.Topic, QueueID: q.id.ID,
			Hi: decimal(q.hi), To: q.to, Offset: q.offset, Phys: q.phys})
	}
	if b := w.base; b.offset >= 0 {
		rec.Base = &RecordBase{Topic: b.topic, QueueID: b.queueID, Offset: b.offset, Phys: b.phys}
	}
	return rec
}

func (rec *Record) message() *message.Record {
	body, err := json.Marshal(rec)
	if err != nil {
		panic("BUG: a writer's record does not marshal: " + err.Error())
	}
	return &message.Record{
		Topic:      Topic,
		Body:       body,
		Properties: message.AppendProperty(nil, message.PropertyKeys, rec.Writer),
	}
}

// ParseRecord reads a record's body.
func ParseRecord(body []byte) (Record, error) {
	var rec Record
	if err := json.Unmarshal(body, &rec); err != nil {
		return Record{}, fmt.Errorf("writer record: %w", err)
	}
	if rec.Version != recordVersion {
		return Record{}, fmt.Errorf("writer record has version %d, this program reads %d", rec.Version, recordVersion)
	}
	if rec.Writer == "" || rec.Term == 0 {
		return Record{}, fmt.Errorf("writer record names writer %q and term %d", rec.Writer, rec.Term)
	}
	return rec, nil
}

func (r *Registry) applyRecord(body []byte, phys int64) error {
	rec, err := ParseRecord(body)
	if err != nil {
		return fmt.Errorf("at %d of the log: %w", phys, err)
	}
	rec.At = phys
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.writerLocked(rec.Writer)
	if phys <= w.openAt {
		return nil
	}
	w.loadLocked(&rec, func(q *RecordQueue) uint64 { return uint64(q.Hi) })
	return nil
}

// loadLocked replaces what is known by what rec says, except for queues that moved on
// behind it.
func (w *state) loadLocked(rec *Record, recorded func(*RecordQueue) uint64) {
	old := w.queues
	w.term, w.opener, w.openAt = max(w.term, uint64(rec.Term)), rec.Opener, rec.At
	w.queues = map[store.QueueID]*queue{}
	for i := range rec.Queues {
		rq := &rec.Queues[i]
		id := store.QueueID{Topic: rq.Topic, ID: rq.QueueID}
		q := old[id]
		if q == nil {
			q = &queue{id: id, owner: w, offset: -1, phys: -1}
		}
		delete(old, id)
		if uint64(rq.Hi) > q.hi {
			q.hi, q.to, q.offset, q.phys = uint64(rq.Hi), rq.To, rq.Offset, rq.Phys
		}
		q.recorded = recorded(rq)
		w.queues[id] = q
	}
	for id, q := range old {
		if q.hi == 0 || q.phys > rec.At {
			w.queues[id] = q // empty, or begun behind the record
		} else {
			q.forgotten = true
		}
	}
	w.loadBaseLocked(rec)
	w.members++
}

// loadBaseLocked takes the record's base unless a newer one is known. Without one, a base
// in a queue that the record does not know is forgotten.
func (w *state) loadBaseLocked(rec *Record) {
	if b := rec.Base; b != nil {
		if b.Phys > w.base.phys {
			w.base = base{topic: b.Topic, queueID: b.QueueID, offset: b.Offset, phys: b.Phys}
		}
		return
	}
	if _, ok := w.queues[store.QueueID{Topic: w.base.topic, ID: w.base.queueID}]; !ok {
		w.base = noBase
	}
}

// Snapshot describes all writers as they are now.
func (r *Registry) Snapshot() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	recs := make([]Record, 0, len(r.writers))
	for _, w := range r.writers {
		if w.term == 0 {
			continue
		}
		rec := w.recordLocked()
		rec.At = w.openAt
		for i := range rec.Queues {
			q := &rec.Queues[i]
			q.Recorded = decimal(w.queues[store.QueueID{Topic: q.Topic, ID: q.QueueID}].recorded)
		}
		recs = append(recs, rec)
	}
	return recs
}

// Load takes over a snapshot. Call it on an empty registry.
func (r *Registry) Load(recs []Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range recs {
		w := r.writerLocked(recs[i].Writer)
		w.loadLocked(&recs[i], func(q *RecordQueue) uint64 { return uint64(q.Recorded) })
	}
}
