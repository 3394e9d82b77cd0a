package bus

import (
	"context"
	"slices"
	"time"

	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// addMark puts a DDL, TRUNCATE, BEGIN or END into every queue of its table, in a group of
// its own. A statement that changes several tables has one number, hence one group.
func (p *Publisher) addMark(ctx context.Context, it *event.Item) error {
	s, err := p.table(ctx, it.Table)
	if err != nil {
		return err
	}
	if p.sameStatement(it) {
		return p.fillMark(ctx, p.cur, s, it)
	}
	if it.Kind == event.KindEnd {
		// Every chunk of the attempt is visible before END is built.
		if err := p.closeGroup(ctx); err != nil {
			return err
		}
		if err := p.drain(ctx); err != nil {
			return err
		}
	}
	kind := checkpoint.KindBarrier
	if it.Kind == event.KindDDL {
		kind = checkpoint.KindDDL
	}
	if err := p.closeGroup(ctx); err != nil {
		return err
	}
	g := p.group(kind)
	g.rec.Kind, g.changed = kind, true
	switch {
	case it.Commit != nil: // BEGIN and END take a number between two transactions
		g.first, g.last = it.Seq, it.Seq
		g.rec.To = checkpoint.Position(*it.Commit)
	case it.Seq.Counter() < it.Tx.Start.Counter: // so does a definition that was read anew
		g.first, g.last = it.Seq, it.Seq
		g.rec.To = checkpoint.Position(it.Tx.Start)
	default:
		g.sealed, g.start = true, it.Tx
		g.within, g.withSeq, g.withID = it.Tx, it.Seq, it.Identity()
	}
	if err := p.fillMark(ctx, g, s, it); err != nil {
		return err
	}
	if g.sealed {
		return nil
	}
	return p.closeGroup(ctx)
}

// sameStatement says that a mark belongs to the statement whose group is being built.
func (p *Publisher) sameStatement(it *event.Item) bool {
	g := p.cur
	return g != nil && g.sealed && (it.Kind == event.KindDDL || it.Kind == event.KindTruncate) && it.Seq == g.withSeq && it.Tx == g.within
}

// fillMark puts one table's mark into the group.
func (p *Publisher) fillMark(ctx context.Context, g *group, s *tableState, it *event.Item) error {
	if err := p.markSchema(ctx, s, it); err != nil {
		return err
	}
	mark := newMark(s, it)
	p.markRecord(g, s, it, mark)
	if s.paused {
		return nil
	}
	for _, q := range s.queues {
		if err := p.addMarkTo(g, q, it, mark); err != nil {
			return err
		}
	}
	return nil
}

// markSchema publishes the schema that comes with a mark.
func (p *Publisher) markSchema(ctx context.Context, s *tableState, it *event.Item) error {
	switch {
	case it.Kind == event.KindDDL && it.DDL.New == nil:
		return nil
	case it.Kind == event.KindDDL:
		s.fresh = false
		t := *it.Table
		t.Schema = it.DDL.New
		if it.Table.Schema == it.DDL.New {
			return p.useSchema(ctx, s, it.Table)
		}
		return p.useSchema(ctx, s, &t)
	default:
		if it.Kind == event.KindBegin {
			s.fresh = false
		}
		return p.useSchema(ctx, s, it.Table)
	}
}

func newMark(s *tableState, it *event.Item) *event.Mark {
	m := &event.Mark{Seq: it.Seq, ID: it.Identity(), Queues: len(s.queues), Time: time.UnixMicro(0).UTC()}
	switch {
	case it.Tx != nil:
		m.Time = it.Tx.CommitTime.UTC()
	case it.Commit != nil:
		m.Time = time.UnixMicro(it.Commit.Time).UTC()
	}
	if s.table.Schema != nil {
		m.Schema = s.table.Schema.ID
	}
	switch it.Kind {
	case event.KindDDL:
		m.SQL, m.Due = it.DDL.SQL, it.DDL.Due
		if it.DDL.Old != nil {
			m.Old = it.DDL.Old.ID
		}
		if it.DDL.New == nil {
			m.Schema = event.SchemaID{}
		}
	case event.KindBegin:
		m.Attempt = it.Seq
	case event.KindEnd:
		m.Attempt = it.Attempt.Begin
	}
	return m
}

// markRecord puts into the group's record what the mark changes.
func (p *Publisher) markRecord(g *group, s *tableState, it *event.Item, mark *event.Mark) {
	name := checkpoint.TableName(it.Table.Name)
	g.rec.Marks = append(g.rec.Marks, checkpoint.Mark{Table: name, Mark: mark})
	switch it.Kind {
	case event.KindDDL:
		p.recordDefinition(g, s, it)
	case event.KindBegin:
		s.attempt = attemptRecord(it.Attempt, it.Table.Name)
		s.attempt.Begin = it.Seq
		g.addAttempt(s.attempt)
		begun := *it.Attempt
		begun.Begin = it.Seq
		p.report(s, life.Event{Kind: life.Begun, Attempt: begun})
		for _, q := range s.queues { // the reader has passed whatever the queues hold
			p.endTrim(q)
		}
	case event.KindEnd:
		g.rec.Ended = append(g.rec.Ended, name)
		s.attempt = checkpoint.Attempt{}
		p.report(s, life.Event{Kind: life.Ended, Attempt: *it.Attempt})
	}
}

// recordDefinition puts into the group's record what a definition changes.
func (p *Publisher) recordDefinition(g *group, s *tableState, it *event.Item) {
	name := it.Table.Name
	switch {
	case it.DDL.New == nil:
		s.gone = true
		g.addDropped(checkpoint.TableName(name))
		why := dropped(it)
		g.addPause(pausedRecord(name, why))
		p.report(s, life.Event{Kind: life.Dropped, Reason: why})
		return
	case it.DDL.Due != "":
		p.owe(g, name, it.DDL.Due)
	case it.DDL.Old == nil && slices.ContainsFunc(s.queues, func(q *queueState) bool { return q.last != 0 }):
		// The targets have the rows of the table before it, which go with an attempt.
		p.owe(g, name, causeSameName)
	}
	if it.DDL.Old == nil {
		p.back(g, s)
		if p.cfg.OnTable != nil {
			p.cfg.OnTable(it.Table)
		}
	}
}

// causeSameName is the cause of the attempt of a table that was made where another was.
const causeSameName = "created under the name of a table that was there before"

func attemptRecord(a *event.Attempt, t event.TableName) checkpoint.Attempt {
	return checkpoint.Attempt{
		Table: checkpoint.TableName(t), Begin: a.Begin, Chunk: a.Chunk, Cursor: append([]byte(nil), a.Cursor...),
		Rows: a.Rows, Estimate: a.Estimate, Cause: a.Cause,
	}
}

// addMarkTo makes the mark the queue's slice. A statement can change a table twice (a swap
// of names): the queue gets one mark, from the first definition to the last.
func (p *Publisher) addMarkTo(g *group, q *queueState, it *event.Item, mark *event.Mark) error {
	if q.trim != nil && p.trimmed(q, it.Seq, mark.ID) {
		return nil
	}
	if q.inGroup && q.mark != nil && q.last == it.Seq {
		merged := *mark
		merged.Old = q.mark.Mark.Old
		q.mark.Schema, q.mark.Mark = mark.Schema, &merged
		return nil
	}
	if it.Seq == q.last && q.to == mark.ID { // it ends with this very mark, which is read again
		return nil
	}
	if it.Seq <= q.last {
		return p.inDoubt(q, it.Seq)
	}
	p.join(g, q)
	q.mark = &event.Slice{
		Kind: it.Kind, Table: q.table.table.Name, Schema: mark.Schema, Lo: it.Seq, Hi: it.Seq, From: mark.ID, To: mark.ID, Mark: mark,
	}
	q.last, q.to, q.from = it.Seq, mark.ID, mark.ID
	return nil
}

// addChunkEnd closes a chunk: its attempt's cursor moves with its last rows.
func (p *Publisher) addChunkEnd(ctx context.Context, it *event.Item) error {
	s, err := p.table(ctx, it.Table)
	if err != nil {
		return err
	}
	g, err := p.groupFor(ctx, checkpoint.KindChunk)
	if err != nil {
		return err
	}
	g.rec.Kind = checkpoint.KindChunk
	s.attempt = attemptRecord(it.Attempt, it.Table.Name)
	g.addAttempt(s.attempt)
	p.report(s, life.Event{Kind: life.Advanced, Attempt: *it.Attempt})
	g.rec.To, g.within = checkpoint.Position(*it.Commit), nil
	return p.closeGroup(ctx)
}

// addHeartbeat moves the position or the time up to which it holds, and from time to time
// the queues that are idle: those take the time along, which is 0 when it is not known. Of a
// table whose attempt is owed or under way it is not: what it lacks is in no queue.
func (p *Publisher) addHeartbeat(ctx context.Context, it *event.Item) error {
	g := p.group(checkpoint.KindRows)
	g.rec.To, g.within = checkpoint.Position(*it.Commit), nil
	p.passTrims(it.Seq)
	now := time.Now()
	if p.beat.IsZero() {
		p.beat = now
	}
	if now.Sub(p.beat) < p.cfg.HeartbeatInterval {
		if now.Sub(g.begun) >= p.cfg.PositionInterval {
			return p.closeGroup(ctx)
		}
		return nil
	}
	p.beat = now
	if err := p.closeGroup(ctx); err != nil {
		return err
	}
	whole := &event.Mark{Seq: it.Seq, ID: event.MarkIdentity("beat", it.Seq), Time: time.UnixMicro(it.Commit.Time).UTC()}
	partial := &event.Mark{Seq: whole.Seq, ID: whole.ID, Time: time.UnixMicro(0).UTC()}
	lives := p.cfg.Life.All()
	for _, q := range p.queues {
		if q.table == nil || q.table.paused || q.table.gone || q.last >= it.Seq || q.trim != nil {
			continue // nobody waits for more of a table that is gone, and its queues are to become empty
		}
		mark := whole
		if !lives[q.table.table.Name].Flows() {
			mark = partial
		}
		if _, err := p.touch(ctx, checkpoint.KindHeartbeat, q); err != nil {
			return err
		}
		p.cur.rec.To = checkpoint.Position(*it.Commit)
		q.mark = &event.Slice{Kind: event.KindHeartbeat, Table: q.table.table.Name, Schema: q.schema, Lo: it.Seq, Hi: it.Seq, From: mark.ID,
			To: mark.ID, Mark: mark}
		q.last, q.to, q.from = it.Seq, mark.ID, mark.ID
	}
	return p.closeGroup(ctx)
}
