package clickhouse

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/clickhouse/server"
)

// Places of a target's rows in the ledger. The claim's holds the highest generation taken;
// the others hold what the ledger said in the last minutes in which it was written, so that
// it can go back to what it said before a time.
const (
	slotClaim = 0
	slots     = 64
	slotTime  = time.Minute
	// maxRewind is what the slots reach back for certain.
	maxRewind = (slots - 2) * slotTime
)

// entry is one row of the ledger.
type entry struct {
	slot uint16
	rec  *record
	at   time.Time
}

// openTable claims a table. Every step can be the last one of a process that dies: the next
// claim has a higher generation and begins anew.
func (s *Sink) openTable(ctx context.Context, claim pipeline.Claim) (*Table, error) {
	t, err := s.unclaimed(ctx, claim)
	if err != nil {
		return nil, err
	}
	if err := t.open(ctx); err != nil {
		if server.Code(err) == 60 || server.Code(err) == 81 { // somebody dropped the bookkeeping
			s.forget()
		}
		return nil, fmt.Errorf("claim %s: %w", t.target.Plain(), err)
	}
	return t, nil
}

// unclaimed is a table before the first step of its claim.
func (s *Sink) unclaimed(ctx context.Context, claim pipeline.Claim) (*Table, error) {
	known, err := s.prepare(ctx)
	if err != nil {
		return nil, err
	}
	shape, types := s.cfg.shape(claim.Table), known.types
	if types.Chosen, err = shape.chosen(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.origin = claim.Origin
	s.mu.Unlock()
	types.Kept = shape.SchemaChange.stays(modifyColumn)
	return &Table{
		sink: s, claim: claim, target: s.cfg.target(claim.Table), types: types, shape: shape,
		shown: map[ddl.Name]string{}, defined: map[ddl.Name]string{},
		log: s.log.With("pipeline", claim.Pipeline, "sink", claim.Sink, "table", claim.Table.String(), "generation", claim.Generation),
	}, nil
}

func (t *Table) open(ctx context.Context) error {
	for _, step := range t.steps() {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// steps are a claim's, in their order. The life is read behind take: where the server starts
// anew between the two, it is a later one than the generation was opened in, and the server
// refuses the generation.
func (t *Table) steps() []func(context.Context) error {
	return []func(context.Context) error{t.checkOwner, t.take, t.readLife, t.closeLower, t.drainOthers, t.readBack, t.readLetters,
		t.settleReplayed, t.findLanded, t.finish}
}

// finish is the last step.
func (t *Table) finish(ctx context.Context) error {
	if err := t.carryAgain(ctx); err != nil {
		return err
	}
	t.reset()
	return t.showNow(ctx)
}

// exec sends a statement of this claim.
func (t *Table) exec(ctx context.Context, statement string, args ...any) error {
	return t.sink.conn.Exec(ctx, t.comment(), statement, args...)
}

// comment is what the claim's statements say of themselves.
func (t *Table) comment() string {
	return fmt.Sprintf("%s%d", t.commentPrefix(), t.claim.Generation)
}

func (t *Table) commentPrefix() string { return comment(t.target.Plain() + "/") }

// checkOwner refuses a target that another source table has, before anything of it changes.
func (t *Table) checkOwner(ctx context.Context) error {
	entries, err := t.entries(ctx)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return t.sink.own(t.target, t.claim.Table)
	}
	r := entries[0].rec
	if r.Pipeline != t.claim.Pipeline || r.Sink != t.claim.Sink || r.DB != t.claim.Table.DB || r.Table != t.claim.Table.Table {
		return fmt.Errorf("%w: %s is written by table %s.%s of sink %s of pipeline %s; name another target with database and table of this sink",
			pipeline.ErrUnwritable, t.target.Plain(), r.DB, r.Table, r.Sink, r.Pipeline)
	}
	return t.sink.own(t.target, t.claim.Table)
}

// readLife reads the token of the server's present life. It is kept in a table that a restart
// empties.
func (t *Table) readLife(ctx context.Context) error {
	for {
		token, err := t.token(ctx, "''", 0)
		if err != nil || token != 0 {
			t.lifeNow = token
			return err
		}
		// The table keeps the first of several.
		if err := t.exec(ctx, "INSERT INTO "+t.sink.control(ddl.LifeTable)+" SELECT '', 0, ?", random()); err != nil {
			return err
		}
	}
}

// token is what the table of lives has of a generation of a target, an expression; 0 is nothing.
func (t *Table) token(ctx context.Context, target string, generation uint64) (token uint64, err error) {
	err = t.sink.conn.Query(ctx, t.comment(), "SELECT "+ddl.Token(t.sink.cfg.ControlDatabase, target, fmt.Sprintf("toUInt64(%d)", generation)),
		func(scan func(...any) error) error { return scan(&token) })
	return token, err
}

func random() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])>>1 | 1
}

// take opens the generation and writes it as taken. A generation is one opening's: another
// one of the same number comes from another cluster, which has the same names. One that is in
// the ledger is refused before anything changes; of several openings at a time the server
// keeps the first. Of two claims of different generations at least one sees the other.
func (t *Table) take(ctx context.Context) error {
	gen := t.claim.Generation
	highest, err := t.highestTaken(ctx)
	if err != nil {
		return err
	}
	if err := t.yield(ctx, highest); err != nil {
		return err
	}
	if highest >= gen {
		return fmt.Errorf("%w: generation %d was taken, this one is %d", pipeline.ErrSuperseded, highest, gen)
	}
	if err := t.openGeneration(ctx); err != nil {
		return err
	}
	if err := t.writeLedger(ctx, slotClaim, 0, claimRecord{t.claim.Origin}.text()); err != nil {
		return err
	}
	if highest, err = t.highestTaken(ctx); err == nil && highest > gen {
		err = fmt.Errorf("%w: generation %d has it, this one is %d", pipeline.ErrSuperseded, highest, gen)
	}
	if err == nil {
		t.sink.overlook(t.target.Plain())
	}
	return err
}

// openGeneration lets the server take what the generation writes in its present life.
func (t *Table) openGeneration(ctx context.Context) error {
	mine := random()
	if err := t.exec(ctx, "INSERT INTO "+t.sink.control(ddl.LifeTable)+" SELECT ?, ?, ?", t.target.Plain(), t.claim.Generation, mine); err != nil {
		return err
	}
	token, err := t.token(ctx, ddl.String(t.target.Plain()), t.claim.Generation)
	switch {
	case err != nil:
		return err
	case token == 0:
		return fmt.Errorf("open generation %d: %w", t.claim.Generation, server.ErrRestarted)
	case token != mine:
		return fmt.Errorf("%w: somebody else opened generation %d, maybe another cluster with the same names of pipeline, sink and target",
			pipeline.ErrSuperseded, t.claim.Generation)
	}
	return nil
}

// highestTaken is the highest generation that the ledger has.
func (t *Table) highestTaken(ctx context.Context) (highest uint64, err error) {
	err = t.sink.conn.Query(ctx, t.comment(), "SELECT max(_gen) FROM "+t.sink.control(ddl.LedgerTable)+" WHERE target = ?",
		func(scan func(...any) error) error { return scan(&highest) }, t.target.Plain())
	return highest, err
}

// closeLower closes all lower generations for ever: from here on the server refuses them.
func (t *Table) closeLower(ctx context.Context) error {
	if t.claim.Generation > maxGeneration {
		return fmt.Errorf("generation %d is above %d", t.claim.Generation, maxGeneration)
	}
	if seeded.On(seeded.GenerationIgnored) {
		return nil
	}
	missing, err := t.stillOpen(ctx)
	for err == nil && len(missing) > 0 {
		n := min(len(missing), 10_000)
		err = t.exec(ctx, "INSERT INTO "+t.sink.control(ddl.FenceTable)+" SELECT ?, arrayJoin(?), 1", t.target.Plain(), missing[:n])
		missing = missing[n:]
	}
	return err
}

// maxGeneration bounds what is closed one by one. A generation is a claim.
const maxGeneration = 10_000_000

// stillOpen are the lower generations that the fence does not close.
func (t *Table) stillOpen(ctx context.Context) (out []uint64, err error) {
	err = t.sink.conn.Query(ctx, t.comment(), "SELECT number FROM numbers(?) WHERE "+
		ddl.Closed(t.sink.cfg.ControlDatabase, ddl.String(t.target.Plain()), "number")+" = 0",
		func(scan func(...any) error) error {
			var g uint64
			err := scan(&g)
			out = append(out, g)
			return err
		}, t.claim.Generation)
	return out, err
}

// others are the statements of a target's other claims, by the prefix of all, twice, and the own
// one's. Behind it stand a generation and a number, no more: another target's name may go on where
// this one's ends.
const others = "startsWith(query_id, ?) AND match(substring(query_id, length(?) + 1), '^[0-9]+/[^/]*$') AND NOT startsWith(query_id, ?)"

// drainOthers ends what earlier owners still run, and waits until it has ended: an insert
// that passed the constraints before the fence was closed is now in the table, or never.
func (t *Table) drainOthers(ctx context.Context) error {
	if seeded.On(seeded.DrainSkipped) {
		return nil
	}
	if err := t.letOthersEnd(ctx); err != nil {
		return err
	}
	return t.exec(ctx, "KILL QUERY WHERE "+others+" SYNC",
		t.commentPrefix(), t.commentPrefix(), t.comment()+"/")
}

// letOthersEnd waits a while for inserts of earlier owners, where materialized views may read
// what they write: one that is ended by force can be in the table and not in its views.
func (t *Table) letOthersEnd(ctx context.Context) error {
	if !t.shape.Mode.once() {
		return nil
	}
	over, tick := time.NewTimer(t.sink.patience), time.NewTicker(100*time.Millisecond)
	defer over.Stop()
	defer tick.Stop()
	for {
		running := uint64(0)
		err := t.sink.conn.Query(ctx, t.comment(), "SELECT count() FROM system.processes WHERE query ILIKE 'INSERT%' AND "+others,
			func(scan func(...any) error) error { return scan(&running) }, t.commentPrefix(), t.commentPrefix(), t.comment()+"/")
		if err != nil || running == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-over.C:
			t.log.Warn("an insert of an earlier owner is ended: materialized views of the table may lack its rows", slog.Uint64("inserts", running))
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// entries are the ledger's rows of the target, newest first.
func (t *Table) entries(ctx context.Context) ([]entry, error) {
	var out []entry
	err := t.sink.conn.Query(ctx, t.comment(), "SELECT slot, state, at FROM "+t.sink.control(ddl.LedgerTable)+" FINAL WHERE target = ? AND slot != ? ORDER BY ver DESC",
		func(scan func(...any) error) error {
			var e entry
			var state string
			err := scan(&e.slot, &state, &e.at)
			if err == nil {
				e.rec, err = parseRecord(state)
			}
			out = append(out, e)
			return err
		}, t.target.Plain(), uint16(slotClaim))
	return out, err
}

// writeLedger writes one row. Its version rises with the generation, then with each write.
func (t *Table) writeLedger(ctx context.Context, slot uint16, n uint64, state string) error {
	ver := new(big.Int).SetUint64(t.claim.Generation)
	ver.Lsh(ver, 64).Or(ver, new(big.Int).SetUint64(n))
	err := t.exec(ctx, "INSERT INTO "+t.sink.control(ddl.LedgerTable)+" (target, slot, ver, _gen, state) SELECT ?, ?, toUInt128(?), ?, ?",
		t.target.Plain(), slot, ver.String(), t.claim.Generation, state)
	if errors.Is(err, pipeline.ErrSuperseded) {
		return fmt.Errorf("generation %d: %w", t.claim.Generation, err)
	}
	return err
}
