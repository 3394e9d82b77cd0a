package selfcheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/verify"
)

// table is one side of a table, in memory: id → text.
type table struct {
	mu   sync.Mutex
	rows map[int]string
}

func filled(n int) *table {
	t := &table{rows: map[int]string{}}
	for i := range n {
		t.rows[i] = "v"
	}
	return t
}

func (t *table) set(id int, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows[id] = text; text == "" {
		delete(t.rows, id)
	}
}

func (t *table) after(last, n int) (ids []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.rows {
		if id > last {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[:min(n, len(ids))]
}

// reader reads one table, whatever its name; asked counts the rows that it gave.
type reader struct {
	*table
	asked func(rows int) error
}

func (reader) Tables(context.Context) ([]event.TableName, error) { return nil, nil }
func (reader) Close() error                                      { return nil }
func (reader) Place(context.Context) (pipeline.Place, error)     { return pipeline.Place{}, nil }
func (r reader) give(ids []int, columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	if err := columns([]pipeline.ReadColumn{{Name: "id", Key: true}, {Name: "v"}}); err != nil {
		return err
	}
	if r.asked != nil {
		if err := r.asked(len(ids)); err != nil {
			return err
		}
	}
	for _, id := range ids {
		r.mu.Lock()
		text, ok := r.rows[id]
		r.mu.Unlock()
		if ok {
			if err := row([]pipeline.Cell{{Text: strconv.AppendInt(nil, int64(id), 10)}, {Text: []byte(text)}}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r reader) Read(_ context.Context, _ event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	return r.give(r.after(-1, 1<<30), columns, row)
}

func (r reader) ReadAfter(_ context.Context, _ event.TableName, after []pipeline.Cell, n int, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	last := -1
	if after != nil {
		last, _ = strconv.Atoi(string(after[0].Text))
	}
	return r.give(r.after(last, n), columns, row)
}

func (r reader) ReadKeys(_ context.Context, _ event.TableName, keys [][]pipeline.Cell, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	var ids []int
	for _, k := range keys {
		id, _ := strconv.Atoi(string(k[0].Text))
		ids = append(ids, id)
	}
	return r.give(ids, columns, row)
}

// rig is a pipeline of two tables.
type rig struct {
	t      *testing.T
	cfg    Config
	source map[string]*table
	target map[string]*table

	mu      sync.Mutex
	skip    map[string]string
	broken  map[string]error
	asked   func(rows int) error
	reached bool
	repairs []string
	life    context.Context // of the service that runs
	heal    bool
	listed  []event.TableName // by the source
	known   []event.TableName // by the pipeline
	counts  int
	rests   bool // the pipeline does not run
	place   pipeline.Place
}

var (
	orders = event.TableName{DB: "shop", Table: "orders"}
	items  = event.TableName{DB: "shop", Table: "items"}
)

func newRig(t *testing.T) *rig {
	r := &rig{t: t, source: map[string]*table{}, target: map[string]*table{}, skip: map[string]string{},
		broken: map[string]error{}, reached: true,
		place: pipeline.Place{File: "log.000001", Pos: 4}}
	for _, n := range []event.TableName{orders, items} {
		r.source[n.String()], r.target[n.String()] = filled(500), filled(500)
	}
	r.cfg = Config{
		Sinks: []string{"lake"}, Every: time.Hour, RowsPerSecond: 1_000_000, Dir: filepath.Join(t.TempDir(), "verify"),
		Glance: time.Millisecond, Pause: time.Millisecond, Wait: 50 * time.Millisecond,
	}
	return r
}

func (r *rig) service() *Service {
	s := New(r.cfg, Deps{
		Source: func() (pipeline.Reader, error) { return named{r, r.source, true}, nil },
		Target: func(string) (pipeline.Reader, error) { return named{r, r.target, false}, nil },
		Tables: func(string) []Table {
			r.mu.Lock()
			defer r.mu.Unlock()
			return []Table{{orders, r.skip["shop.orders"]}, {items, r.skip["shop.items"]}}
		},
		Unknown: func(source []event.TableName) ([]event.TableName, bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.counts++
			if r.rests {
				return nil, false
			}
			return slices.DeleteFunc(slices.Clone(source), func(n event.TableName) bool { return slices.Contains(r.known, n) }), true
		},
		Reached: func(string, event.TableName, time.Time) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.reached
		},
		Repair: func(_ context.Context, t event.TableName) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.repairs = append(r.repairs, t.String())
			if r.heal {
				r.target[t.String()].mu.Lock()
				defer r.target[t.String()].mu.Unlock()
				r.target[t.String()].rows = filled(500).rows
			}
			return nil
		},
		Log: slog.New(slog.DiscardHandler),
	})
	s.Visible(event.Position{File: "log.000001", Pos: 4})
	return s
}

// named finds the table by its name.
type named struct {
	*rig
	side   map[string]*table
	source bool
}

func (n named) reader(name event.TableName) (reader, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := reader{table: n.side[name.String()]}
	if n.source {
		r.asked = n.asked
	}
	return r, n.broken[name.String()]
}

func (n named) Tables(context.Context) ([]event.TableName, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.listed), n.broken["tables"]
}

func (named) Close() error { return nil }

func (n named) Place(context.Context) (pipeline.Place, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rig.place, nil
}

func (n named) Read(ctx context.Context, name event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	r, err := n.reader(name)
	if err != nil {
		return err
	}
	return r.Read(ctx, name, columns, row)
}

func (n named) ReadAfter(ctx context.Context, name event.TableName, after []pipeline.Cell, k int,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	r, err := n.reader(name)
	if err != nil {
		return err
	}
	return r.ReadAfter(ctx, name, after, k, columns, row)
}

func (n named) ReadKeys(ctx context.Context, name event.TableName, keys [][]pipeline.Cell, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	r, err := n.reader(name)
	if err != nil {
		return err
	}
	return r.ReadKeys(ctx, name, keys, columns, row)
}

// until runs the service until ok.
func (r *rig) until(s *Service, what string, ok func() bool) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	r.mu.Lock()
	r.life = ctx
	r.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			r.t.Errorf("it ended by itself: %v", err)
		}
	}()
	deadline := time.NewTimer(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("waited in vain for %s: orders %+v, items %+v", what, s.Verified("lake", orders), s.Verified("lake", items))
		}
	}
}

func TestARoundNamesWhatDiffers(t *testing.T) {
	r := newRig(t)
	r.target["shop.orders"].set(7, "wrong")
	r.target["shop.orders"].set(8, "")
	r.target["shop.orders"].set(900, "extra")
	s := r.service()
	began := time.Now()
	r.until(s, "both tables", func() bool { return s.Verified("lake", orders).State != "" && s.Verified("lake", items).State != "" })
	got := s.Verified("lake", orders)
	if got.State != verify.Differs || got.Differences != 3 || !got.Through.IsZero() || got.Rows != 500 {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{"3 rows: ", "differs: id=7: v is v in the source, wrong in the target", "only in the source: id=8", "only in the target: id=900"} {
		if !strings.Contains(got.Reason, want) {
			t.Errorf("no %q in %q", want, got.Reason)
		}
	}
	if got := s.Verified("lake", items); got.State != verify.Equal || got.Reason != "" || got.Through.Before(began) ||
		got.Through.After(got.At) {
		t.Errorf("%+v", got)
	}
	if s := r.service(); s.Verified("lake", items).Through.IsZero() || s.Verified("lake", orders).Differences != 3 {
		t.Error("a restart forgets what was found")
	}
}

func TestARoundThatIsCutOffGoesOnWhereItWas(t *testing.T) {
	r := newRig(t)
	r.cfg.RowsPerSecond = 500 // a hundred rows at a time
	for i := range 500 {
		r.source["shop.items"].set(i, "")
		r.target["shop.items"].set(i, "")
	}
	read, held := 0, make(chan struct{})
	r.asked = func(rows int) error { // holds the third part until the service is stopped
		r.mu.Lock()
		defer r.mu.Unlock()
		if read == 200 && held != nil {
			close(held)
			held = nil
			life := r.life
			r.mu.Unlock()
			<-life.Done()
			r.mu.Lock()
			return life.Err()
		}
		read += rows
		return nil
	}
	s, third := r.service(), held
	s.pace.rate["source"], s.pace.rate["target"] = 1e9, 1e9
	r.until(s, "the third part", func() bool {
		select {
		case <-third:
			return true
		default:
			return false
		}
	})
	s = r.service()
	before := *s.record
	if before.Present != "lake/shop.orders" || before.Cursor == nil || before.Cursor.Rows != 100 {
		t.Fatalf("%+v", before)
	}
	s.pace.rate["source"], s.pace.rate["target"] = 1e9, 1e9
	r.until(s, "the rest", func() bool { return s.Verified("lake", orders).State == verify.Equal })
	r.mu.Lock()
	defer r.mu.Unlock()
	if read != 200+400 { // the second part was read, and not recorded
		t.Errorf("%d rows were read in all", read)
	}
	if got := s.Verified("lake", orders); got.Rows != 500 || !got.Through.Equal(before.Cursor.Begun) {
		t.Errorf("%+v, begun %s", got, before.Cursor.Begun)
	}
}

func TestWhatCannotBeLookedAtIsSaidAndTriedAgain(t *testing.T) {
	r := newRig(t)
	r.skip["shop.orders"] = "the table is paused"
	r.broken["shop.items"] = errors.New("the connection is gone")
	s := r.service()
	r.until(s, "both", func() bool { return s.Verified("lake", orders).State != "" && s.Verified("lake", items).State != "" })
	if got := s.Verified("lake", orders); got.State != pipeline.VerifiedSkipped ||
		got.Reason != "the table is paused" || !got.Through.IsZero() {
		t.Errorf("%+v", got)
	}
	if got := s.Verified("lake", items); got.State != verify.Unreadable ||
		!strings.Contains(got.Reason, "the connection is gone") || !got.Through.IsZero() {
		t.Errorf("%+v", got)
	}
	r.mu.Lock()
	delete(r.skip, "shop.orders")
	delete(r.broken, "shop.items")
	r.mu.Unlock()
	r.until(s, "both equal", func() bool {
		return s.Verified("lake", orders).State == verify.Equal && s.Verified("lake", items).State == verify.Equal
	})
}

func TestATargetThatIsNotAsFarIsNotAccused(t *testing.T) {
	r := newRig(t)
	r.reached = false
	r.cfg.Repair = true
	r.target["shop.orders"].set(7, "on its way")
	s := r.service()
	r.until(s, "orders", func() bool { return s.Verified("lake", orders).State != "" })
	if got := s.Verified("lake", orders); got.State != verify.Behind || got.Differences != 0 || !got.Through.IsZero() {
		t.Errorf("%+v", got)
	}
	r.mu.Lock()
	if len(r.repairs) > 0 {
		t.Errorf("repaired: %v", r.repairs)
	}
	r.reached = true
	r.mu.Unlock()
	r.target["shop.orders"].set(7, "v")
	r.until(s, "equal", func() bool { return s.Verified("lake", orders).State == verify.Equal })
}

func TestARepairIsAskedForOnceForWhatWasFound(t *testing.T) {
	for _, heal := range []bool{true, false} {
		t.Run(fmt.Sprint(heal), func(t *testing.T) {
			r := newRig(t)
			r.cfg.Repair, r.heal, r.cfg.Every = true, heal, 20*time.Millisecond
			r.target["shop.orders"].set(7, "wrong")
			s := r.service()
			r.until(s, "the repair", func() bool {
				return !s.Verified("lake", orders).Repaired.IsZero() || s.Verified("lake", orders).State == verify.Equal
			})
			rounds := s.Rows()
			r.until(s, "more rounds", func() bool { return s.Rows() > rounds+5*1000 })
			if !slices.Equal(r.repairs, []string{"shop.orders"}) {
				t.Errorf("repairs: %v", r.repairs)
			}
			want := map[bool]string{true: verify.Equal, false: verify.Differs}[heal]
			got := s.Verified("lake", orders)
			if got.State != want || got.Repairs != 1 || got.Repaired.IsZero() {
				t.Errorf("%+v", got)
			}
			if said := strings.Contains(got.Reason, "it is not read anew by itself once more"); said == heal {
				t.Errorf("%+v", got)
			}
			if !heal {
				again := r.service() // a restart
				r.until(again, "rounds of another process", func() bool { return again.Rows() > 5*1000 })
				if got := again.Verified("lake", orders); len(r.repairs) != 1 || got.Repairs != 1 {
					t.Errorf("a restart forgets the repair: %v, %+v", r.repairs, got)
				}
				return
			}
			r.target["shop.orders"].set(9, "wrong again")
			r.until(s, "another repair", func() bool {
				r.mu.Lock()
				defer r.mu.Unlock()
				return len(r.repairs) == 2
			})
			r.until(s, "the second to be found equal", func() bool {
				got := s.Verified("lake", orders)
				return got.State == verify.Equal && got.Repairs == 2
			})
		})
	}
}

func TestTheNextRoundComesWhenItIsDue(t *testing.T) {
	r := newRig(t)
	r.cfg.Every = 30 * time.Millisecond
	s := r.service()
	r.until(s, "the first round", func() bool { return !s.Verified("lake", orders).Through.IsZero() })
	first := s.Verified("lake", orders).Through
	r.until(s, "the next", func() bool { return s.Verified("lake", orders).Through.After(first) })
	r.target["shop.orders"].set(7, "went wrong")
	r.until(s, "the finding", func() bool { return s.Verified("lake", orders).State == verify.Differs })
	if got := s.Verified("lake", orders); got.Through.IsZero() {
		t.Errorf("the time of the last pass that agreed is forgotten: %+v", got)
	}
}

func TestARecordThatCannotBeReadBeginsAnew(t *testing.T) {
	r := newRig(t)
	if err := errors.Join(os.MkdirAll(r.cfg.Dir, 0o755), os.WriteFile(filepath.Join(r.cfg.Dir, recordName), []byte("{\"tables\": {\"lake/shop.orders\": nu"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := r.service()
	if got := s.Verified("lake", orders); got != (pipeline.Verified{}) {
		t.Errorf("%+v", got)
	}
	r.until(s, "a pass", func() bool { return s.Verified("lake", orders).State == verify.Equal })
}

// TestAPassKeepsToItsRate reads with a clock of its own.
func TestAPassKeepsToItsRate(t *testing.T) {
	p := newPace(1000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := time.Now()
	for range 10 {
		_ = p.wait(ctx, "source", 500)
		_ = p.wait(ctx, "target", 500)
	}
	if d := p.next["source"].Sub(before); d < 5*time.Second || d > 6*time.Second {
		t.Errorf("5000 rows of the source take %s", d)
	}
	if d := p.next["target"].Sub(before); d < time.Second/2 || d > 2*time.Second {
		t.Errorf("5000 rows of the target take %s", d)
	}
}

func TestPlacesAreComparedByTheNumbersOfFiles(t *testing.T) {
	for _, c := range []struct {
		file, than   string
		pos, thanPos uint64
		want         bool
	}{
		{"log.000001", "log.000001", 4, 4, true}, {"log.000001", "log.000001", 4, 5, false}, {"log.000002", "log.000001", 4, 500, true},
		{"log.000001", "log.000002", 500, 4, false}, {"log.1000000", "log.999999", 4, 500, true}, {"log.999999", "log.1000000", 500, 4, false},
		{"", "log.000001", 0, 4, false},
	} {
		if got := beyond(c.file, c.than, c.pos, c.thanPos); got != c.want {
			t.Errorf("%+v", c)
		}
	}
}

// TestAServiceThatCannotWriteGoesOn: what fails of its own is said of each table, and is
// over when it is over.
func TestAServiceThatCannotWriteGoesOn(t *testing.T) {
	r := newRig(t)
	// A file stands where the service's directory is to be.
	if err := os.WriteFile(r.cfg.Dir, []byte("in the way"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := r.service()
	r.until(s, "the trouble", func() bool {
		v := s.Verified("lake", orders)
		return v.State == verify.Unreadable && strings.Contains(v.Reason, "can't go on")
	})
	if err := os.Remove(r.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	r.until(s, "both tables to be looked at", func() bool {
		return s.Verified("lake", orders).State == verify.Equal && s.Verified("lake", items).State == verify.Equal
	})
}
