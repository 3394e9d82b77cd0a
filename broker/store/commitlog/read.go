package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/broker/store/segment"
	"github.com/millrace/millrace/message"
)

// ReadAt fills b with the bytes at phys. It fails with ErrNotFound when not all of them
// are readable.
func (l *Log) ReadAt(b []byte, phys int64) error {
	if phys < l.Min() || phys+int64(len(b)) > l.Readable() {
		return fmt.Errorf("%w: %d bytes at %d, readable is %d to %d", ErrNotFound, len(b), phys, l.Min(), l.Readable())
	}
	err := l.files.ReadAt(b, phys)
	if errors.Is(err, segment.ErrOutside) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// Scan calls fn for every record from the one at from on, up to the readable end as it is
// while it scans, and returns where it stopped. The record is valid during the call. It
// verifies framing, place and checksum: a record that fails is ErrCorrupt.
func (l *Log) Scan(from int64, fn func(rec *message.Record, phys int64, size int32) error) (int64, error) {
	s := scanner{log: l, size: l.files.FileSize()}
	pos := max(from, l.Min())
	for {
		end := l.Readable()
		if pos >= end {
			return pos, nil
		}
		next, err := s.run(pos, end, fn)
		if err != nil {
			if errors.Is(err, errNoRecord) {
				err = l.corrupt(next, err)
			}
			return next, err
		}
		pos = next
	}
}

func (l *Log) corrupt(pos int64, why error) error {
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, l.files.Place(pos), why)
}

// errNoRecord says that there is no whole, valid record at a place.
var errNoRecord = errors.New("no valid record")

// errEnd says that there are zeroes at a place.
var errEnd = fmt.Errorf("%w: zeroes", errNoRecord)

const scanBuffer = 1 << 20

// scanner walks over records between two offsets, a buffer at a time.
type scanner struct {
	log  *Log
	size int64
	buf  []byte
	rec  message.Record
}

// run visits the records in [pos, end), which lies in files, and returns where it
// stopped: at end, or at what is no record.
func (s *scanner) run(pos, end int64, fn func(*message.Record, int64, int32) error) (int64, error) {
	want := int64(scanBuffer)
	for pos < end {
		fileEnd := pos - pos%s.size + s.size
		have := min(end, fileEnd) - pos
		b, err := s.fill(pos, min(want, have))
		if err != nil {
			return pos, err
		}
		next, err := s.visit(b, pos, fileEnd, fn)
		if errors.Is(err, message.ErrTruncated) {
			if next > pos { // the rest is read again, with more behind it
				pos, want = next, scanBuffer
				continue
			}
			size, _, herr := message.ParseHead(b)
			if herr != nil || int64(size) > have || size > s.log.cfg.MaxRecord {
				return next, fmt.Errorf("%w: %w", errNoRecord, err)
			}
			want = int64(size)
			continue
		}
		if err != nil {
			return next, err
		}
		pos, want = next, scanBuffer
	}
	return pos, nil
}

func (s *scanner) fill(pos, n int64) ([]byte, error) {
	if int64(cap(s.buf)) < n {
		s.buf = make([]byte, n)
	}
	return s.buf[:n], s.log.files.ReadAt(s.buf[:n], pos)
}

// visit walks over b, which stands at pos, and returns where it stopped.
func (s *scanner) visit(b []byte, pos, fileEnd int64, fn func(*message.Record, int64, int32) error) (int64, error) {
	for len(b) > 0 {
		var n int
		var err error
		s.rec, n, err = message.ParseRecord(b)
		switch {
		case errors.Is(err, message.ErrBlank):
			if int64(n) != fileEnd-pos {
				return pos, fmt.Errorf("%w: a blank of %d bytes where %d are left", errNoRecord, n, fileEnd-pos)
			}
			return fileEnd, nil
		case errors.Is(err, message.ErrTruncated):
			return pos, err
		case err != nil:
			if len(b) >= message.HeadLen && [message.HeadLen]byte(b) == [message.HeadLen]byte{} {
				return pos, errEnd
			}
			return pos, fmt.Errorf("%w: %w", errNoRecord, err)
		}
		if err := check(&s.rec, pos, s.size-(fileEnd-pos)+int64(n)); err != nil {
			return pos, fmt.Errorf("%w: %w", errNoRecord, err)
		}
		if err := fn(&s.rec, pos, int32(n)); err != nil {
			return pos, err
		}
		b, pos = b[n:], pos+int64(n)
	}
	return pos, nil
}

// check tells whether the record that stands at pos, and ends at end of its file, is whole.
func check(rec *message.Record, pos, end int64) error {
	if rec.PhysicalOffset != pos {
		return fmt.Errorf("the record there says that it stands at %d", rec.PhysicalOffset)
	}
	if strings.IndexByte(rec.Topic, 0) >= 0 {
		return errors.New("its topic lacks a sector")
	}
	if lostSector(rec.Properties, end) {
		return errors.New("its properties lack a sector")
	}
	return rec.CheckCRC()
}

// sector is the unit that a disk writes whole or not at all.
const sector = 512

// LooksLost tells whether properties look, at some place of a file, as if they lacked a
// sector. Who appends a record of which recovery would believe that asks first.
func LooksLost(props []byte) bool {
	n := len(props)
	return n > 0 && (props[0] == 0 || props[n-1] == 0) || n > sector && bytes.Contains(props, make([]byte, sector))
}

// lostSector tells whether all that a sector holds of the properties, which end at end of
// their file, is zero: no checksum covers them, and text does not look like that.
func lostSector(props []byte, end int64) bool {
	for len(props) > 0 {
		n := int(min(int64(len(props)), (end-1)%sector+1))
		if part := props[len(props)-n:]; len(bytes.Trim(part, "\x00")) == 0 {
			return true
		}
		props, end = props[:len(props)-n], end-int64(n)
	}
	return false
}
