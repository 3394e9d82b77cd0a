package stream

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// maxEvent bounds an event after decompression: the largest that a server can write
// (max_allowed_packet).
const maxEvent = 1 << 30

// payload is a compressed transaction (TRANSACTION_PAYLOAD_EVENT).
type payload struct {
	compression uint64
	data        []byte
}

func parsePayload(b []byte) (payload, error) {
	p := payload{compression: 255}
	for {
		typ, n := lenenc(b)
		if n == 0 {
			return p, corrupt("compressed transaction without an end of its fields")
		}
		b = b[n:]
		if typ == 0 {
			p.data = b
			return p, nil
		}
		size, n := lenenc(b)
		if n == 0 || size > uint64(len(b)-n) {
			return p, corrupt("field %d of a compressed transaction is cut short", typ)
		}
		field := b[n : n+int(size)]
		b = b[n+int(size):]
		if typ == 2 {
			v, n := lenenc(field)
			if n == 0 {
				return p, corrupt("compression type of a transaction is cut short")
			}
			p.compression = v
		}
	}
}

// unpack gives each event of the compressed transaction e to fn; they are read one by
// one, so that memory holds one event at a time and not the transaction.
func unpack(e *Event, fn func(Event) error) error {
	p, err := parsePayload(e.Body)
	if err != nil {
		return err
	}
	var r io.Reader
	switch p.compression {
	case 0:
		d, err := zstd.NewReader(bytes.NewReader(p.data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxEvent))
		if err != nil {
			return fmt.Errorf("compressed transaction: %w", err)
		}
		defer d.Close()
		r = d
	case 255:
		r = bytes.NewReader(p.data)
	default:
		return corrupt("compression type %d of a transaction is unknown", p.compression)
	}
	return unpackEvents(e, bufio.NewReaderSize(r, 64<<10), fn)
}

func unpackEvents(e *Event, r io.Reader, fn func(Event) error) error {
	var head [headerSize]byte
	for {
		switch _, err := io.ReadFull(r, head[:]); {
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return corrupt("compressed transaction: %v", err)
		}
		size := binary.LittleEndian.Uint32(head[9:])
		if size < headerSize || size > maxEvent {
			return corrupt("compressed transaction holds an event of %d bytes", size)
		}
		body, err := readExactly(r, int(size)-headerSize)
		if err != nil {
			return corrupt("compressed transaction: %v", err)
		}
		inner := Event{
			Type: head[4], Flags: binary.LittleEndian.Uint16(head[17:]), Time: binary.LittleEndian.Uint32(head[:]),
			ServerID: binary.LittleEndian.Uint32(head[5:]), Body: body, Place: e.Place, Packed: true,
		}
		if err := fn(inner); err != nil {
			return err
		}
	}
}

// readExactly reads n bytes without believing n before they are there.
func readExactly(r io.Reader, n int) ([]byte, error) {
	if n <= 1<<20 {
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		return b, err
	}
	var buf bytes.Buffer
	if m, err := io.CopyN(&buf, r, int64(n)); err != nil {
		return nil, fmt.Errorf("%d of %d bytes: %w", m, n, err)
	}
	return buf.Bytes(), nil
}

// Inflate decompresses the part of a MariaDB event that follows prefix, which it keeps
// in front: the result is the body that the uncompressed event would have had.
func Inflate(prefix, data []byte) ([]byte, error) {
	if len(data) < 1 {
		return nil, corrupt("compressed event is empty")
	}
	if alg := data[0] & 0x70 >> 4; alg != 0 {
		return nil, corrupt("compression algorithm %d is unknown", alg)
	}
	n := int(data[0] & 7)
	if n < 1 || n > 4 || len(data) < 1+n {
		return nil, corrupt("compressed event with a length of %d bytes", n)
	}
	var size uint64
	for _, c := range data[1 : 1+n] {
		size = size<<8 | uint64(c)
	}
	if size > maxEvent {
		return nil, corrupt("compressed event of %d bytes", size)
	}
	r, err := zlib.NewReader(bytes.NewReader(data[1+n:]))
	if err != nil {
		return nil, corrupt("compressed event: %v", err)
	}
	defer r.Close()
	body, err := readExactly(r, int(size))
	if err != nil {
		return nil, corrupt("compressed event: %v", err)
	}
	return append(prefix[:len(prefix):len(prefix)], body...), nil
}

// lenenc reads a length-encoded integer; n is 0 when it is cut short or NULL.
func lenenc(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	size := 0
	switch b[0] {
	case 0xfb, 0xff:
		return 0, 0
	case 0xfc:
		size = 2
	case 0xfd:
		size = 3
	case 0xfe:
		size = 8
	default:
		return uint64(b[0]), 1
	}
	if len(b) < 1+size {
		return 0, 0
	}
	for i := size; i > 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v, 1 + size
}
