package mysql

import (
	"context"
	"errors"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// opening is one Open of a Source: the reader's place and everything that depends on
// it. Only the goroutine that calls Next touches it, except what says otherwise.
type opening struct {
	reader
	filter schema.Filter

	tables   *tables
	attempts *attempts
	audits   *audits
	tx       tx
	serial   uint64 // transactions seen; also the ordinal of boundaries

	out      []event.Item
	early    bool // out has items from opening
	buf      []byte
	lastBeat time.Time
	failed   error
}

// open does the work of Open.
func (s *Source) open(ctx context.Context, r pipeline.Resume) (*opening, error) {
	filter, err := schema.ParseFilter(s.cfg.Tables)
	if err != nil {
		return nil, err
	}
	made, err := newReader(s)
	if err != nil {
		return nil, err
	}
	o := &opening{reader: made, filter: filter, lastBeat: time.Now()}
	o.compose()
	if err := o.begin(ctx, r); err != nil {
		o.close()
		var refused *driver.MySQLError
		if errors.As(err, &refused) && (refused.Number == 1044 || refused.Number == 1142 || refused.Number == 1227) {
			err = o.grant(err)
		}
		return o, err
	}
	return o, nil
}

// compose puts the rooms together.
func (o *opening) compose() {
	o.attempts = newAttempts(o)
	o.tables = newTables(o, o, o.attempts)
	o.audits = newAudits(o)
	o.attempts.tables, o.audits.tables, o.tables.audits = o.tables, o.tables, o.audits
	o.unsure = o.tables.inPosition
	o.again = func() {
		o.tables.forgetMaps()
		o.audits.all()
		o.tx = tx{}
	}
}

func (o *opening) begin(ctx context.Context, r pipeline.Resume) error {
	var err error
	if o.server, err = ask(ctx, o.db, o.who); err != nil {
		return o.s.cfg.unreached(err)
	}
	fresh, err := o.takeUp(ctx, r)
	if err != nil {
		return err
	}
	doubts, due, err := parseUnsure(r.Position.Tables)
	if err != nil {
		return err
	}
	if err := o.tables.load(ctx, r, fresh); err != nil {
		return err
	}
	o.tables.takeUp(doubts, r.Position.Server != o.server.identity)
	if err := o.connect(ctx); err != nil {
		return err
	}
	if o.tables.cascades, err = o.server.cascades(ctx, o.db, o.tables.names()); err != nil {
		return err
	}
	if err := o.warnOfTriggers(ctx); err != nil {
		return err
	}
	o.attempts.resume(r.Attempts, due)
	o.pulse.start(o.server)
	o.early = true
	return nil
}

func (o *opening) close() {
	o.cancel()
	o.disconnected()
	if o.held != nil {
		o.held.Close()
	}
	o.attempts.close()
	o.audits.close()
	o.pulse.wg.Wait()
	o.db.Close()
}

// transactions is how many were seen, the one that is being read among them.
func (o *opening) transactions() uint64 { return o.serial }

// transaction is the one that is being read.
func (o *opening) transaction() (id string, tx func() *event.Tx) {
	if o.tx.open {
		id = o.tx.id()
	}
	return id, o.txEvent
}

// emit hands an item over.
func (o *opening) emit(it event.Item) {
	if o.tx.open && it.Kind != event.KindPaused && it.Kind != event.KindDue {
		if it.Seq <= o.passed {
			return // it was, before the connection ended within this transaction
		}
		o.handed = it.Seq
	}
	o.out = append(o.out, it)
}

// full reports whether enough is to be handed over for one call of Next.
func (o *opening) full() bool { return len(o.out) >= maxItems }
