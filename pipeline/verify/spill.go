package verify

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	parts      = 64
	partBits   = 6
	blockBytes = 16 << 10
	blockHead  = 8
	// maxRecord bounds what a damaged file can ask for.
	maxRecord = 64 << 20
)

// key is a 128-bit hash: of the key columns, or of the whole row in a keyless table.
type key [2]uint64

// part is where a key is at a depth of splitting.
func (k key) part(depth int) int { return int(k[0]>>(64-partBits*(depth+1))) & (parts - 1) }

// spill is records on disk in parts by their key's hash. A file holds blocks, each of one
// part: part and length, 4 bytes each, then records (hash, length, bytes). In memory are a
// buffer for each part and the place of each block.
type spill struct {
	file   *os.File
	depth  int
	size   int64
	bufs   [parts][]byte
	blocks [parts][]int64
	n      int64
}

func newSpill(path string, depth int) (*spill, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("room for the comparison: %w", err)
	}
	return &spill{file: f, depth: depth}, nil
}

// reopenSpill takes up a file of which size bytes are known to be whole.
func reopenSpill(path string, size int64) (*spill, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("room for the comparison: %w", err)
	}
	s := &spill{file: f}
	if err := s.find(size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// find reads the heads of the blocks up to size and cuts off what is behind it.
func (s *spill) find(size int64) error {
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < size {
		return fmt.Errorf("%s has %d bytes, not %d", s.file.Name(), info.Size(), size)
	}
	var head [blockHead]byte
	for s.size < size {
		if _, err := s.file.ReadAt(head[:], s.size); err != nil {
			return fmt.Errorf("%s: %w", s.file.Name(), err)
		}
		part, length := binary.LittleEndian.Uint32(head[:]), int64(binary.LittleEndian.Uint32(head[4:]))
		if part >= parts || s.size+blockHead+length > size {
			return fmt.Errorf("%s is damaged at %d", s.file.Name(), s.size)
		}
		s.blocks[part] = append(s.blocks[part], s.size)
		s.size += blockHead + length
	}
	return s.file.Truncate(size)
}

// add takes a record.
func (s *spill) add(k key, payload ...[]byte) error {
	length := 0
	for _, p := range payload {
		length += len(p)
	}
	part := k.part(s.depth)
	b := s.bufs[part]
	if len(b) > 0 && len(b)+length+26 > blockBytes {
		if err := s.flush(part); err != nil {
			return err
		}
		b = s.bufs[part]
	}
	b = binary.LittleEndian.AppendUint64(b, k[0])
	b = binary.LittleEndian.AppendUint64(b, k[1])
	b = binary.AppendUvarint(b, uint64(length))
	for _, p := range payload {
		b = append(b, p...)
	}
	s.bufs[part] = b
	s.n++
	return nil
}

func (s *spill) flush(part int) error {
	b := s.bufs[part]
	if len(b) == 0 {
		return nil
	}
	var head [blockHead]byte
	binary.LittleEndian.PutUint32(head[:], uint32(part))
	binary.LittleEndian.PutUint32(head[4:], uint32(len(b)))
	if _, err := s.file.WriteAt(head[:], s.size); err != nil {
		return fmt.Errorf("room for the comparison: %w", err)
	}
	if _, err := s.file.WriteAt(b, s.size+blockHead); err != nil {
		return fmt.Errorf("room for the comparison: %w", err)
	}
	s.blocks[part] = append(s.blocks[part], s.size)
	s.size += blockHead + int64(len(b))
	if cap(b) > 4*blockBytes {
		b = nil // a record of megabytes does not stay
	}
	s.bufs[part] = b[:0]
	return nil
}

// mark writes out what is held and says how large the file is: a place to go back to.
func (s *spill) mark() (size, n int64, err error) {
	for part := range s.bufs {
		if err := s.flush(part); err != nil {
			return 0, 0, err
		}
	}
	return s.size, s.n, nil
}

// back forgets what came behind a mark.
func (s *spill) back(size, n int64) error {
	for part := range s.bufs {
		s.bufs[part] = s.bufs[part][:0]
		blocks := s.blocks[part]
		for len(blocks) > 0 && blocks[len(blocks)-1] >= size {
			blocks = blocks[:len(blocks)-1]
		}
		s.blocks[part] = blocks
	}
	s.size, s.n = size, n
	return s.file.Truncate(size)
}

func (s *spill) sync() error { return s.file.Sync() }

// each gives the records of a part, in the order in which they came. Payloads are valid
// during the call.
func (s *spill) each(part int, fn func(k key, payload []byte) error) error {
	if err := s.flush(part); err != nil {
		return err
	}
	var head [16]byte
	var payload []byte
	for _, at := range s.blocks[part] {
		if _, err := s.file.ReadAt(head[:blockHead], at); err != nil {
			return fmt.Errorf("%s: %w", s.file.Name(), err)
		}
		r := bufio.NewReaderSize(io.NewSectionReader(s.file, at+blockHead, int64(binary.LittleEndian.Uint32(head[4:]))), blockBytes)
		for {
			if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return fmt.Errorf("%s: %w", s.file.Name(), err)
			}
			length, err := binary.ReadUvarint(r)
			if err != nil || length > maxRecord {
				return fmt.Errorf("%s is damaged at %d: %w", s.file.Name(), at, errors.Join(err, io.ErrUnexpectedEOF))
			}
			if uint64(cap(payload)) < length {
				payload = make([]byte, length)
			}
			payload = payload[:length]
			if _, err := io.ReadFull(r, payload); err != nil {
				return fmt.Errorf("%s: %w", s.file.Name(), err)
			}
			k := key{binary.LittleEndian.Uint64(head[:]), binary.LittleEndian.Uint64(head[8:])}
			if err := fn(k, payload); err != nil {
				return err
			}
		}
	}
	return nil
}

// all gives the records of all parts.
func (s *spill) all(fn func(k key, payload []byte) error) error {
	for part := range parts {
		if err := s.each(part, fn); err != nil {
			return err
		}
	}
	return nil
}

// split copies one part into a file of its own, parted by the next bits of the hash.
func (s *spill) split(part int, path string) (*spill, error) {
	out, err := newSpill(path, s.depth+1)
	if err != nil {
		return nil, err
	}
	if err := s.each(part, func(k key, payload []byte) error { return out.add(k, payload) }); err != nil {
		return nil, errors.Join(err, out.remove())
	}
	return out, nil
}

// close leaves the file, remove does not.
func (s *spill) close() error { return s.file.Close() }

func (s *spill) remove() error { return errors.Join(s.file.Close(), os.Remove(s.file.Name())) }
