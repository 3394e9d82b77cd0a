package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// opening is one Open of a Source: the reader's place and everything that depends on
// it. Only the goroutine that calls Next touches it, except what says otherwise.
type opening struct {
	s      *Source
	db     *sql.DB
	server server
	filter schema.Filter

	epoch    uint16
	counter  uint64
	set      *stream.Set // executed up to the boundary; nil without GTIDs
	setText  string
	setDirty bool
	// boundary is the place from which reading on needs nothing from before it.
	boundary event.Position
	reserved []event.Reservation
	// passed is the highest number that was handed over before: in the transaction that
	// begins at the boundary, items up to it are not handed over again.
	passed event.Seq
	// passedOther says that this was on another server: there the identity of the item
	// with that number must be passedID, or the place cannot be found.
	passedOther bool
	passedID    event.Identity
	handed      event.Seq // last number handed over in the open transaction

	tables   *tables
	attempts *attempts
	audits   *audits
	tx       tx
	// xa are the XA transactions seen being prepared and not decided, by their identity:
	// the captured tables that they changed.
	xa     map[string][]*table
	serial uint64 // transactions seen; also the ordinal of boundaries

	rd     *stream.Reader
	batch  stream.Batch
	at     int
	verify *event.Fingerprint // still to be met
	skipTo place              // events before it were read before

	out      []event.Item
	early    bool // out has items from opening
	buf      []byte
	lastBeat time.Time
	moved    bool // the boundary moved since the last Commit was handed over
	lastEnd  event.Seq
	failed   error
	faults   int             // connections lost in a row without an event between
	ctx      context.Context // of the opening, for its own goroutines
	cancel   context.CancelFunc
}

// open does the work of Open.
func (s *Source) open(ctx context.Context, r pipeline.Resume) (*opening, error) {
	filter, err := schema.ParseFilter(s.cfg.Tables)
	if err != nil {
		return nil, err
	}
	db, err := s.cfg.openDB()
	if err != nil {
		return nil, err
	}
	o := &opening{s: s, db: db, filter: filter, lastBeat: time.Now()}
	o.ctx, o.cancel = context.WithCancel(context.Background())
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
}

func (o *opening) begin(ctx context.Context, r pipeline.Resume) error {
	var err error
	if o.server, err = ask(ctx, o.db); err != nil {
		return o.s.cfg.unreached(err)
	}
	fresh := r.Position.File == "" && r.Position.GTIDSet == ""
	other := !fresh && r.Position.Server != "" && r.Position.Server != o.server.identity
	if other && !r.NewServer {
		return fmt.Errorf("%w: it is %s, the position is from %s", pipeline.ErrOtherServer, o.server.identity, r.Position.Server)
	}
	o.epoch = max(r.Epoch, r.Position.Epoch, 1)
	o.counter = max(r.Position.Counter, 2)
	o.reserved = r.Reserved
	if r.Position.Done != 0 {
		o.passed = event.MakeSeq(o.epoch, r.Position.Done.Counter())
		o.passedOther, o.passedID = other, r.Position.DoneID
	}
	from := r.Position
	if fresh {
		end, set, err := o.server.logEnd(ctx, o.db)
		if err != nil {
			return err
		}
		from = event.Position{File: end.file, Pos: end.pos, GTIDSet: set}
	}
	if other {
		if !o.server.gtid || from.GTIDSet == "" {
			return fmt.Errorf("%w: the server is %s, the position is from %s, and without GTIDs it cannot be found there; begin anew with a snapshot",
				pipeline.ErrHistory, o.server.identity, r.Position.Server)
		}
		from.File, from.Pos, from.Print = "", 0, event.Fingerprint{}
	}
	from.Server, from.Epoch, from.Counter = o.server.identity, o.epoch, o.counter
	from.Done, from.DoneID = 0, event.Identity{}
	o.boundary = from
	if o.server.gtid {
		if o.set, err = stream.ParseSet(o.server.maria, from.GTIDSet); err != nil {
			return fmt.Errorf("position: %w", err)
		}
		o.setText = o.set.String()
		o.boundary.GTIDSet = o.setText
	} else {
		o.boundary.GTIDSet = ""
	}
	o.applyReserved()
	if err := o.tables.load(ctx, r, fresh); err != nil {
		return err
	}
	if err := o.connect(ctx); err != nil {
		return err
	}
	if o.tables.cascades, err = o.server.cascades(ctx, o.db, o.tables.names()); err != nil {
		return err
	}
	o.attempts.resume(r.Attempts)
	o.early = true
	return nil
}

// connect proves that the log is the one that the boundary is in and asks for it from
// there on.
func (o *opening) connect(ctx context.Context) error {
	now, err := ask(ctx, o.db)
	if err != nil {
		return err
	}
	if now.identity != o.server.identity {
		return fmt.Errorf("%w: it is %s, the reader came from %s", pipeline.ErrOtherServer, now.identity, o.server.identity)
	}
	o.server = now
	start := stream.Start{File: o.boundary.File, Pos: max(o.boundary.Pos, 4)}
	o.verify, o.skipTo = nil, place{}
	if start.File != "" {
		if start, err = o.startByFile(ctx, start); err != nil {
			return err
		}
	} else {
		start.Set = o.set
	}
	if err := o.checkExecuted(ctx); err != nil {
		return err
	}
	rd, err := stream.Open(ctx, stream.Options{
		Account: o.s.cfg.Account(), ServerID: o.s.serverID,
		MariaDB: o.server.maria, Annotate: o.server.maria && o.server.number >= 1104, Heartbeat: o.s.cfg.Heartbeat,
	}, start)
	if err != nil {
		return o.history(err)
	}
	o.rd, o.batch, o.at = rd, stream.Batch{}, 0
	o.tables.forgetMaps()
	o.audits.all()
	o.tx = tx{}
	o.counter = o.boundary.Counter
	return nil
}

// startByFile looks at the file before it is asked for, and begins at the last complete
// transaction where that is still there, to compare it with the fingerprint.
func (o *opening) startByFile(ctx context.Context, start stream.Start) (stream.Start, error) {
	size, ok, err := o.server.logFile(ctx, o.db, start.File)
	if err != nil {
		return start, err
	}
	if !ok {
		return start, fmt.Errorf("%w: the server no longer has %s (purged, or another log); a new snapshot is needed. Keep logs longer: binlog_expire_logs_seconds",
			pipeline.ErrHistory, start.File)
	}
	if start.Pos > size {
		return start, fmt.Errorf("%w: %s ends at %d on the server, %d was read before: the server lost or replaced its log",
			pipeline.ErrHistory, start.File, size, start.Pos)
	}
	p := o.boundary.Print
	if p.File == "" {
		return start, nil
	}
	if p.File != start.File {
		if _, ok, err = o.server.logFile(ctx, o.db, p.File); err != nil || !ok {
			return start, err
		}
	}
	o.verify = &p
	o.skipTo = place{file: start.File, pos: start.Pos}
	return stream.Start{File: p.File, Pos: p.Pos}, nil
}

// checkExecuted makes sure, where only GTIDs name the place, that the server has executed
// what was read from another, and still has what was not. Where a place in the log is
// known the log itself is compared: there a transaction is read before it is executed.
func (o *opening) checkExecuted(ctx context.Context) error {
	if o.set == nil || o.server.maria || o.boundary.File != "" {
		// MariaDB checks its GTID state itself when the log is asked for.
		return nil
	}
	if !o.set.Empty() {
		row, err := oneRow(ctx, o.db, "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+o.setText+"', 10)")
		if err != nil || len(row) == 0 {
			return errors.Join(errors.New("compare gtid_executed"), err)
		}
		if row[0] != "0" {
			return fmt.Errorf("%w: transactions that were read are missing on the server (the reader has %s); it fell behind the one that was read before",
				pipeline.ErrHistory, o.setText)
		}
	}
	row, err := oneRow(ctx, o.db, "SELECT @@GLOBAL.gtid_purged")
	if err != nil || len(row) == 0 {
		return errors.Join(errors.New("read gtid_purged"), err)
	}
	purged, err := stream.ParseSet(false, row[0])
	if err != nil {
		return err
	}
	if !o.set.Contains(purged) {
		return fmt.Errorf("%w: the server purged transactions that were not read: purged %s, the reader has %s",
			pipeline.ErrHistory, purged, o.set)
	}
	return nil
}

// history joins the pipeline's sentinel to errors of the stream that mean it.
func (o *opening) history(err error) error {
	switch {
	case errors.Is(err, stream.ErrPurged), errors.Is(err, stream.ErrBeyond):
		return fmt.Errorf("%w: reading from %s:%d: %w", pipeline.ErrHistory, o.boundary.File, o.boundary.Pos, err)
	case errors.Is(err, stream.ErrDuplicateID):
		return fmt.Errorf("%w; set source.server_id to a number of its own", err)
	case errors.Is(err, stream.ErrDenied):
		return o.grant(err)
	}
	return err
}

// grant adds to an error of a missing privilege what gives it.
func (o *opening) grant(err error) error {
	return fmt.Errorf("%w; GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '%s'@'…'", err, o.s.cfg.User)
}

// disconnected drops the connection: reading begins again at the boundary.
func (o *opening) disconnected() {
	if o.rd != nil {
		o.rd.Close()
		o.rd = nil
	}
	if o.tx.open {
		o.passed = max(o.passed, o.handed)
	}
	o.batch, o.at = stream.Batch{}, 0
}

// reconnect tries until it stands at the boundary again.
func (o *opening) reconnect(ctx context.Context) error {
	for {
		err := o.connect(ctx)
		if err == nil {
			o.s.reconnected()
			return nil
		}
		if errors.Is(err, pipeline.ErrHistory) || errors.Is(err, pipeline.ErrOtherServer) || !temporary(err) {
			return err
		}
		o.s.setError(err)
		o.faults++
		if err := pauseFor(ctx, o.ctx, backoff(o.faults)); err != nil {
			return err
		}
	}
}

func backoff(n int) time.Duration {
	return min(100*time.Millisecond<<min(n, 6), 5*time.Second)
}

// pauseFor waits, or until one of the contexts ends.
func pauseFor(ctx, own context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-own.Done():
		return errClosed
	}
}

var errClosed = errors.New("the source is closed")

func (o *opening) close() {
	o.cancel()
	o.disconnected()
	o.attempts.close()
	o.audits.close()
	o.db.Close()
}

// applyReserved jumps over the ranges that chunks and barriers took at this place.
func (o *opening) applyReserved() {
	for len(o.reserved) > 0 {
		r := o.reserved[0]
		if r.At > o.counter {
			break
		}
		if r.At == o.counter {
			o.counter += r.Count
		}
		o.reserved = o.reserved[1:]
	}
	o.boundary.Counter = o.counter
}

// reserve takes n numbers (two counts each) at the boundary and returns the first.
func (o *opening) reserve(n uint64) event.Seq {
	first := event.MakeSeq(o.epoch, o.counter)
	o.counter += 2 * n
	o.boundary.Counter = o.counter
	return first
}

// position is the boundary as a value that can be kept.
func (o *opening) position() *event.Position {
	if o.setDirty {
		o.setText, o.setDirty = o.set.String(), false
	}
	o.boundary.GTIDSet = o.setText
	p := o.boundary
	return &p
}

// here is the boundary as a value that can be kept.
func (o *opening) here() event.Position { return *o.position() }

// number is that of the byte that is read.
func (o *opening) number() event.Seq { return event.MakeSeq(o.epoch, o.counter) }

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
	if o.tx.open && it.Kind != event.KindPaused {
		if it.Seq <= o.passed {
			return // it was, before the connection ended within this transaction
		}
		o.handed = it.Seq
	}
	o.out = append(o.out, it)
}

// full reports whether enough is to be handed over for one call of Next.
func (o *opening) full() bool { return len(o.out) >= maxItems }
