package held

import (
	"fmt"
	"math/rand/v2"
	"path"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/vfs"
)

// DefaultMemory is what is held in memory at most, in bytes.
const DefaultMemory = 16 << 20

// Store is where what is held lies: up to a bound in memory, beyond it in files. One
// goroutine uses it.
type Store struct {
	fs     vfs.FS
	dir    string
	memory int64
	used   int64 // of memory
	parked int64 // of used, by prepared transactions
	disk   int64 // in files
	shelf  shelf
}

// NewStore makes a store over a directory, which is made when the first file is; memory is
// the bound in bytes.
func NewStore(fs vfs.FS, dir string, memory int64) *Store {
	s := &Store{fs: fs, dir: dir, memory: memory}
	s.shelf = shelf{create: s.create, full: shelfSize}
	return s
}

// Held is how much is held, in memory and in files, in bytes.
func (s *Store) Held() (memory, disk int64) { return s.used, s.disk }

// overhead is what an event takes beside its body.
const overhead = 160

// grant takes n bytes of memory if they are left.
func (s *Store) grant(n int64) bool {
	if s.used+n > s.memory {
		return false
	}
	s.used += n
	return true
}

// create makes a file that only its opener can reach: its name is gone at once, and its
// bytes with the last use of it.
func (s *Store) create() (vfs.File, error) {
	if err := s.fs.MkdirAll(s.dir, 0o700); err != nil {
		return nil, s.explain(err)
	}
	name := path.Join(s.dir, fmt.Sprintf("held-%016x", rand.Uint64())) // others may use the directory
	f, err := s.fs.Create(name)
	if err != nil {
		return nil, s.explain(err)
	}
	if err := s.fs.Remove(name); err != nil {
		_ = f.Close()
		return nil, s.explain(err)
	}
	return f, nil
}

func (s *Store) explain(err error) error {
	return fmt.Errorf("hold a transaction back in %s until its end is known: %w; make room there, or have the daemon keep its "+
		"data elsewhere", s.dir, err)
}

// entry is an event and what it is to its transaction.
type entry struct {
	ev    *stream.Event
	frame Frame
}

// log is a run of events. The first ones are in memory, those behind them in a file. Those
// in memory are in a file of their own once they were spilled.
type log struct {
	store  *Store
	front  *spool
	fronts int // events in front
	mem    []entry
	own    int   // so many of mem are copies of our own; the others are the caller's
	bytes  int64 // of memory granted for mem
	spool  *spool
	events int
	parked bool // bytes are among the store's parked ones
}

// add appends an event: the caller's until keep is called, or a copy in the file.
func (l *log) add(e *stream.Event, f Frame) error {
	n := int64(len(e.Body)) + overhead
	if l.spool == nil && l.store.grant(n) {
		l.mem = append(l.mem, entry{ev: e, frame: f})
		l.bytes += n
		l.events++
		return nil
	}
	if l.spool == nil {
		f, err := l.store.create()
		if err != nil {
			return err
		}
		l.spool = &spool{store: l.store, file: f}
	}
	if err := l.spool.add(e, f); err != nil {
		return err
	}
	l.events++
	return nil
}

// keep makes copies of the events that are the caller's; their bodies are shared.
func (l *log) keep() {
	copies := make([]stream.Event, len(l.mem)-l.own)
	for i := range copies {
		copies[i] = *l.mem[l.own+i].ev
		l.mem[l.own+i].ev = &copies[i]
	}
	l.own = len(l.mem)
}

// compact makes the events in memory the log's own, and their bodies too: these are parts
// of larger pieces, which they would keep alive.
func (l *log) compact() {
	l.keep()
	for _, en := range l.mem {
		en.ev.Body = append([]byte(nil), en.ev.Body...)
	}
}

// park makes the log ready to wait for long: what it has in memory is its own, and no more
// of it than leaves others half of the memory. Else it goes to the shelf, or stays where it is
// if nothing can be written. Nothing may be added any more.
func (l *log) park() {
	if l.spool != nil && l.spool.rest() == nil { // what could not be written is read from memory
		l.spool.shelve()
	}
	if l.store.parked+l.bytes > l.store.memory/2 && l.spill() == nil {
		return
	}
	l.compact()
	l.parked = true
	l.store.parked += l.bytes
}

// spill moves the events in memory to the shelf.
func (l *log) spill() error {
	p, err := l.store.shelf.begin()
	if err != nil {
		return err
	}
	to := &spool{store: l.store, part: p}
	for i := range l.mem {
		if err = to.add(l.mem[i].ev, l.mem[i].frame); err != nil {
			break
		}
	}
	if err == nil {
		err = to.rest()
	}
	if err != nil {
		l.store.disk -= to.size + int64(len(to.buf))
		return err
	}
	l.store.shelf.end(p, to.size)
	l.front, l.fronts = to, len(l.mem)
	l.store.used -= l.bytes
	l.mem, l.own, l.bytes = nil, 0, 0
	return nil
}

// drop forgets everything; the log can be used again.
func (l *log) drop() {
	l.store.used -= l.bytes
	if l.parked {
		l.store.parked -= l.bytes
	}
	clear(l.mem)
	if cap(l.mem) > 1<<12 {
		l.mem = nil
	}
	l.mem, l.own, l.bytes, l.events, l.parked = l.mem[:0], 0, 0, 0, false
	for _, s := range []*spool{l.front, l.spool} {
		if s != nil {
			s.close()
		}
	}
	l.front, l.fronts, l.spool = nil, 0, nil
}

// walk goes through a log from its first event on. The entry that next returns is good
// until the call that follows.
type walk struct {
	log   *log
	at    int // number of the next event
	front *spoolReader
	r     *spoolReader
}

func (w *walk) next() (*entry, error) {
	if w.at >= w.log.events {
		return nil, nil
	}
	w.at++
	if w.at <= w.log.fronts {
		if w.front == nil {
			w.front = w.log.front.reader()
		}
		return w.front.next()
	}
	if w.at <= len(w.log.mem) {
		return &w.log.mem[w.at-1], nil
	}
	if w.r == nil {
		w.r = w.log.spool.reader()
	}
	return w.r.next()
}
