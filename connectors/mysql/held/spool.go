package held

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/connectors/mysql/stream"
	"github.com/millrace/millrace/internal/vfs"
)

// spoolBuffer is how much is written and read at once.
const spoolBuffer = 256 << 10

// spool is the part of a log that is in a file, one record an event: in one of its own, or in
// a part of one on the store's shelf. Nothing is synced: the file is worth nothing without the
// process.
type spool struct {
	store *Store
	file  vfs.File // nil on the shelf
	part  *part    // on the shelf
	buf   []byte   // not written yet
	size  int64    // written
	names []string
}

// spoolHead is the length of a record's head.
const spoolHead = 4 + 1 + 1 + 2 + 4 + 4 + 1 + 2 + 8 + 8 + 1 + 4 + 4 + 4

func (s *spool) add(e *stream.Event, f Frame) error {
	before := len(s.buf)
	s.buf = appendRecord(s.buf, e, f, s.name(e.Place.File))
	s.store.disk += int64(len(s.buf) - before)
	if len(s.buf) < spoolBuffer {
		return nil
	}
	return s.flush()
}

// name is the number of a log file's name among those that the spool knows.
func (s *spool) name(file string) int {
	for i := len(s.names) - 1; i >= 0; i-- {
		if s.names[i] == file {
			return i
		}
	}
	s.names = append(s.names, file)
	return len(s.names) - 1
}

func (s *spool) flush() error {
	file, at := s.place()
	n, err := file.WriteAt(s.buf, at+s.size)
	if err != nil {
		return s.store.explain(err)
	}
	s.size += int64(n)
	s.buf = s.buf[:0]
	if cap(s.buf) > 4*spoolBuffer {
		s.buf = nil // one event was large
	}
	return nil
}

// rest writes everything, so that nothing of the spool is in memory.
func (s *spool) rest() error {
	if err := s.flush(); err != nil {
		return err
	}
	s.buf = nil
	return nil
}

// place is the file and where in it the spool begins.
func (s *spool) place() (vfs.File, int64) {
	if s.part != nil {
		return s.part.in.file, s.part.at
	}
	return s.file, 0
}

// shelve moves what has a file of its own, and is whole in it, to the shelf, unless it is as
// large as a file there. Where that cannot be written it stays.
func (s *spool) shelve() {
	shelf := &s.store.shelf
	if s.part != nil || s.size >= shelf.full {
		return
	}
	p, err := shelf.begin()
	if err == nil {
		err = shelf.copy(p.in.file, p.at, s.size, func(b []byte, off int64) error { return readWhole(s.file, b, off) })
	}
	if err != nil {
		return
	}
	shelf.end(p, s.size)
	_ = s.file.Close()
	s.file, s.part = nil, p
}

func (s *spool) close() {
	s.store.disk -= s.size + int64(len(s.buf))
	if s.part != nil {
		s.store.shelf.drop(s.part)
		return
	}
	_ = s.file.Close()
}

func appendRecord(b []byte, e *stream.Event, f Frame, name int) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(spoolHead+len(e.Body)))
	b = append(b, byte(f), e.Type)
	b = binary.LittleEndian.AppendUint16(b, e.Flags)
	b = binary.LittleEndian.AppendUint32(b, e.Time)
	b = binary.LittleEndian.AppendUint32(b, e.ServerID)
	packed := byte(0)
	if e.Packed {
		packed = 1
	}
	b = append(b, packed)
	b = binary.LittleEndian.AppendUint16(b, uint16(name))
	b = binary.LittleEndian.AppendUint64(b, e.Place.Start)
	b = binary.LittleEndian.AppendUint64(b, e.Place.End)
	b = append(b, e.Place.Type)
	b = binary.LittleEndian.AppendUint32(b, e.Place.Time)
	b = binary.LittleEndian.AppendUint32(b, e.Place.Size)
	b = binary.LittleEndian.AppendUint32(b, e.Place.Checksum)
	return append(b, e.Body...)
}

var errSpool = errors.New("what was written there does not read back")

// parseRecord reads a whole record into e and its event; the body aliases b.
func parseRecord(b []byte, names []string, e *entry) error {
	if len(b) < spoolHead || uint64(binary.LittleEndian.Uint32(b)) != uint64(len(b)) {
		return errSpool
	}
	name := int(binary.LittleEndian.Uint16(b[17:]))
	if name >= len(names) || b[16] > 1 || Frame(b[4]) > XARollback {
		return errSpool
	}
	e.frame = Frame(b[4])
	*e.ev = stream.Event{
		Type: b[5], Flags: binary.LittleEndian.Uint16(b[6:]), Time: binary.LittleEndian.Uint32(b[8:]),
		ServerID: binary.LittleEndian.Uint32(b[12:]),
		Packed:   b[16] == 1, Body: b[spoolHead:],
		Place: stream.Place{
			File: names[name], Start: binary.LittleEndian.Uint64(b[19:]), End: binary.LittleEndian.Uint64(b[27:]),
			Type: b[35], Time: binary.LittleEndian.Uint32(b[36:]), Size: binary.LittleEndian.Uint32(b[40:]),
			Checksum: binary.LittleEndian.Uint32(b[44:]),
		},
	}
	return nil
}

// spoolReader reads a spool from its beginning. It holds one buffer, or one event that is
// larger.
type spoolReader struct {
	s   *spool
	at  int64 // of what is in buf
	buf []byte
	pos int
	e   entry
	ev  stream.Event
}

func (s *spool) reader() *spoolReader { return &spoolReader{s: s} }

func (r *spoolReader) next() (*entry, error) {
	head, err := r.take(4)
	if err != nil {
		return nil, r.s.store.explain(err)
	}
	record, err := r.take(int(binary.LittleEndian.Uint32(head)))
	if err == nil {
		r.e.ev = &r.ev
		err = parseRecord(record, r.s.names, &r.e)
	}
	if err != nil {
		return nil, r.s.store.explain(err)
	}
	r.pos += len(record)
	return &r.e, nil
}

// take makes the n bytes at the reader's place available; it does not move the reader.
func (r *spoolReader) take(n int) ([]byte, error) {
	if len(r.buf)-r.pos >= n {
		return r.buf[r.pos : r.pos+n], nil
	}
	r.at += int64(r.pos)
	r.pos = 0
	left := r.s.size + int64(len(r.s.buf)) - r.at
	if n < 0 || int64(n) > left {
		return nil, fmt.Errorf("%w: %d bytes wanted, %d left", errSpool, n, left)
	}
	want := int(min(int64(max(n, spoolBuffer)), left))
	if cap(r.buf) < want || cap(r.buf) > 4*spoolBuffer && want <= spoolBuffer {
		r.buf = make([]byte, want)
	}
	r.buf = r.buf[:want]
	onDisk := int(min(int64(want), max(0, r.s.size-r.at)))
	file, base := r.s.place()
	if m, err := file.ReadAt(r.buf[:onDisk], base+r.at); err != nil && !(errors.Is(err, io.EOF) && m == onDisk) {
		return nil, err
	}
	copy(r.buf[onDisk:], r.s.buf[max(0, r.at-r.s.size):])
	return r.buf[:n], nil
}
