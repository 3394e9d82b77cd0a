package pipelinetest

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Packed is what a script's log, with one snapshot of each table, is for the sinks: the
// messages of each queue, and the schemas that they name. It implements
// pipeline.SchemaReader.
type Packed struct {
	Queues  map[pipeline.QueueID][]*event.Slice
	Order   []pipeline.QueueID
	schemas map[event.SchemaID]*event.Schema
	open    map[pipeline.QueueID]*event.SliceBuilder
	head    map[pipeline.QueueID]*event.Slice
	tx      map[pipeline.QueueID]int
	rows    map[pipeline.QueueID]uint64
}

// Schema implements pipeline.SchemaReader.
func (p *Packed) Schema(_ context.Context, id event.SchemaID) (*event.Schema, error) {
	if s := p.schemas[id]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("no message has the schema %s", id)
}

// Pack reads a script to its end, with a snapshot of each table beside the stream. Each
// transaction, chunk and mark is a message of its own in each queue that it touches.
func Pack(ctx context.Context, s *Script) (*Packed, error) {
	p := &Packed{
		Queues: map[pipeline.QueueID][]*event.Slice{}, schemas: map[event.SchemaID]*event.Schema{},
		open: map[pipeline.QueueID]*event.SliceBuilder{},
		head: map[pipeline.QueueID]*event.Slice{}, tx: map[pipeline.QueueID]int{}, rows: map[pipeline.QueueID]uint64{},
	}
	src := NewSource(s, SourceConfig{})
	opened, err := src.Open(ctx, pipeline.Resume{Epoch: 1})
	if err != nil {
		return nil, err
	}
	src.RequestSnapshot(s.Names(), "conformance")
	for _, t := range opened.Tables {
		for i := range t.Queues {
			p.Order = append(p.Order, queueOf(t, i))
		}
	}
	for ends := 0; ends < len(s.Names()) || src.at < s.Len(); {
		items, err := src.Next(ctx)
		if err != nil {
			return nil, err
		}
		for i := range items {
			if err := p.add(&items[i]); err != nil {
				return nil, err
			}
			if items[i].Kind == event.KindEnd {
				ends++
			}
		}
	}
	return p, nil
}

func queueOf(t *event.Table, n int) pipeline.QueueID {
	return pipeline.QueueID{Broker: "b", Topic: event.TopicName("p", t.Name), Queue: n}
}

func (p *Packed) last(q pipeline.QueueID) event.Seq {
	if n := len(p.Queues[q]); n > 0 {
		return p.Queues[q][n-1].Hi
	}
	return 0
}

func (p *Packed) add(it *event.Item) error {
	switch it.Kind {
	case event.KindRow:
		return p.addRow(it)
	case event.KindCommit, event.KindChunkEnd:
		return p.flush(it)
	case event.KindDDL, event.KindTruncate, event.KindBegin, event.KindEnd:
		p.addMark(it)
	}
	return nil
}

func (p *Packed) addRow(it *event.Item) error {
	t := it.Table
	p.schemas[t.Schema.ID] = t.Schema
	img := it.After
	if img == nil {
		img = it.Before
	}
	hash, err := event.KeyHash(img, t.Schema, t.KeyColumns)
	if err != nil {
		return err
	}
	q := queueOf(t, event.QueueOf(hash, t.Queues))
	id := it.Identity()
	if p.open[q] == nil {
		p.open[q] = new(event.SliceBuilder)
		p.head[q] = &event.Slice{Kind: event.KindRow, Table: t.Name, Schema: t.Schema.ID, Lo: it.Seq, Prev: p.last(q), From: id}
		p.tx[q], p.rows[q] = p.open[q].Tx(it.Tx.ID, it.Tx.CommitTime), 0
	}
	p.open[q].Row(p.tx[q], it.Op, it.Part, it.Index, it.Seq, it.Before, it.After)
	p.head[q].Hi, p.head[q].To = it.Seq, id
	p.rows[q]++
	return nil
}

// flush ends the messages of a transaction or chunk.
func (p *Packed) flush(it *event.Item) error {
	for _, q := range p.Order {
		b, head := p.open[q], p.head[q]
		if b == nil {
			continue
		}
		if it.Kind == event.KindCommit {
			b.End(p.tx[q], it.Seq, p.rows[q], p.rows[q])
			head.Hi, head.To = it.Seq, event.TxEndIdentity(it.Tx.ID)
		}
		body, err := b.Append(nil, head)
		if err != nil {
			return err
		}
		s := new(event.Slice)
		if err := event.ParseSlice(body, s); err != nil {
			return err
		}
		p.Queues[q] = append(p.Queues[q], s)
		delete(p.open, q)
	}
	return nil
}

func (p *Packed) addMark(it *event.Item) {
	t, id := it.Table, it.Identity()
	p.schemas[t.Schema.ID] = t.Schema
	m := &event.Mark{Seq: it.Seq, ID: id, Queues: t.Queues, Schema: t.Schema.ID}
	if it.Tx != nil {
		m.Time = it.Tx.CommitTime
	}
	switch it.Kind {
	case event.KindDDL:
		m.SQL, m.Old = it.DDL.SQL, it.DDL.Old.ID
	case event.KindBegin:
		m.Attempt = it.Seq
	case event.KindEnd:
		m.Attempt = it.Attempt.Begin
	}
	for i := range t.Queues {
		q := queueOf(t, i)
		p.Queues[q] = append(p.Queues[q], &event.Slice{
			Kind: it.Kind, Table: t.Name, Schema: t.Schema.ID, Lo: it.Seq, Hi: it.Seq, Prev: p.last(q), From: id, To: id, Mark: m,
		})
	}
}
