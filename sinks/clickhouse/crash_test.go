package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/testenv/chserver"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/link"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/pipeline/verify"
)

// seedOf is what the run's choices come from; MILLRACE_SEED gives another. A run of every test has
// one for ever: a fault that another seed finds is looked for with that seed, and is no chance.
func seedOf(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(7)
	if text := os.Getenv("MILLRACE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MILLRACE_SEED=%d", seed)
	return seed
}

// delivery delivers all messages of one table of a script, from the marks on, as often as it
// takes.
type delivery struct {
	t          testing.TB
	cfg        Config
	script     *pipelinetest.Script
	packed     *pipelinetest.Packed
	table      event.TableName
	keyless    bool
	generation uint64
	rng        *rand.Rand
	// marks are the highest that were seen, by queue.
	marks map[pipeline.QueueID]event.Seq
	// each, where set, is called before each message.
	each func(n int)
}

func newDelivery(t testing.TB, cfg Config, seed uint64, table int) *delivery {
	t.Helper()
	d := &delivery{t: t, cfg: cfg, script: pipelinetest.Everything(seed), rng: rand.New(rand.NewPCG(seed, 3)), marks: map[pipeline.QueueID]event.Seq{}}
	var err error
	if d.packed, err = pipelinetest.Pack(t.Context(), d.script); err != nil {
		t.Fatal(err)
	}
	d.table, d.keyless = d.script.Names()[table], table == 2
	return d
}

func (d *delivery) queues() (out []pipeline.QueueID) {
	for _, q := range d.packed.Order {
		if q.Topic == event.TopicName("p", d.table) {
			out = append(out, q)
		}
	}
	return out
}

// open claims the table under the next generation, as another process.
func (d *delivery) open(ctx context.Context) (*Sink, *Table, error) {
	d.generation++
	s, err := New(d.cfg, nil, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	table, err := s.openTable(ctx, pipeline.Claim{Pipeline: "p", Sink: "olap", Table: d.table, Generation: d.generation, Keyless: d.keyless, Schemas: d.packed})
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, table, nil
}

// once is one owner, to the end or to the first error. It flushes behind every few messages.
func (d *delivery) once(ctx context.Context) error {
	s, table, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	at := map[pipeline.QueueID]int{}
	for _, m := range table.Marks() {
		at[m.Queue] = d.seek(m)
	}
	left := d.queues()
	for n := 0; len(left) > 0; n++ {
		if d.each != nil {
			d.each(n)
		}
		i := d.rng.IntN(len(left))
		q := left[i]
		if at[q] == len(d.packed.Queues[q]) {
			left = slices.Delete(left, i, i+1)
			continue
		}
		if err := table.Write(ctx, q, d.packed.Queues[q][at[q]]); err != nil {
			return err
		}
		at[q]++
		if d.rng.IntN(6) == 0 {
			if err := d.flush(ctx, table); err != nil {
				return err
			}
		}
	}
	if err := d.flush(ctx, table); err != nil {
		return err
	}
	return table.Maintain(ctx)
}

// seek is the place of the first message behind a mark, as the bus finds it: what stands at the
// mark must be what the mark says.
func (d *delivery) seek(m pipeline.QueueMark) (at int) {
	d.t.Helper()
	if m.Seq == 0 {
		return 0
	}
	messages := d.packed.Queues[m.Queue]
	at = slices.IndexFunc(messages, func(s *event.Slice) bool { return s.Hi >= m.Seq })
	if at < 0 {
		d.t.Fatalf("queue %d: nothing reaches the mark %d", m.Queue.Queue, m.Seq)
	}
	p := link.Position{Mark: m.Seq, ID: m.ID}
	after, wait := p.Found(messages[at], at == 0)
	if wait != link.None {
		d.t.Fatalf("queue %d, mark %d of %+v: the queue would wait: %s", m.Queue.Queue, m.Seq, m.ID, wait)
	}
	if after {
		at++
	}
	return at
}

func (d *delivery) flush(ctx context.Context, table *Table) error {
	if _, err := table.Flush(ctx); err != nil {
		return err
	}
	for _, m := range table.Marks() {
		d.marks[m.Queue] = max(d.marks[m.Queue], m.Seq)
	}
	return table.Maintain(ctx)
}

// all delivers everything; each error is the end of an owner.
func (d *delivery) all() (owners int) {
	d.t.Helper()
	var err error
	for owners = 1; owners <= 100; owners++ {
		err = d.once(d.t.Context())
		if err == nil {
			return owners
		}
		if errors.Is(err, pipeline.ErrRecord) {
			d.t.Fatalf("owner %d: %v", owners, err)
		}
	}
	d.t.Fatalf("no owner came to the end; the last one said: %v", err)
	return 0
}

// equal compares what a reader sees with the script, and counts physical copies.
func (d *delivery) equal() {
	d.t.Helper()
	got, err := verify.Compare(d.t.Context(), d.script.Reader(), reader(d.t, d.cfg, "p"), d.table)
	if err != nil || !got.Equal() {
		d.t.Fatalf("a reader sees %+v, %v", got, err)
	}
	switch d.cfg.Mode {
	case Changelog:
		d.physical()
	case Signed:
		d.halves()
	}
}

// physical compares what is in a changelog with the messages: each change is there,
// and once.
func (d *delivery) physical() {
	d.t.Helper()
	want := map[string]int{}
	for _, q := range d.queues() {
		for _, s := range d.packed.Queues[q] {
			for _, r := range s.Rows {
				want[fmt.Sprintf("%d %c %s", r.Seq, r.Op, s.Txs[r.Tx].ID)]++
			}
		}
	}
	s, err := New(d.cfg, nil, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer s.Close()
	got, told := map[string]int{}, map[uint64]int{}
	name := d.cfg.target(d.table)
	name.Table += suffix
	err = s.conn.Query(d.t.Context(), "test", "SELECT _seq, toString(_op), _tx FROM "+name.String(), func(scan func(...any) error) error {
		var seq uint64
		var op, tx string
		err := scan(&seq, &op, &tx)
		if op == "x" {
			told[seq]++
			return err
		}
		got[fmt.Sprintf("%d %s %s", seq, op, tx)]++
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	for change, n := range got {
		if want[change] != n {
			d.t.Errorf("change %s is there %d times, and was sent as %d", change, n, want[change])
		}
	}
	for change := range want {
		if got[change] == 0 {
			d.t.Errorf("change %s is not there", change)
		}
	}
	for seq, n := range told {
		if n != 1 {
			d.t.Errorf("deletion %d is told %d times", seq, n)
		}
	}
	if len(told) == 0 {
		d.t.Error("no deletion is told")
	}
}

// Statements of an owner's life are cut off before they have done anything, or behind it, when
// nobody hears of it: each one of a claim, and of the stream some that the seed chooses.
func TestEveryStatementCanBeTheLast(t *testing.T) {
	t.Parallel()
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	seed := seedOf(t)
	stream := uint64(3)
	for _, mode := range harmed() {
		for _, table := range []int{0, 2} {
			if mode == "sorted" && table == 2 {
				continue // without a key it is as in signed
			}
			for _, at := range []chserver.Point{chserver.Begin, chserver.Landed} {
				stream++
				rng := rand.New(rand.NewPCG(seed, stream)) // its own: the seed repeats one alone
				t.Run(fmt.Sprintf("%s, table %d, %q", mode, table, at), func(t *testing.T) {
					n := 0
					for cut(t, server, seed, mode, table, n, at) {
						if n++; table != 0 || n > claimStatements {
							n += rng.IntN(map[bool]int{true: 28, false: 16}[mode == "signed"]) // it has more of them
						}
					}
					if n < claimStatements {
						t.Errorf("an owner's life has %d statements only: the faults miss them", n)
					}
				})
			}
		}
	}
}

// claimStatements is how many statements a first claim takes, its first flush included.
const claimStatements = 26

// cut delivers a table with the n-th statement cut off; false when there is none.
func cut(t *testing.T, server *testenv.ClickHouseServer, seed uint64, mode string, table, n int, at chserver.Point) bool {
	t.Helper()
	c := targetOn(t, server.ClickHouseDatabase)
	shapes[mode](&c)
	c.Database = fmt.Sprintf("cut_%s_%d_%d_%s", mode, table, n, at)
	c.ControlDatabase = c.Database
	d := newDelivery(t, c, seed, table)
	if c.Mode == Signed {
		d.attach()
	}
	fault := server.Inject(t, chserver.Fault{Match: c.Database + `\b`, Skip: n, At: at, Drop: true})
	d.all()
	hit := fault.State().Hits > 0
	fault.Remove()
	d.equal()
	if c.Mode == Signed {
		d.liveIsRight()
	}
	if _, err := server.Admin(t.Context(), "DROP DATABASE "+c.Database); err != nil {
		t.Fatal(err)
	}
	if t.Failed() {
		t.Fatalf("statement %d", n)
	}
	return hit
}

// The server is killed at inserts of an owner's life: before them, when their rows have come
// and when they have landed. It starts again, and rows of the last minutes are sent again.
func TestTheServerIsKilled(t *testing.T) {
	t.Parallel()
	for _, mode := range harmed() {
		t.Run(mode, func(t *testing.T) { theServerIsKilled(t, shapes[mode]) })
	}
}

func theServerIsKilled(t *testing.T, shape func(*Config)) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	rng := rand.New(rand.NewPCG(seedOf(t), 1))
	for i, at := range []chserver.Point{chserver.Begin, chserver.Received, chserver.Landed} {
		for table := range 3 {
			c := targetOn(t, server.ClickHouseDatabase)
			shape(&c)
			c.Database = fmt.Sprintf("killed_%d_%d", i, table)
			c.ControlDatabase = c.Database
			d := newDelivery(t, c, rng.Uint64N(1000), table)
			if c.Mode == Signed {
				d.attach()
			}
			for kills := range 3 {
				fault := server.Inject(t, chserver.Fault{On: chserver.Insert, Match: c.Database + `\b`, Skip: rng.IntN(20), At: at, Crash: true})
				err := d.once(t.Context())
				if err == nil {
					// It may have ended at an insert whose failure stops no owner, such as that of a state.
					if !fault.Withdraw() {
						break
					}
					if err := server.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
					break
				}
				select {
				case <-server.Done():
				case <-time.After(5 * time.Minute):
					t.Fatalf("kill %d: the owner ended and the server did not: %v", kills, err)
				}
				if err := server.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			d.all()
			d.equal()
			if c.Mode == Signed {
				d.liveIsRight()
			}
		}
	}
}

// Power is lost: parts that were acknowledged are gone, of the rows, of the ledger, or of both,
// from the end or out of the middle. Everything comes again, and the marks never say more
// than is there.
func TestThePowerGoes(t *testing.T) {
	t.Parallel()
	for _, mode := range harmed() {
		t.Run(mode, func(t *testing.T) { thePowerGoes(t, shapes[mode]) })
	}
}

func thePowerGoes(t *testing.T, shape func(*Config)) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	rng := rand.New(rand.NewPCG(seedOf(t), 2))
	for round := range 8 {
		c := targetOn(t, server.ClickHouseDatabase)
		shape(&c)
		c.Table = fmt.Sprintf("r%d", round)
		table := []int{0, 2}[round%2]
		// A server that syncs: it loses the end at most, by other hands. Of a table in partitions that may
		// be a part of an insert whose last row stays, which nothing shows but a rewind.
		whole := round >= 5 && c.shape(pipelinetest.Everything(1).Names()[table]).PartitionBy == ""
		if whole {
			c.Rewind = 0
		}
		d := newDelivery(t, c, rng.Uint64N(1000), table)
		if c.Mode == Signed {
			d.attach()
		}
		stop := errors.New("the power goes")
		for losses := range 3 {
			d.each = nil
			err := d.until(t.Context(), 12+rng.IntN(12), stop)
			if err == nil {
				break
			}
			if !errors.Is(err, stop) {
				t.Fatal(err)
			}
			var lost []testenv.ClickHouseLoss
			if kind := rng.IntN(3); kind != 1 {
				l := testenv.ClickHouseLoss{Table: c.Table + suffix, Newest: rng.IntN(2), Blocks: 1}
				if whole {
					l.Newest = 0
				}
				lost = append(lost, l)
			}
			if l := (testenv.ClickHouseLoss{Table: c.Table + signedSuffix, Blocks: 1}); c.Mode == Signed && rng.IntN(3) != 1 {
				if !whole {
					l.Newest = rng.IntN(2)
				}
				if blocks(t, server, l.Table) > l.Newest {
					lost = append(lost, l)
				}
			}
			if _, err := server.LosePower(t.Context(), lost...); err != nil {
				t.Logf("round %d, loss %d: %v", round, losses, err)
				server.Kill()
			}
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		d.each = nil
		d.all()
		d.equal()
		if c.Mode == Signed { // a view that may have lost rows, or have some too many, is filled anew
			d.exec("TRUNCATE TABLE " + d.live())
			d.exec("INSERT INTO " + d.live() + " " + d.aggregate())
			d.liveIsRight()
		}
	}
}

// blocks is how many blocks inserts have brought into a table.
func blocks(t *testing.T, server *testenv.ClickHouseServer, table string) int {
	t.Helper()
	query := fmt.Sprintf("SELECT max(max_block_number) FROM system.parts WHERE database = '%s' AND table = '%s'", server.Name, table)
	answer, err := server.Admin(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(answer))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// until delivers until so many messages were written, and then ends with the error.
func (d *delivery) until(ctx context.Context, messages int, stop error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != stop { //nolint:errorlint // the value itself
				panic(r)
			}
			err = stop
		}
	}()
	d.each = func(n int) {
		if n == messages {
			panic(stop)
		}
	}
	return d.once(ctx)
}

// waitFor waits for a condition, minutes where the machine is busy.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(5 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatal("what was waited for did not come in five minutes")
		case <-tick.C:
		}
	}
}

// An owner that was replaced wakes up: its insert was held before the server saw it, or when
// its rows had come. The one refuses it, the other is ended by the new owner, who reads the
// marks back after that.
func TestAReplacedOwnerWritesNothing(t *testing.T) {
	server := testenv.ClickHouseWithFaults(t, chserver.Options{})
	for i, at := range []chserver.Point{chserver.Begin, chserver.Received} {
		for k, what := range []string{"orders" + suffix, "ledger"} {
			if k == 1 && at == chserver.Received {
				continue // its rows come with the statement
			}
			c := targetOn(t, server.ClickHouseDatabase)
			c.Database = fmt.Sprintf("held_%d_%d", i, k)
			c.ControlDatabase, c.Table = c.Database, "orders"
			d := newDelivery(t, c, 5, 0)
			s, old, err := d.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			q := d.queues()[0]
			for n := range 3 {
				if err := old.Write(t.Context(), q, d.packed.Queues[q][n]); err != nil {
					t.Fatal(err)
				}
			}
			fault := server.Inject(t, chserver.Fault{On: chserver.Insert, Table: c.Database + "." + what, At: at, Hold: true})
			flushed := make(chan error, 1)
			go func() {
				_, err := old.Flush(context.WithoutCancel(t.Context()))
				flushed <- err
			}()
			fault.WaitHeld(1)
			done := make(chan int, 1)
			go func() { done <- d.all() }()
			if at == chserver.Received {
				// The claim waits for the held insert to end.
				waitFor(t, func() bool {
					if len(done) > 0 {
						t.Fatal("a new owner has not waited for what the one before still runs")
					}
					n, err := server.Admin(t.Context(), "SELECT count() FROM system.processes WHERE query ILIKE 'KILL QUERY%'")
					return err == nil && strings.TrimSpace(n) == "1"
				})
			} else {
				<-done
			}
			fault.Release()
			if at == chserver.Received {
				<-done
			}
			select {
			case err := <-flushed:
				if err == nil {
					t.Errorf("%s of %s: the replaced owner's flush ended well", at, what)
				}
			case <-time.After(5 * time.Minute):
				t.Fatal("the replaced owner's flush has no end")
			}
			fault.Remove()
			d.equal()
			rows, err := server.Admin(t.Context(), fmt.Sprintf("SELECT count() FROM %s.ledger WHERE _gen = 1 AND slot > 0", c.Database))
			if err != nil || strings.TrimSpace(rows) != "0" {
				t.Errorf("the replaced owner's entries in the ledger: %s, %v", rows, err)
			}
		}
	}
}
