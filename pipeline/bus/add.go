package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/pipeline/checkpoint"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// ErrInDoubt says that a row's number is not above its queue's last one, though the queue
// does not hold the row: the source mints other numbers than before. The epoch is raised
// and an attempt of the table made due before it is returned; opening anew goes on.
var ErrInDoubt = errors.New("the source's numbers do not continue what its queues hold")

// Add publishes items in order. It copies what it keeps, and blocks while too much is in
// flight.
func (p *Publisher) Add(ctx context.Context, items []event.Item) error {
	ctx, done := p.within(ctx)
	defer done()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range items {
		if err := p.add(ctx, &items[i]); err != nil {
			if errors.Is(err, ErrInDoubt) {
				err = p.settleDoubt(ctx, &items[i], err)
			}
			return why(ctx, err)
		}
	}
	return nil
}

// Flush closes the group being built, unless it stands inside a transaction, and waits
// until everything added is visible.
func (p *Publisher) Flush(ctx context.Context) error {
	ctx, done := p.within(ctx)
	defer done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.tx.open {
		if err := p.closeGroup(ctx); err != nil {
			return why(ctx, err)
		}
	}
	return why(ctx, p.drain(ctx))
}

// drain waits until every closed group is resolved.
func (p *Publisher) drain(ctx context.Context) error {
	if err := p.room.Acquire(ctx, p.cfg.WindowBytes); err != nil {
		return err
	}
	p.room.Release(p.cfg.WindowBytes)
	return nil
}

func (p *Publisher) add(ctx context.Context, it *event.Item) error {
	if g := p.cur; g != nil && g.sealed && !p.staysWith(it) {
		if err := p.closeGroup(ctx); err != nil {
			return err
		}
	}
	switch it.Kind {
	case event.KindRow:
		return p.addRow(ctx, it)
	case event.KindCommit:
		return p.addCommit(ctx, it)
	case event.KindDDL, event.KindTruncate, event.KindBegin, event.KindEnd:
		return p.addMark(ctx, it)
	case event.KindChunkEnd:
		return p.addChunkEnd(ctx, it)
	case event.KindHeartbeat:
		return p.addHeartbeat(ctx, it)
	case event.KindPaused:
		return p.addPaused(ctx, it)
	case event.KindResumed:
		return p.addResumed(ctx, it)
	case event.KindDue:
		p.owes(p.group(checkpoint.KindRows), it.Table.Name, it.Attempt.Cause)
		return nil
	}
	panic(fmt.Sprintf("BUG: item of kind %d", it.Kind))
}

// staysWith says that an item goes into the group of a statement that is being built: what
// the statement does to other tables, its commit, and what takes no place in a queue. A group
// that ended between two tables of a statement would have its position behind both.
func (p *Publisher) staysWith(it *event.Item) bool {
	switch it.Kind {
	case event.KindCommit, event.KindPaused, event.KindResumed, event.KindDue:
		return true
	}
	return p.sameStatement(it)
}

// addRow routes a row to its queue's slice.
func (p *Publisher) addRow(ctx context.Context, it *event.Item) error {
	s := p.tables[it.Table]
	if s == nil || s.table != it.Table {
		var err error
		if s, err = p.table(ctx, it.Table); err != nil {
			return err
		}
		if err = p.useSchema(ctx, s, it.Table); err != nil {
			return err
		}
	}
	kind := checkpoint.KindRows
	if it.Op == event.OpRead {
		kind = checkpoint.KindChunk
	}
	if g := p.cur; g == nil || g.rec.Kind != kind {
		if _, err := p.groupFor(ctx, kind); err != nil {
			return err
		}
	}
	if s.fresh {
		s.fresh = false
		p.owe(p.cur, it.Table.Name, "new table")
	}
	p.enter(it.Tx, kind == checkpoint.KindRows)
	if s.paused || p.cfg.Keep != nil && !p.cfg.Keep(it) {
		p.note(it)
		return nil
	}
	img := it.After
	if img == nil {
		img = it.Before
	}
	hash, err := event.KeyHash(img, it.Table.Schema, it.Table.KeyColumns)
	if err != nil {
		return p.wrap("row of "+it.Table.Name.String(), err)
	}
	return p.addTo(ctx, s.queues[event.QueueOf(hash, len(s.queues))], it)
}

// addTo puts a row into a queue's slice, unless the queue holds it already.
func (p *Publisher) addTo(ctx context.Context, q *queueState, it *event.Item) error {
	s := q.table
	if s.txSeen != p.tx.serial {
		s.txSeen, s.txRows = p.tx.serial, 0
		p.tx.tables = append(p.tx.tables, s)
	}
	if q.txSeen != p.tx.serial {
		q.txSeen, q.txRows, q.txAt = p.tx.serial, 0, -1
		p.tx.queues = append(p.tx.queues, q)
	}
	if q.trim != nil && p.trimmed(q, it.Seq, event.Identity{Tx: it.Tx.ID, Index: it.Index, Part: it.Part}) {
		s.txRows++
		q.txRows++
		p.note(it)
		p.stats.trimmed.Add(1)
		return nil
	}
	size := len(it.Before) + len(it.After) + rowOverhead
	if size > p.cfg.MaxMessage-sliceOverhead {
		p.pauseTable(s, oversize(it.Table, it, size, p.cfg.MaxMessage))
		p.note(it)
		return nil
	}
	if q.inGroup && !q.b.Empty() && q.b.Size()+size > p.cfg.SliceBytes {
		if err := p.closeGroup(ctx); err != nil {
			return err
		}
	}
	if it.Seq <= q.last {
		return p.inDoubt(q, it.Seq)
	}
	kind := checkpoint.KindRows
	if it.Op == event.OpRead {
		kind = checkpoint.KindChunk
	}
	g, err := p.touch(ctx, kind, q)
	if err != nil {
		return err
	}
	if q.txAt < 0 {
		q.txAt = q.b.Tx(it.Tx.ID, it.Tx.CommitTime)
	}
	q.b.Row(q.txAt, it.Op, it.Part, it.Index, it.Seq, it.Before, it.After)
	q.last, q.to = it.Seq, event.Identity{Tx: it.Tx.ID, Index: it.Index, Part: it.Part}
	if q.from.IsZero() {
		q.from = q.to
	}
	s.txRows++
	q.txRows++
	p.note(it)
	p.stats.rows.Add(1)
	g.bytes += size
	if g.bytes >= p.cfg.GroupBytes || q.b.Size() >= p.cfg.SliceBytes {
		return p.closeGroup(ctx)
	}
	return nil
}

// rowOverhead is about what a row takes in a slice beside its images.
const rowOverhead = 16

// note keeps in the group how far it goes with this row.
func (p *Publisher) note(it *event.Item) {
	kind := checkpoint.KindRows
	if it.Op == event.OpRead {
		kind = checkpoint.KindChunk
	}
	g := p.group(kind)
	if g.start == nil && kind == checkpoint.KindRows {
		g.start = it.Tx
		g.wait = p.cfg.gathers(time.Since(it.Tx.CommitTime))
	}
	if kind == checkpoint.KindChunk {
		if g.first == 0 {
			g.first = it.Seq
		}
		g.last = it.Seq
		return
	}
	g.within, g.withSeq, g.withID = it.Tx, it.Seq, event.Identity{Tx: it.Tx.ID, Index: it.Index, Part: it.Part}
}

// enter begins a transaction or chunk when the item is of another one than the last.
func (p *Publisher) enter(tx *event.Tx, stream bool) {
	if p.tx.tx == tx && p.tx.open == stream {
		return
	}
	if p.tx.open && p.tx.tx.ID == tx.ID { // the source came back to it
		p.tx.tx = tx
		return
	}
	p.tx = txState{tx: tx, serial: p.tx.serial + 1, open: stream, tables: p.tx.tables[:0], queues: p.tx.queues[:0]}
	if o := p.openTx; o != nil && stream {
		p.openTx = nil
		if o.ID == tx.ID {
			p.recount(o)
		}
	}
}

// recount takes up the counts of a transaction in which the last group before the opening
// ended.
func (p *Publisher) recount(o *checkpoint.OpenTx) {
	for _, c := range o.Tables {
		if s := p.named[event.TableName(c.Table)]; s != nil {
			s.txSeen, s.txRows = p.tx.serial, c.Rows
			p.tx.tables = append(p.tx.tables, s)
		}
	}
	for _, c := range o.Queues {
		if q := p.queues[c.Queue]; q != nil && q.table != nil {
			q.txSeen, q.txRows, q.txAt = p.tx.serial, c.Rows, -1
			p.tx.queues = append(p.tx.queues, q)
		}
	}
}

// addCommit ends a transaction: END goes into every queue that it touched.
func (p *Publisher) addCommit(ctx context.Context, it *event.Item) error {
	if !p.tx.open && it.Tx != nil && p.openTx != nil && p.openTx.ID == it.Tx.ID {
		p.enter(it.Tx, true) // the last row before the opening was its last
	}
	if p.tx.open {
		for _, q := range p.tx.queues {
			if err := p.addTxEnd(ctx, q, it.Seq); err != nil {
				return err
			}
		}
	}
	p.tx.open, p.tx.tx = false, nil
	g := p.group(checkpoint.KindRows)
	g.rec.To, g.within = checkpoint.Position(*it.Commit), nil
	p.passTrims(it.Seq)
	if g.sealed || g.bytes >= p.cfg.GroupBytes {
		return p.closeGroup(ctx)
	}
	switch age := time.Since(g.begun); {
	case g.urgent() && age >= g.wait, age >= p.cfg.PositionInterval:
		return p.closeGroup(ctx)
	case g.urgent() && !g.timed:
		g.timed = true
		p.wake()
	}
	return nil
}

// addTxEnd says in one queue that the transaction is complete.
func (p *Publisher) addTxEnd(ctx context.Context, q *queueState, seq event.Seq) error {
	tx := p.tx.tx
	id := event.TxEndIdentity(tx.ID)
	switch {
	case q.table.paused:
		return nil
	case q.trim != nil && p.trimmed(q, seq, id):
		return nil
	case q.last == seq && q.to == id: // in the part of this group that was closed before
		return nil
	case q.inGroup && q.mark != nil: // a message is a mark or rows: the next one says as much
		return nil
	case seq <= q.last:
		return p.inDoubt(q, seq)
	}
	if _, err := p.touch(ctx, checkpoint.KindRows, q); err != nil {
		return err
	}
	if q.txAt < 0 {
		q.txAt = q.b.Tx(tx.ID, tx.CommitTime)
	}
	q.b.End(q.txAt, seq, q.txRows, q.table.txRows)
	q.last, q.to = seq, id
	if q.from.IsZero() {
		q.from = id
	}
	q.txAt = -1
	return nil
}

// addPaused stops a table that its source has stopped.
func (p *Publisher) addPaused(ctx context.Context, it *event.Item) error {
	if it.Table.Schema == nil && p.named[it.Table.Name] == nil { // it was never published
		p.group(checkpoint.KindRows).addPause(pausedRecord(it.Table.Name, *it.Reason))
		p.cfg.Life.Report(it.Table.Name, life.Event{Kind: life.Paused, Reason: *it.Reason})
		return nil
	}
	s, err := p.table(ctx, it.Table)
	if err != nil {
		return err
	}
	p.pauseTable(s, *it.Reason)
	return nil
}

// addResumed takes a table up again. What it missed comes with the attempt that is due.
func (p *Publisher) addResumed(ctx context.Context, it *event.Item) error {
	if it.Table.Schema == nil && p.named[it.Table.Name] == nil {
		g := p.group(checkpoint.KindRows)
		g.rec.Resumed, g.changed = append(g.rec.Resumed, checkpoint.TableName(it.Table.Name)), true
		p.cfg.Life.Report(it.Table.Name, life.Event{Kind: life.Resumed})
		return nil
	}
	s, err := p.table(ctx, it.Table)
	if err != nil || !s.paused {
		return err
	}
	cause := "resumed"
	if p.cfg.Life.Of(it.Table.Name).Why().Code.ByFile() {
		cause = CauseConfiguration
	}
	p.report(s, life.Event{Kind: life.Resumed})
	if s.route != "" { // asked for by a person: the file does not permit it
		p.pauseTable(s, event.PauseReason{Code: event.PauseRoute, Text: s.route})
		return nil
	}
	g := p.group(checkpoint.KindRows)
	g.rec.Resumed = append(g.rec.Resumed, checkpoint.TableName(it.Table.Name))
	p.owes(g, it.Table.Name, cause)
	return nil
}

// inDoubt refuses an item whose number its queue is past.
func (p *Publisher) inDoubt(q *queueState, seq event.Seq) error {
	return fmt.Errorf("%w: table %s, queue %d: number %d, the queue is at %d (%s)", ErrInDoubt, q.table.table.Name,
		q.key.ID, seq, q.last, q.to)
}

// settleDoubt waits for what is decided, then raises the epoch durably.
func (p *Publisher) settleDoubt(ctx context.Context, it *event.Item, doubt error) error {
	var names []event.TableName
	if it.Table != nil {
		names = append(names, it.Table.Name)
	} else { // the end of a transaction, which speaks for all that it touched
		for _, s := range p.tx.tables {
			names = append(names, s.table.Name)
		}
	}
	p.cur = nil // undecided: it is read again
	if err := p.drain(ctx); err != nil {
		return errors.Join(doubt, err)
	}
	p.ck.mu.Lock()
	defer p.ck.unlock()
	if err := p.ck.raiseEpochLocked(ctx, "numbers in doubt", names...); err != nil {
		return errors.Join(doubt, err)
	}
	p.relive()
	return doubt
}
