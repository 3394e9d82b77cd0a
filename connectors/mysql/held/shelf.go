package held

import (
	"slices"

	"github.com/millrace/millrace/internal/vfs"
)

// shelf is where prepared transactions wait that have no room in memory. There may be any
// number of them, for days, and a file each would take a descriptor each: so they lie behind
// each other in files of shelfSize and more, as parts.
//
//	park                 → the part goes behind the others in the newest file; a new one is begun
//	                       when that has shelfSize
//	XA COMMIT, ROLLBACK  → the part is garbage; a file without parts is closed, which frees its
//	                       bytes, and one that is garbage for three quarters gives its parts to
//	                       the newest
//
// So a file but the newest has a quarter of shelfSize at least that is needed: what waits takes
// four times its bytes on disk at most, a file of up to twice shelfSize aside, and a descriptor
// for each 16 MiB. One that is larger than shelfSize by itself keeps the file that it has.
type shelf struct {
	create func() (vfs.File, error)
	full   int64        // from which size on a file takes no more
	files  []*shelfFile // the last one is written to
	buf    []byte       // for copies
}

// shelfSize is the size from which on a file takes no more, in bytes.
const shelfSize = 64 << 20

type shelfFile struct {
	file  vfs.File
	size  int64 // written
	live  int64 // of parts
	parts []*part
}

// part is a run of bytes in a shelf's file; it may be moved to another.
type part struct {
	in       *shelfFile
	at, size int64
	no       int // in the file's parts
}

// begin is a part of no size yet, behind everything else. It must be ended, or given up with
// nothing more to do, before another begins.
func (s *shelf) begin() (*part, error) {
	last := len(s.files) - 1
	if last < 0 || s.files[last].size >= s.full {
		file, err := s.create()
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, &shelfFile{file: file})
		if last >= 0 {
			s.tidy(s.files[last])
		}
		last = len(s.files) - 1
	}
	return &part{in: s.files[last], at: s.files[last].size}, nil
}

// end makes a part that was written its file's own.
func (s *shelf) end(p *part, size int64) {
	p.size = size
	s.put(p)
}

func (s *shelf) put(p *part) {
	p.in.size = p.at + p.size
	p.in.live += p.size
	p.no = len(p.in.parts)
	p.in.parts = append(p.in.parts, p)
}

// drop makes a part garbage.
func (s *shelf) drop(p *part) {
	f := p.in
	f.live -= p.size
	last := len(f.parts) - 1
	f.parts[p.no] = f.parts[last]
	f.parts[p.no].no = p.no
	f.parts = f.parts[:last]
	s.tidy(f)
}

// tidy closes a file without parts, and empties one with little in it but garbage.
func (s *shelf) tidy(f *shelfFile) {
	newest := s.files[len(s.files)-1]
	if len(f.parts) > 0 && f != newest && f.live <= f.size/4 {
		s.empty(f, newest)
	}
	if len(f.parts) == 0 {
		_ = f.file.Close()
		s.files = slices.DeleteFunc(s.files, func(x *shelfFile) bool { return x == f })
	}
}

// empty moves parts to another file. What cannot be written there stays where it is.
func (s *shelf) empty(f, to *shelfFile) {
	for len(f.parts) > 0 {
		p := f.parts[len(f.parts)-1]
		at := to.size
		if err := s.copy(to.file, at, p.size, func(b []byte, off int64) error { return readWhole(f.file, b, p.at+off) }); err != nil {
			return
		}
		f.parts = f.parts[:len(f.parts)-1]
		f.live -= p.size
		p.in, p.at = to, at
		s.put(p)
	}
}

// copy writes n bytes, which read gives piece by piece.
func (s *shelf) copy(to vfs.File, at, n int64, read func(b []byte, off int64) error) error {
	if s.buf == nil {
		s.buf = make([]byte, spoolBuffer)
	}
	for off := int64(0); off < n; {
		b := s.buf[:min(n-off, int64(len(s.buf)))]
		if err := read(b, off); err != nil {
			return err
		}
		if _, err := to.WriteAt(b, at+off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// readWhole fills b.
func readWhole(f vfs.File, b []byte, at int64) error {
	if n, err := f.ReadAt(b, at); n < len(b) {
		return err // of a file that is shorter, io.EOF
	}
	return nil
}
