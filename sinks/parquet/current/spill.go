package current

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/objects"
)

const (
	// spillDepth says into how many parts a spill is divided, as a power of two.
	spillDepth = 8
	// spillBlockBytes is the size of a block, unless a single change takes more; every part
	// fills one.
	spillBlockBytes = 16 << 10
)

// spill is a scratch file that holds a merge's changes by the first bits of their keys'
// hashes, so that each pass reads what it needs and the files of changes/ are read once.
// It is made of blocks, each of one part and of whole records: the number (8 bytes), 1 for
// a deletion else 0, and the key and the row's cells, each behind its length as a uvarint.
// Nobody reads it but the merge that wrote it; it is never synced.
type spill struct {
	f     *objects.File
	count int64 // of changes
	parts [1 << spillDepth]spillPart
	buf   []byte // of the block being read
}

type spillPart struct {
	fill   []byte
	blocks []spillBlock
}

type spillBlock struct {
	at   int64
	size int
}

func newSpill(scratch *objects.Scratch) (*spill, error) {
	f, err := scratch.Create()
	if err != nil {
		return nil, err
	}
	return &spill{f: f}, nil
}

// add notes a change. key and row are copied.
func (s *spill) add(hash uint64, key []byte, seq event.Seq, del bool, row []byte) error {
	s.count++
	p := &s.parts[hash>>(64-spillDepth)]
	if need := 9 + 2*binary.MaxVarintLen32 + len(key) + len(row); len(p.fill) > 0 && len(p.fill)+need > spillBlockBytes {
		if err := s.write(p); err != nil {
			return err
		}
	}
	p.fill = binary.LittleEndian.AppendUint64(p.fill, uint64(seq))
	if del {
		p.fill = append(p.fill, 1)
	} else {
		p.fill = append(p.fill, 0)
	}
	p.fill = binary.AppendUvarint(p.fill, uint64(len(key)))
	p.fill = append(p.fill, key...)
	p.fill = binary.AppendUvarint(p.fill, uint64(len(row)))
	p.fill = append(p.fill, row...)
	if len(p.fill) < spillBlockBytes {
		return nil
	}
	err := s.write(p)
	p.fill = nil // or each part would keep room for its largest row
	return err
}

func (s *spill) write(p *spillPart) error {
	if len(p.fill) == 0 {
		return nil
	}
	at := s.f.Size()
	if _, err := s.f.Write(p.fill); err != nil {
		return fmt.Errorf("write the scratch file of a merge: %w", err)
	}
	p.blocks = append(p.blocks, spillBlock{at, len(p.fill)})
	p.fill = p.fill[:0]
	return nil
}

// full writes what is still in memory; nothing is added after it.
func (s *spill) full() error {
	for i := range s.parts {
		if err := s.write(&s.parts[i]); err != nil {
			return err
		}
		s.parts[i].fill = nil
	}
	return nil
}

var errSpill = errors.New("the scratch file of a merge is damaged")

// each hands over the changes of the part in which p lies, or of those that lie in p; in a
// part they have the order in which they were added. key and row are valid until done is
// called, which is after every few.
func (s *spill) each(p bucket, change func(key []byte, seq event.Seq, del bool, row []byte) error, done func() error) error {
	const shift = 64 - spillDepth
	for i := p.prefix >> shift; i <= p.last()>>shift; i++ {
		for _, b := range s.parts[i].blocks {
			if cap(s.buf) < b.size {
				s.buf = make([]byte, b.size)
			}
			s.buf = s.buf[:b.size]
			if n, err := s.f.ReadAt(s.buf, b.at); n < b.size {
				return errors.Join(errSpill, err)
			}
			if err := eachSpilled(s.buf, change); err != nil {
				return err
			}
			if err := done(); err != nil {
				return err
			}
		}
	}
	return nil
}

func eachSpilled(b []byte, change func(key []byte, seq event.Seq, del bool, row []byte) error) error {
	piece := func() (p []byte, ok bool) {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, false
		}
		p, b = b[k:k+int(n)], b[k+int(n):]
		return p, true
	}
	for len(b) > 0 {
		if len(b) < 9 || b[8] > 1 {
			return errSpill
		}
		seq, del := event.Seq(binary.LittleEndian.Uint64(b)), b[8] == 1
		b = b[9:]
		key, ok := piece()
		if !ok {
			return errSpill
		}
		row, ok := piece()
		if !ok {
			return errSpill
		}
		if err := change(key, seq, del, row); err != nil {
			return err
		}
	}
	return nil
}

// remove ends the file. One that cannot be removed goes with the scratch.
func (s *spill) remove() { _ = s.f.Close() }
