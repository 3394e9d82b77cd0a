package bus

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

// findings are violations of the invariants of delivery §8.
type findings struct {
	lost loss
	errs []error
}

func (f *findings) add(format string, a ...any) { f.errs = append(f.errs, fmt.Errorf(format, a...)) }

// check reads everything that the twin holds and says what is wrong with it, once a
// script was published to its end.
func check(t *twin, s *script, pipelineName string) error {
	return checkAfter(t, s, pipelineName, nothingLost)
}

// loss says what may not be asked for after a broker lost something.
type loss int

const (
	nothingLost  loss = iota
	recordsLost       // a visible message need not be listed
	positionLost      // nor need the stream be whole: a snapshot stands for it
)

func checkAfter(t *twin, s *script, pipelineName string, lost loss) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &findings{lost: lost}
	listed := f.records(t, pipelineName)
	for _, table := range s.tables {
		f.table(t, s, pipelineName, table, listed)
	}
	return errors.Join(f.errs...)
}

type listing struct {
	q  checkpoint.Queue
	hi event.Seq
}

// records reads the checkpoint queue from its first message and returns what valid groups
// list.
func (f *findings) records(t *twin, pipelineName string) map[listing]uint64 {
	q := message.Queue{Topic: event.CheckpointTopic(pipelineName), BrokerName: "b"}
	var messages []checkpoint.Message
	for i, m := range t.queueLocked(q).messages {
		r, err := checkpoint.Decode(m.m.Body)
		if err != nil {
			f.add("record at %d: %w", i, err)
			continue
		}
		messages = append(messages, checkpoint.Message{Offset: int64(i), Record: r})
	}
	log, err := checkpoint.ReadLog(messages, true)
	if err != nil {
		f.add("checkpoint: %w", err)
		return nil
	}
	if _, err := log.State(); err != nil {
		f.add("checkpoint: %w", err)
	}
	listed := map[listing]uint64{}
	for _, g := range log.Groups {
		for _, h := range g.Halves {
			listed[listing{h.Queue, h.Hi}] = g.N
		}
	}
	return listed
}

// seen is what one table's queues hold.
type seen struct {
	rows    map[event.Identity]int // stream rows: their queue
	ends    map[event.Identity]map[int]event.SliceTx
	touched map[string]map[int]uint64 // transaction → queue → rows
	marks   map[event.Identity]map[int]bool
	changes []change
	below   map[int]map[event.Seq]event.Seq // queue → END's number → BEGIN
}

type change struct {
	seq  event.Seq
	row  event.Row
	as   event.SchemaID
	mark *event.Slice
	q    int
}

func (f *findings) table(t *twin, s *script, pipelineName string, table event.TableName, listed map[listing]uint64) {
	h := seen{
		rows: map[event.Identity]int{}, ends: map[event.Identity]map[int]event.SliceTx{}, touched: map[string]map[int]uint64{},
		marks: map[event.Identity]map[int]bool{},
	}
	for i := range s.queues[table] {
		f.queue(t, &h, message.Queue{Topic: event.TopicName(pipelineName, table), BrokerName: "b", QueueID: int32(i)}, listed)
	}
	if f.lost < positionLost {
		f.identities(s, table, &h)
	}
	f.contents(s, table, &h)
}

// queue checks I1 and I3 of one queue and collects what it holds.
func (f *findings) queue(t *twin, h *seen, q message.Queue, listed map[listing]uint64) {
	var (
		last   event.Seq
		schema event.SchemaID
	)
	for i, m := range t.queueLocked(q).messages {
		sl := new(event.Slice)
		if err := event.ParseSlice(m.m.Body, sl); err != nil {
			f.add("%s at %d: %w", queueText(q), i, err)
			return
		}
		if sl.Prev != last || sl.Lo <= last {
			f.add("I1: %s at %d: %d to %d names %d, the one before is %d", queueText(q), i, sl.Lo, sl.Hi, sl.Prev, last)
		}
		if m.link.Lo != uint64(sl.Lo) || m.link.Hi != uint64(sl.Hi) || m.link.Prev != uint64(sl.Prev) || m.link.To != sl.To.String() ||
			m.link.From != sl.From.String() {
			f.add("%s at %d: the link %+v is not the slice's", queueText(q), i, m.link)
		}
		last = sl.Hi
		switch {
		case sl.Kind == event.KindDDL:
			schema = sl.Schema
		case schema.IsZero() || f.lost == positionLost:
			schema = sl.Schema
		case len(sl.Rows) > 0 && sl.Schema != schema:
			f.add("I11: %s at %d: rows under schema %s behind a definition to %s", queueText(q), i, sl.Schema, schema)
		}
		key := checkpoint.Queue{Broker: q.BrokerName, Topic: q.Topic, ID: int(q.QueueID)}
		if listed[listing{key, sl.Hi}] == 0 && f.lost < recordsLost {
			f.add("I3: %s at %d: no valid group lists %d to %d", queueText(q), i, sl.Lo, sl.Hi)
		}
		f.slice(h, int(q.QueueID), sl)
	}
}

func (f *findings) slice(h *seen, q int, sl *event.Slice) {
	if sl.Mark != nil {
		if h.marks[sl.Mark.ID] == nil {
			h.marks[sl.Mark.ID] = map[int]bool{}
		}
		if h.marks[sl.Mark.ID][q] {
			f.add("I2: mark %s is twice in queue %d", sl.Mark.ID, q)
		}
		h.marks[sl.Mark.ID][q] = true
		h.changes = append(h.changes, change{seq: sl.Lo, mark: sl, q: q})
		return
	}
	for _, row := range sl.Rows {
		id := event.Identity{Tx: sl.Txs[row.Tx].ID, Index: row.Index, Part: row.Part}
		if was, twice := h.rows[id]; twice {
			f.add("I2: row %s of %s is in queue %d and again in %d", id, sl.Table, was, q)
		}
		h.rows[id] = q
		if h.touched[id.Tx] == nil {
			h.touched[id.Tx] = map[int]uint64{}
		}
		h.touched[id.Tx][q]++
		h.changes = append(h.changes, change{seq: row.Seq, row: row, as: sl.Schema, q: q})
	}
	for _, tx := range sl.Txs {
		if !tx.End {
			continue
		}
		id := event.TxEndIdentity(tx.ID)
		if h.ends[id] == nil {
			h.ends[id] = map[int]event.SliceTx{}
		}
		if _, twice := h.ends[id][q]; twice {
			f.add("I2: END of %s is twice in queue %d", tx.ID, q)
		}
		h.ends[id][q] = tx
	}
}

// identities checks that every row of the log is there once, with END and its counts, and
// that every DDL and TRUNCATE is in every queue.
func (f *findings) identities(s *script, table event.TableName, h *seen) {
	stream := 0
	for _, tx := range s.txs {
		rows := uint64(0)
		for _, row := range tx.rows {
			if row.table != table {
				continue
			}
			rows++
			stream++
			if _, ok := h.rows[event.Identity{Tx: tx.id, Index: row.index, Part: row.part}]; !ok {
				f.add("I4: row %d of %s in %s is lost", row.index, tx.id, table)
			}
		}
		for q, n := range h.touched[tx.id] {
			end, ok := h.ends[event.TxEndIdentity(tx.id)][q]
			if !ok || end.QueueRows != n || end.TableRows != rows {
				f.add("END of %s in %s, queue %d: %+v, want %d of %d rows", tx.id, table, q, end, n, rows)
			}
		}
		if len(h.ends[event.TxEndIdentity(tx.id)]) != len(h.touched[tx.id]) {
			f.add("END of %s is in queues that the transaction did not touch", tx.id)
		}
		for kind, of := range map[uint8]*event.TableName{event.PartDDL: tx.ddl, event.PartTruncate: tx.truncate} {
			if of != nil && *of == table && len(h.marks[event.Identity{Tx: tx.id, Part: kind}]) != s.queues[table] {
				f.add("mark %s of %s is in %d of %d queues", tx.id, table, len(h.marks[event.Identity{Tx: tx.id, Part: kind}]), s.queues[table])
			}
		}
	}
	for id := range h.rows {
		if len(id.Tx) > 5 && id.Tx[:5] == "snap/" {
			continue
		}
		stream--
	}
	if stream != 0 && len(f.errs) == 0 {
		f.add("I2: %d rows too many or too few in %s", -stream, table)
	}
}

// contents folds what the queues hold as a sink would, and compares it with the source.
func (f *findings) contents(s *script, table event.TableName, h *seen) {
	slices.SortStableFunc(h.changes, func(a, b change) int { return int(int64(a.seq) - int64(b.seq)) })
	type version struct {
		seq  event.Seq
		text string
	}
	now := map[int64]version{}
	ends := map[event.Seq]int{}
	ended := false
	for _, c := range h.changes {
		if c.mark != nil {
			switch c.mark.Kind {
			case event.KindTruncate:
				clear(now)
			case event.KindEnd:
				if ends[c.seq]++; ends[c.seq] == s.queues[table] {
					maps.DeleteFunc(now, func(_ int64, v version) bool { return v.seq < c.mark.Mark.Attempt })
					ended = true
				}
			}
			continue
		}
		img := c.row.After
		if img == nil {
			img = c.row.Before
		}
		vals, err := event.Values(img, s.schemaByID(table, c.as), nil)
		if err != nil {
			f.add("I11: row %d of %s under schema %s: %w", c.seq, table, c.as, err)
			return
		}
		if c.row.Op == event.OpDelete {
			delete(now, vals[0].Int())
		} else {
			now[vals[0].Int()] = version{c.seq, vals[1].Text()}
		}
	}
	if !ended {
		f.add("no attempt of %s came to its end", table)
	}
	got := map[int64]string{}
	for k, v := range now {
		got[k] = v.text
	}
	if want := s.contents(len(s.txs))[table]; !maps.Equal(got, want) {
		f.add("I8: %s holds\n%v, the source\n%v", table, got, want)
	}
}

func (s *script) schemaByID(t event.TableName, id event.SchemaID) *event.Schema {
	for _, x := range s.schemas[t] {
		if x.ID == id {
			return x
		}
	}
	return scriptSchema(t, 0)
}
