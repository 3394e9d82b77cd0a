package native

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits on what a block may hold.
const (
	MaxBlock   = 1 << 30 // bytes of one block
	maxName    = 1 << 20 // of a column, a type, a path
	maxColumns = 1 << 16
	maxTypes   = 1 << 16 // of a Dynamic, paths of a JSON
)

// step is how much is asked for at once: what is claimed is allocated as it comes.
const step = 1 << 20

var errTooBig = fmt.Errorf("the block is larger than %d bytes", MaxBlock)

// source copies what is read from it behind out.
type source struct {
	r   *bufio.Reader
	out []byte
}

// eof makes of an end in the middle of a value what it is.
func eof(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// take copies n bytes and returns them; they are valid until the next call.
func (s *source) take(n uint64) ([]byte, error) {
	if n > MaxBlock || uint64(len(s.out))+n > MaxBlock {
		return nil, errTooBig
	}
	start := len(s.out)
	for n > 0 {
		now := min(n, step)
		at := len(s.out)
		s.grow(int(now))
		if _, err := io.ReadFull(s.r, s.out[at:]); err != nil {
			return nil, eof(err)
		}
		n -= now
	}
	return s.out[start:], nil
}

// grow makes out n bytes longer.
func (s *source) grow(n int) {
	if len(s.out)+n <= cap(s.out) {
		s.out = s.out[:len(s.out)+n]
		return
	}
	s.out = append(s.out, make([]byte, n)...)
}

// each takes n values of a width.
func (s *source) each(n, width uint64) error {
	if width != 0 && n > MaxBlock/width {
		return errTooBig
	}
	_, err := s.take(n * width)
	return err
}

// number copies an unsigned number of variable length.
func (s *source) number() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := s.r.ReadByte()
		if err != nil {
			return 0, eof(err)
		}
		s.out = append(s.out, b)
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if shift == 63 && b > 1 {
				break
			}
			return v, nil
		}
	}
	return 0, errors.New("a number does not fit 64 bits")
}

// skipNumber reads a number without copying it.
func (s *source) skipNumber() (uint64, error) {
	at := len(s.out)
	v, err := s.number()
	s.out = s.out[:at]
	return v, err
}

// fixed64 copies eight bytes.
func (s *source) fixed64() (uint64, error) {
	b, err := s.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// name copies a short string.
func (s *source) name() (string, error) {
	n, err := s.number()
	if err != nil {
		return "", err
	}
	if n > maxName {
		return "", fmt.Errorf("a name of %d bytes: %d are the limit", n, maxName)
	}
	b, err := s.take(n)
	return string(b), err
}

// strings copies n strings: what lies in the buffer goes over at once.
func (s *source) strings(n uint64) error {
	for n > 0 {
		if s.r.Buffered() == 0 {
			if _, err := s.r.Peek(1); err != nil {
				return eof(err)
			}
		}
		window, err := s.r.Peek(s.r.Buffered())
		if err != nil {
			return eof(err)
		}
		at, count := whole(window, n)
		if count > 0 {
			if len(s.out)+at > MaxBlock {
				return errTooBig
			}
			s.out = append(s.out, window[:at]...)
			if _, err := s.r.Discard(at); err != nil {
				return eof(err)
			}
			n -= count
			continue
		}
		length, err := s.number()
		if err != nil {
			return err
		}
		if _, err := s.take(length); err != nil {
			return err
		}
		n--
	}
	return nil
}

// whole is where the last complete string of the window ends, and how many there are, at
// most n.
func whole(window []byte, n uint64) (end int, count uint64) {
	for count < n {
		length, width := binary.Uvarint(window[end:])
		if width <= 0 || length > uint64(len(window)-end-width) {
			break
		}
		end += width + int(length)
		count++
	}
	return end, count
}
