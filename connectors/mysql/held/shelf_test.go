package held

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/internal/vfs/errorfs"
)

// counted is a file system that counts its open files.
type counted struct {
	vfs.FS
	open, most int
}

func (c *counted) Create(name string) (vfs.File, error) {
	f, err := c.FS.Create(name)
	if err == nil {
		c.open++
		c.most = max(c.most, c.open)
		f = &countedFile{File: f, of: c}
	}
	return f, err
}

type countedFile struct {
	vfs.File
	of *counted
}

func (f *countedFile) Close() error {
	f.of.open--
	return f.File.Close()
}

// preparing drives an Assembler through prepared transactions of numbered rows.
type preparing struct {
	t  *testing.T
	a  *Assembler
	at uint64
	// taken is called when an event was taken, and before its steps are.
	taken func()
}

func (p *preparing) take(e stream.Event) (steps []Step) {
	p.t.Helper()
	e.Place = stream.Place{File: "f", Start: p.at, End: p.at + 10}
	p.at += 10
	if err := p.a.Take(&e); err != nil {
		p.t.Fatal(err)
	}
	if p.taken != nil {
		p.taken()
	}
	for {
		s, ok, err := p.a.Next()
		if err != nil {
			p.t.Fatal(err)
		}
		if !ok {
			return steps
		}
		one := *s.Event
		one.Body = append([]byte(nil), one.Body...)
		s.Event = &one
		steps = append(steps, s)
	}
}

func (p *preparing) query(sql string) []Step {
	p.t.Helper()
	return p.take(stream.Event{Type: stream.QueryEvent, Body: append(make([]byte, 14), sql...)})
}

func xaName(id int) string { return fmt.Sprintf("X'%x',X'',1", fmt.Sprint(id)) }

// prepare prepares a transaction of rows of a size; parking is called before it is put away.
func (p *preparing) prepare(id, rows, size int, parking func()) {
	p.t.Helper()
	p.query("XA START " + xaName(id))
	for i := range rows {
		p.take(stream.Event{Type: stream.WriteRowsV1, Body: append(make([]byte, size), fmt.Sprintf("%d/%d", id, i)...)})
	}
	p.taken = parking
	p.take(stream.Event{Type: stream.XAPrepareEvent, Body: prepareBody(fmt.Sprint(id), false)})
	p.taken = nil
}

// decide ends a transaction, and counts its rows.
func (p *preparing) decide(id, rows, size int, commit bool) {
	p.t.Helper()
	if !commit {
		p.query("XA ROLLBACK " + xaName(id))
		return
	}
	came := 0
	for _, s := range p.query("XA COMMIT " + xaName(id)) {
		if s.Event.Type != stream.WriteRowsV1 {
			continue
		}
		if got, want := string(s.Event.Body[size:]), fmt.Sprintf("%d/%d", id, came); got != want {
			p.t.Fatalf("row %s came for row %s", got, want)
		}
		came++
	}
	if came != rows {
		p.t.Fatalf("transaction %d: %d rows of %d", id, came, rows)
	}
}

// TestThousandsOfPreparedTransactionsShareFiles: what waits has a few descriptors, however many
// wait, and gives all of them back.
func TestThousandsOfPreparedTransactionsShareFiles(t *testing.T) {
	fs := &counted{FS: vfs.OS()}
	store := NewStore(fs, t.TempDir(), 64<<10)
	p := preparing{t: t, a: New(true, store, nil), at: 4}
	const n, rows, size = 5000, 3, 300
	for id := range n {
		p.prepare(id, rows, size, func() {})
	}
	if fs.open == 0 || fs.most > 3 {
		t.Errorf("%d transactions had %d files open, %d at most", n, fs.open, fs.most)
	}
	for _, id := range rand.Perm(n) {
		p.decide(id, rows, size, id%3 > 0)
	}
	if m, disk := store.Held(); fs.open != 0 || m != 0 || disk != 0 {
		t.Errorf("%d files are open, %d bytes of memory and %d of files are held", fs.open, m, disk)
	}
}

// TestShelvesStayBelowTheirBound prepares and decides at random, with files that are full soon
// and disks that are, and compares what comes back. Files stay bounded by what waits.
func TestShelvesStayBelowTheirBound(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for _, failing := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(seed, 1))
		fails := false
		fs := &counted{FS: errorfs.Wrap(vfs.NewMem(), errorfs.Func(func(op errorfs.Op) errorfs.Action {
			if fails && (op.Kind == errorfs.Create || op.Kind == errorfs.WriteAt) && rng.IntN(2) == 0 {
				return errorfs.Action{Err: syscall.ENOSPC}
			}
			return errorfs.Action{}
		}))}
		store := NewStore(fs, "d", 24<<10)
		store.shelf.full = 4 << 10
		p := preparing{t: t, a: New(true, store, nil), at: 4}
		type one struct{ id, rows, size int }
		var waits []one
		for id := range 4000 {
			x := one{id, 1 + rng.IntN(4), rng.IntN(900)}
			if rng.IntN(50) == 0 {
				x.rows = 40 // goes to a file before it is prepared
			}
			p.prepare(x.id, x.rows, x.size, func() { fails = failing })
			fails = false
			waits = append(waits, x)
			for len(waits) > 60 || rng.IntN(3) == 0 && len(waits) > 0 {
				i := rng.IntN(len(waits))
				if rng.IntN(4) > 0 {
					i = len(waits) - 1 // most are decided soon, some never are
				}
				x := waits[i]
				waits = append(waits[:i], waits[i+1:]...)
				p.decide(x.id, x.rows, x.size, rng.IntN(5) > 0)
			}
			live, large := int64(0), 0
			for _, f := range store.shelf.files {
				live += f.live
			}
			for _, w := range p.a.prepared {
				if w.log.spool != nil && w.log.spool.part == nil {
					large++
				}
			}
			if most := live/(store.shelf.full/4) + 1; !failing && (int64(len(store.shelf.files)) > most || fs.open > len(store.shelf.files)+large) {
				t.Fatalf("%d files on the shelf and %d open for %d bytes, %d at most", len(store.shelf.files), fs.open, live, most)
			}
		}
		for _, x := range waits {
			p.decide(x.id, x.rows, x.size, true)
		}
		p.a.Close()
		if m, disk := store.Held(); fs.open > 1 || m != 0 || disk != 0 {
			t.Errorf("%d files are open, %d bytes of memory and %d of files are held", fs.open, m, disk)
		}
	}
}
