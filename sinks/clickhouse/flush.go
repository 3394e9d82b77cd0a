package clickhouse

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"

	driver "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/clickhouse/column"
	"github.com/millrace/millrace/sinks/clickhouse/ddl"
	"github.com/millrace/millrace/sinks/clickhouse/server"
	"github.com/millrace/millrace/sinks/ledger"
)

// Flush makes what was written visible, then writes the marks that cover it. The outcome of
// a step that fails is unknown to this claim: the next one reads it back.
func (t *Table) Flush(ctx context.Context) (pipeline.Flushed, error) {
	if t.broken != nil {
		return pipeline.Flushed{}, t.broken
	}
	start := t.sink.now()
	var out pipeline.Flushed
	for _, st := range t.batch.steps {
		if st.empty() {
			continue
		}
		if err := t.commit(ctx, st, &out); err != nil {
			return pipeline.Flushed{}, t.fail(fmt.Errorf("%s: %w", t.target.Plain(), err))
		}
		t.batch.renumber(st)
	}
	t.observe(start, out)
	t.reset()
	return out, nil
}

// commit is one step: first what rows need, then the rows, then what is put aside, then the
// ledger, then the view.
// Each is such that a process can end behind it (K4): rows without a mark are sent again
// and are the same rows; a view that is old is put right by the next claim.
func (t *Table) commit(ctx context.Context, st *step, out *pipeline.Flushed) error {
	st.needRaws()
	t.needKept(st)
	if err := t.alter(ctx, st); err != nil {
		return err
	}
	if err := t.announce(ctx, st); err != nil {
		return err
	}
	for _, b := range st.blocks {
		if b.rows() == 0 {
			continue
		}
		if err := t.insert(ctx, st, b); err != nil {
			return err
		}
		out.Bytes, out.Files = out.Bytes+b.bytes, out.Files+1
	}
	if err := t.carryAll(ctx, st); err != nil {
		return err
	}
	out.Rows += st.rows
	if err := t.writeLetters(ctx, st.letters); err != nil {
		return err
	}
	rec := *t.rec
	rec.put(st.led.Next())
	rec.Stores = st.stores
	rec.putSigns(st)
	rec.Total += uint64(st.rows)
	rec.present(st)
	rec.madeGood(t.lifeNow)
	if err := t.describe(&rec, st.led.Next()); err != nil {
		return err
	}
	if err := t.writeRecord(ctx, &rec); err != nil {
		return err
	}
	table, err := rec.table(t.claim.Generation)
	if err != nil {
		return err
	}
	t.rec, t.led, t.absent, t.letters = &rec, table, nil, st.letters.Book()
	if err := t.showNow(ctx); err != nil {
		return err
	}
	return t.settle(ctx)
}

// announce has the ledger name what rows must be in once before the first of them: the next
// claim looks there for rows that have no mark.
func (t *Table) announce(ctx context.Context, st *step) error {
	rec := *t.rec
	rec.Stores = st.stores
	signs := rec.announceSigns(st)
	if !t.shape.Mode.once() || len(t.rec.Stores) == len(st.stores) && !signs {
		return nil
	}
	if err := t.writeRecord(ctx, &rec); err != nil {
		return err
	}
	t.rec = &rec
	return nil
}

// present notes the highest numbers of each queue's rows that are in the target with a step,
// by store. What a mark's number deletes writes no row here, and neither does a row below the
// floor.
func (r *record) present(st *step) {
	for q := range r.Queues {
		in := maps.Clone(r.Queues[q].In)
		if in == nil {
			in = map[int]event.Seq{}
		}
		if seq := st.landed[q]; seq > 0 {
			n := st.once().noted()
			in[n] = max(in[n], seq)
		}
		for _, b := range st.blocks {
			n := st.at(b.store).noted()
			for i, seq := range b.seq {
				if b.q[i] == uint16(q) {
					in[n] = max(in[n], event.Seq(seq))
				}
			}
		}
		maps.DeleteFunc(in, func(number int, high event.Seq) bool {
			if number == signsNumber {
				return st.signs == nil
			}
			return high < r.Floor || !slices.ContainsFunc(st.stores, func(s store) bool { return s.Number == number })
		})
		r.Queues[q].In, r.Queues[q].High = in, highOf(in)
	}
}

func highOf(in map[int]event.Seq) (high event.Seq) {
	for _, h := range in {
		high = max(high, h)
	}
	return high
}

// needRaws adds the columns for texts that the step's rows turned out to need.
func (st *step) needRaws() {
	for _, b := range st.blocks {
		for i := range b.schema.Columns {
			if b.raws[i] == nil {
				continue
			}
			at, added := st.at(b.store).ensureRaw(&b.schema.Columns[i])
			if added {
				st.add(b.store, at)
			}
		}
	}
	if st.signs == nil {
		return
	}
	for i := range st.stores {
		for k := range st.stores[i].Columns {
			if c := &st.stores[i].Columns[k]; c.Raw {
				if at, added := st.signs.ensureRaw(&c.Of); added {
					st.add(signsAt, at)
				}
			}
		}
	}
}

// add notes a column that a store has and the target lacks.
func (st *step) add(store, at int) {
	if list, ok := st.added[store]; !ok || list != nil {
		st.added[store] = append(list, at)
	}
}

// writeRecord writes the ledger: in the place of the present minute, or in the next one.
func (t *Table) writeRecord(ctx context.Context, rec *record) error {
	now := t.sink.now()
	slot, since := t.slot, t.slotAt
	if slot == slotClaim || now.Sub(since) >= slotTime || now.Before(since) {
		slot, since = slot%(slots-1)+1, now
	}
	t.writes++
	text := rec.text()
	if err := t.patiently(ctx, func() error { return t.writeLedger(ctx, slot, t.writes, text) }); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	t.slot, t.slotAt = slot, since
	return nil
}

// alter makes the tables and columns that the step's rows need.
func (t *Table) alter(ctx context.Context, st *step) error {
	places := []int{signsAt}
	for i := range st.stores {
		places = append(places, i)
	}
	for _, i := range places {
		columns, ok := st.added[i]
		if !ok {
			continue
		}
		s := st.at(i)
		if columns == nil {
			if err := t.create(ctx, s); err != nil {
				return err
			}
		}
		for _, c := range columns {
			if err := t.exec(ctx, ddl.Add(s.name(t.target), s.Columns[c].definition())); err != nil {
				return err
			}
		}
	}
	return nil
}

// create makes a store's table. One of that name that is there already is what an owner left
// that made it and came to nothing more: it is taken if it holds what this one would.
func (t *Table) create(ctx context.Context, s *store) error {
	if err := t.sink.makeDatabase(ctx, t.comment(), t.target.Database); err != nil {
		return err
	}
	for first := s.Number; s.Number < first+maxLeft; s.Number++ {
		if err := t.exec(ctx, s.create(t.target, t.sink.cfg.ControlDatabase, t.shape).Create()); err != nil {
			return t.unmade(s, err)
		}
		missing, fits, err := t.compare(ctx, s)
		if err != nil {
			return err
		}
		if !fits {
			differs, err := t.foreign(ctx, s.name(t.target), s)
			if err != nil {
				return err
			}
			t.log.Warn("a table that another program made has the name of the target's; another name is taken",
				slog.String("name", s.name(t.target).Plain()), slog.String("differs", differs))
			continue
		}
		for _, c := range missing {
			if err := t.exec(ctx, ddl.Add(s.name(t.target), c.definition())); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%w: other tables have the names of %s and the %d after it; drop those that nobody needs", pipeline.ErrUnwritable, s.name(t.target).Plain(), maxLeft)
}

// unmade is why a table can't be made: what the server says, and where it may come from.
func (t *Table) unmade(s *store, err error) error {
	if server.Code(err) == 0 || errors.Is(err, pipeline.ErrUnwritable) || errors.Is(err, pipeline.ErrSuperseded) {
		return err
	}
	return fmt.Errorf("%w: make %s: %w (see order_by, partition_by, ttl, columns and settings of the sink)", pipeline.ErrUnwritable, s.name(t.target).Plain(), err)
}

// maxLeft is how many tables of a store's name are passed over.
const maxLeft = 10

// compare looks at a table that has a store's name: which of its columns it lacks, and
// whether what it has is the same.
func (t *Table) compare(ctx context.Context, s *store) (missing []*targetColumn, fits bool, err error) {
	have, sorting := map[string]string{}, map[string]bool{}
	name, want := s.name(t.target), s.create(t.target, t.sink.cfg.ControlDatabase, t.shape)
	err = t.sink.conn.Query(ctx, t.comment(), "SELECT name, type, is_in_sorting_key FROM system.columns WHERE database = ? AND table = ?", func(scan func(...any) error) error {
		var column, typ string
		var in uint8
		err := scan(&column, &typ, &in)
		have[column] = typ
		if in != 0 {
			sorting[column] = true
		}
		return err
	}, name.Database, name.Table)
	if err != nil {
		return nil, false, err
	}
	var engine, text string
	err = t.sink.conn.Query(ctx, t.comment(), "SELECT engine, create_table_query FROM system.tables WHERE database = ? AND name = ?",
		func(scan func(...any) error) error { return scan(&engine, &text) }, name.Database, name.Table)
	if err != nil {
		return nil, false, err
	}
	key := want.Sorting()
	wanted, _, _ := strings.Cut(want.Engine(), "(")
	fits = engine == wanted && len(sorting) == len(key) &&
		strings.Contains(text, ddl.FenceConstraint) && strings.Contains(text, ddl.LifeConstraint)
	for _, k := range key {
		fits = fits && sorting[k]
	}
	if !fits {
		return nil, false, nil
	}
	control, of := t.sink.cfg.ControlDatabase, ddl.String(want.Target)
	if !strings.Contains(text, ddl.Closed(control, of, ddl.Gen)) || !strings.Contains(text, ddl.Token(control, of, ddl.Gen)) {
		return nil, false, fmt.Errorf("%w: %s is there and does not ask control database %s about %s: a sink with another control_database writes it; "+
			"give this one the same, or name another target with database and table of the sink", pipeline.ErrUnwritable, name.Plain(), control, want.Target)
	}
	for i := range s.Columns {
		c := &s.Columns[i]
		switch typ, ok := have[c.Name]; {
		case !ok:
			missing = append(missing, c)
		case typ != c.Type:
			return nil, false, nil
		}
	}
	return missing, true, nil
}

// insert sends one block. Each column's values are given up when the driver has them: a block
// is in memory once, and is not sent again by this claim.
func (t *Table) insert(ctx context.Context, st *step, b *block) error {
	if b.given { // it would be a block without rows, and the marks would cover them
		return errors.New("a block is sent twice: its values are gone")
	}
	t.room, b.given = roomOf(b), true
	s := st.at(b.store)
	var names []string
	var fills []func(driver.Interface) error
	put := func(name string, fill func(driver.Interface) error) {
		names, fills = append(names, ddl.Ident(name)), append(fills, fill)
	}
	for _, side := range []*side{b.now, b.before} {
		if side == nil {
			continue
		}
		for i, at := range side.places {
			put(s.Columns[at].Name, func(col driver.Interface) error {
				defer side.cols[i].Free()
				return side.cols[i].Into(col)
			})
		}
	}
	for _, c := range ddl.Technical(b.layout) {
		put(c.Name, func(col driver.Interface) error {
			return column.Fill(col, b.rows(), b.technical(c.Name, t.claim.Generation))
		})
	}
	if r := &b.keep.rawTexts; r.rows > 0 {
		r.pad(b.rows(), goneSize)
		put(ddl.DeletedAt, func(col driver.Interface) error { return column.Fill(col, b.rows(), r.nulls, r.raw) })
	}
	for i := range b.schema.Columns {
		if r := b.raws[i]; r != nil {
			r.pad(b.rows(), 1)
			put(s.Columns[s.raw(b.schema.Columns[i].ID)].Name, func(col driver.Interface) error { return column.Fill(col, b.rows(), r.nulls, r.raw) })
		}
	}
	into := fmt.Sprintf("INSERT INTO %s (%s)", s.name(t.target), strings.Join(names, ", "))
	err := t.sink.conn.Insert(ctx, t.comment(), into, func(i int, col driver.Interface) error { return fills[i](col) })
	if server.Code(err) == tooManyParts {
		return t.outlast(ctx, s.name(t.target), err)
	}
	return err
}

// technical is a technical column in the bytes of the Native format.
func (b *block) technical(name string, generation uint64) (raw []byte) {
	switch name {
	case ddl.Seq:
		return littleEndian(b.seq)
	case ddl.Q:
		raw = make([]byte, 0, 2*b.rows())
		for _, n := range b.q {
			raw = binary.LittleEndian.AppendUint16(raw, n)
		}
		return raw
	case ddl.Gen:
		raw = make([]byte, 0, 8*b.rows())
		for range b.seq {
			raw = binary.LittleEndian.AppendUint64(raw, generation)
		}
		return raw
	case ddl.Ts:
		return littleEndian(b.ts)
	case ddl.Tx:
		return b.txs
	case ddl.Below:
		return littleEndian(b.below)
	}
	return b.mark
}

func littleEndian[N int64 | uint64](list []N) []byte {
	raw := make([]byte, 0, 8*len(list))
	for _, n := range list {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(n))
	}
	return raw
}

// whole is the number from which on the shown store has every row.
func (t *Table) whole() event.Seq { return max(t.led.Floor, t.led.Born) }

// describe has the ledger say how readers find the rows in a changelog.
func (t *Table) describe(rec *record, led *ledger.Table) error {
	s := shown(rec.Stores, max(led.Floor, led.Born))
	if s == nil {
		return nil
	}
	v, err := s.view(t.target, led.Floor, t.types)
	if err != nil {
		return err
	}
	if rec.Log, err = s.log(v); err != nil {
		return err
	}
	more, err := t.rawView(s, v)
	if err != nil {
		return err
	}
	rec.Kept, rec.Raws = more.Kept, rec.raws()
	return t.describeSums(rec, led)
}

// showNow puts the view right.
func (t *Table) showNow(ctx context.Context) error {
	s := shown(t.rec.Stores, t.whole())
	if s == nil {
		return nil
	}
	v, err := s.view(t.target, t.led.Floor, t.types)
	if err != nil {
		return err
	}
	more, err := t.rawView(s, v)
	if err != nil {
		return err
	}
	if v, err = s.shownView(v, t.shape.SchemaChange); err != nil {
		return err
	}
	t.shape.Deletes.showGone(s, v)
	views := []*ddl.View{v}
	if t.rec.raws() {
		views = append(views, more)
	}
	for _, v := range views {
		text := v.Replace()
		if text == t.shown[v.Name] {
			continue
		}
		if err := t.freeName(ctx, v.Name, s); err != nil {
			return err
		}
		if err := t.exec(ctx, text); err != nil {
			return fmt.Errorf("make the view: %w", err)
		}
		if t.defined[v.Name], err = t.definition(ctx, v.Name); err != nil {
			return err
		}
		t.shown[v.Name] = text
	}
	return nil
}

// freeName refuses to put the view in the place of something else of that name.
func (t *Table) freeName(ctx context.Context, view ddl.Name, s *store) error {
	var engine, text string
	err := t.sink.conn.Query(ctx, t.comment(), "SELECT engine, create_table_query FROM system.tables WHERE database = ? AND name = ?",
		func(scan func(...any) error) error { return scan(&engine, &text) }, view.Database, view.Table)
	if err != nil || engine == "" {
		return err
	}
	if engine == "View" {
		if t.showsTarget(text) {
			return nil
		}
		return fmt.Errorf("%w: %s is there and is somebody else's view, not one of this sink; "+
			"rename it, or name another target with database and table of the sink", pipeline.ErrUnwritable, view.Plain())
	}
	differs, err := t.foreign(ctx, view, s)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s is there and is a table (%s), not a view of this sink; a table that another program made is not adopted: %s; "+
		"rename it, or name another target with database and table of the sink", pipeline.ErrUnwritable, view.Plain(), engine, differs)
}

// showsTarget says that a view's definition, as the server writes it, is one of this target:
// it reads one of its stores as the sink's views do. The server quotes a name if it must.
func (t *Table) showsTarget(definition string) bool {
	bare := strings.NewReplacer("`", "", `\`, "").Replace
	of := ddl.Name{Database: t.target.Database, Table: t.target.Table + suffix}
	ours := regexp.MustCompile(`FROM ` + regexp.QuoteMeta(bare(of.String())) + `(_[0-9]+)? AS _t( FINAL|$)`)
	return ours.MatchString(bare(definition))
}
