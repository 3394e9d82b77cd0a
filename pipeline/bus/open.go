package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
)

// Open fences every older publisher, reads what is true, settles what was left undecided
// and says where the source goes on (delivery S1, S6, S7). Run must follow: it owns what
// Open started.
func (p *Publisher) Open(ctx context.Context) (pipeline.Resume, error) {
	ctx, done := p.within(ctx)
	defer done()
	r, err := p.open(ctx)
	if err != nil {
		err = why(ctx, err)
		p.shut(context.WithoutCancel(ctx))
		return pipeline.Resume{}, p.wrap("open", err)
	}
	return r, nil
}

func (p *Publisher) open(ctx context.Context) (pipeline.Resume, error) {
	var err error
	if p.d, err = p.connect(ctx); err != nil {
		return pipeline.Resume{}, err
	}
	if err := p.makeOwnTopics(ctx); err != nil {
		return pipeline.Resume{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fitMessages()
	p.ck.mu.Lock()
	defer p.ck.unlock()
	var early *checkpointRead
	if seeded.On(seeded.OpenAfterRead) {
		if early, err = p.ck.read(ctx, -1); err != nil {
			return pipeline.Resume{}, err
		}
	}
	// (1) The fence, and then the record that closes every lower term. (2) Only then the
	// records are read: nothing can be added behind our back any more.
	now, err := p.fence(ctx)
	if err != nil {
		return pipeline.Resume{}, err
	}
	opened, err := p.ck.appendLocked(ctx, &checkpoint.Record{Type: checkpoint.TypeOpen}, map[string]string{message.PropertyTags: "mark"})
	if err != nil {
		return pipeline.Resume{}, err
	}
	now.ends[p.ck.q] = opened + 1
	if err := p.awaitReadable(ctx, now); err != nil {
		return pipeline.Resume{}, err
	}
	read, err := p.ck.read(ctx, now.baseOffset)
	if err != nil {
		return pipeline.Resume{}, err
	}
	if early != nil {
		read.log = early.log
	}
	if err := p.loadSchemas(ctx); err != nil {
		return pipeline.Resume{}, err
	}
	s := settling{p: p, read: read, now: now}
	if p.ck.state, err = s.run(ctx); err != nil {
		return pipeline.Resume{}, err
	}
	p.ck.valid, p.ck.base = read.log.LastValid, read.log.NewestBase
	if err := p.ck.writeBaseLocked(ctx); err != nil {
		return pipeline.Resume{}, err
	}
	if err := p.awaitReadable(ctx, now); err != nil { // what was committed now
		return pipeline.Resume{}, err
	}
	p.relive()
	if err := p.takeUp(ctx, now); err != nil {
		return pipeline.Resume{}, err
	}
	p.firstWaterLocked()
	st := p.ck.state
	p.log.Info("publisher opened", slog.Uint64("term", p.term), slog.Int("epoch", int(st.Epoch)), slog.Uint64("group", st.N),
		slog.String("file", st.Position.File), slog.Uint64("pos", st.Position.Pos), slog.Int("due", len(st.Due)),
		slog.Int("trimming", len(p.trims)))
	return p.resumeLocked(), nil
}

// fitMessages keeps messages below what the broker takes.
func (p *Publisher) fitMessages() {
	limit := p.d.maxMessage
	def(&limit, 4<<20)
	def(&p.cfg.MaxMessage, limit)
	p.cfg.SliceBytes = min(p.cfg.SliceBytes, p.cfg.MaxMessage-sliceOverhead)
}

// makeOwnTopics makes the topics that every pipeline has.
func (p *Publisher) makeOwnTopics(ctx context.Context) error {
	for topic, writer := range map[string]string{
		event.CheckpointTopic(p.cfg.Pipeline): p.cfg.Pipeline,
		event.SchemaTopic(p.cfg.Pipeline):     p.cfg.Pipeline,
		event.ControlTopic(p.cfg.Pipeline):    event.ControlTopic(p.cfg.Pipeline),
	} {
		err := p.d.topics.CreateTopic(ctx, admin.TopicConfig{
			Name: topic, Queues: 1, Attributes: map[string]string{admin.AttributeWriter: writer},
		}, p.cfg.Broker)
		if err != nil {
			return fmt.Errorf("topic %s: %w", topic, err)
		}
	}
	return nil
}

// brokerState is what is true at the broker once every lower term is fenced.
type brokerState struct {
	last       map[checkpoint.Queue]queueEnd // data queues
	ends       map[message.Queue]int64       // offset behind the last message of each queue
	halves     []client.Half
	baseOffset int64
}

type queueEnd struct {
	hi event.Seq
	to string
}

// fence takes the writer under a term above every one known.
func (p *Publisher) fence(ctx context.Context) (*brokerState, error) {
	p.opener = rand.Text()
	term := p.term + 1
	for {
		st, err := p.d.writer.Open(ctx, p.cfg.Broker, term, p.opener)
		var stale *client.StaleError
		if errors.As(err, &stale) {
			term = stale.Known + 1
			continue
		}
		if err != nil {
			return nil, err
		}
		p.term = term
		return p.splitState(st), nil
	}
}

// splitState tells the data queues from the pipeline's own.
func (p *Publisher) splitState(st client.WriterState) *brokerState {
	now := &brokerState{last: map[checkpoint.Queue]queueEnd{}, ends: map[message.Queue]int64{}, halves: st.Halves, baseOffset: -1}
	if st.BaseTopic == p.ck.q.Topic {
		now.baseOffset = st.BaseOffset
	}
	for _, q := range st.Queues {
		now.ends[q.Queue] = q.Max
		switch q.Queue.Topic {
		case p.ck.q.Topic:
			p.ck.last = q.Hi
		case event.SchemaTopic(p.cfg.Pipeline):
			p.schemas.last = q.Hi
		default:
			now.last[p.queueOf(q.Queue)] = queueEnd{hi: event.Seq(q.Hi), to: q.To}
		}
	}
	return now
}

// awaitReadable waits until everything that the broker told of can be read.
func (p *Publisher) awaitReadable(ctx context.Context, now *brokerState) error {
	for q, end := range now.ends {
		if end <= 0 {
			continue
		}
		if err := readable(ctx, p.d.reader, q, end); err != nil {
			return err
		}
	}
	return nil
}

// checkpointRead is a stretch of the checkpoint queue, judged.
type checkpointRead struct {
	log      *checkpoint.Log
	messages []checkpoint.Message
	first    int64 // offset of the first of them
	whole    bool  // they begin with the queue's first message
}

// read reads the checkpoint queue from the Base that ends at an offset, or from its first
// message (-1).
func (l *checkpointLog) read(ctx context.Context, base int64) (*checkpointRead, error) {
	least, end, err := bounds(ctx, l.p.d.reader, l.q)
	if err != nil {
		return nil, err
	}
	from := least
	if base >= least && base < end {
		last, err := l.pull(ctx, base, base+1)
		if err != nil {
			return nil, err
		}
		if r := last[0].Record; r.Type == checkpoint.TypeBase {
			from = max(least, base-int64(r.Part.Index))
		}
	}
	return l.readFrom(ctx, from, end, least == 0 && from == 0)
}

func (l *checkpointLog) readFrom(ctx context.Context, from, end int64, whole bool) (*checkpointRead, error) {
	messages, err := l.pull(ctx, from, end)
	if err != nil {
		return nil, err
	}
	r := &checkpointRead{messages: messages, first: from, whole: whole}
	r.log, err = checkpoint.ReadLog(messages, whole)
	if errors.Is(err, checkpoint.ErrNoBase) { // all that the queue told has aged out (S7)
		l.p.log.Warn("the checkpoint queue holds no whole base: starting over above every number seen",
			slog.Int64("from", from), slog.Int64("end", end))
		r.log, err = checkpoint.ReadLog(nil, true)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint of pipeline %s: %w", l.p.cfg.Pipeline, err)
	}
	return r, nil
}

func (l *checkpointLog) pull(ctx context.Context, from, end int64) ([]checkpoint.Message, error) {
	var out []checkpoint.Message
	for from < end {
		got, err := l.p.d.reader.Pull(ctx, l.q, from, client.PullOptions{MaxMsgs: 64, MaxBytes: 4 << 20})
		if err != nil {
			return nil, fmt.Errorf("read %s at offset %d: %w", queueText(l.q), from, err)
		}
		if len(got.Messages) == 0 {
			return nil, fmt.Errorf("read %s: the broker has no message at offset %d of %d", queueText(l.q), from, end)
		}
		for i := range got.Messages {
			m := &got.Messages[i]
			if m.QueueOffset >= end {
				break
			}
			r, err := checkpoint.Decode(m.Body)
			if err != nil {
				return nil, fmt.Errorf("message at offset %d of %s: %w", m.QueueOffset, queueText(l.q), err)
			}
			out = append(out, checkpoint.Message{Offset: m.QueueOffset, Record: r})
			from = m.QueueOffset + 1
		}
	}
	return out, nil
}

// loadSchemas reads what the schema topic holds.
func (p *Publisher) loadSchemas(ctx context.Context) error {
	s := NewSchemas(p.d.reader, p.cfg.Pipeline, p.cfg.Broker)
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	p.schemas.known = s.known
	return nil
}

// takeUp makes the publishing state out of the settled one. Where a queue that the records
// have forgotten ends only the broker knows: a table that is made again under its name goes
// on behind that.
func (p *Publisher) takeUp(ctx context.Context, now *brokerState) error {
	st := p.ck.state
	p.pos, p.openTx = st.Position, st.OpenTx
	for i := range st.Queues {
		s := &st.Queues[i]
		q := &queueState{key: s.Queue, last: s.Last, to: s.To, txAt: -1}
		if s.TrimUpto != 0 {
			t, err := readTrim(ctx, p.d.reader, publisherQueue(s.Queue), s.TrimFrom, s.TrimUpto)
			if err != nil {
				return err
			}
			if q.trim = t; len(t.ids) > 0 {
				p.trims[q] = struct{}{}
			} else {
				q.trim = nil
			}
		}
		p.queues[s.Queue] = q
	}
	for key, end := range now.last {
		if p.queues[key] == nil && end.hi != 0 {
			p.queues[key] = &queueState{key: key, last: end.hi, to: identityOf(end.to), txAt: -1}
		}
	}
	for _, t := range st.Live() {
		name := event.TableName(t.Name)
		p.topics[t.Topic] = name
		if _, there := now.ends[message.Queue{Topic: t.Topic, BrokerName: p.cfg.Broker}]; !there {
			p.lacking[t.Topic] = true
		}
		s, err := p.table(ctx, &event.Table{Name: name, Queues: t.Queues})
		if err != nil {
			return err
		}
		s.fresh = false
		// A slice can hold no more than the end of a transaction whose rows were sent before
		// the opening: its readers need the schema all the same.
		s.table.Schema = p.schemas.known[t.Schema]
		s.paused = p.cfg.Life.Of(name).Halted()
		for _, a := range st.Tries {
			if a.Table == t.Name {
				s.attempt = a
			}
		}
	}
	return nil
}
