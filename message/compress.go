package message

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// MaxDecompressed is how much Decompress makes of a body at most.
const MaxDecompressed = 64 << 20

// ErrDecompressedTooLarge says that a compressed body holds more than its
// reader takes.
var ErrDecompressedTooLarge = errors.New("message: decompressed body is too large")

// Readers and writers of zstd are expensive to make and have no state between
// uses.
var (
	zstdReaders = sync.Pool{New: func() any {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			panic("BUG: zstd reader: " + err.Error())
		}
		return r
	}}
	zstdWriters = sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
		if err != nil {
			panic("BUG: zstd writer: " + err.Error())
		}
		return w
	}}
)

// Decompress returns the body that sysFlag describes: body itself when it is
// not compressed, memory of its own otherwise.
func Decompress(body []byte, sysFlag int32) ([]byte, error) {
	return DecompressLimit(body, sysFlag, MaxDecompressed)
}

// DecompressLimit is Decompress with a limit of the caller's.
func DecompressLimit(body []byte, sysFlag int32, limit int) ([]byte, error) {
	if sysFlag&SysCompressed == 0 {
		return body, nil
	}
	switch c := CompressionOf(sysFlag); c {
	case CompressionLegacy, CompressionZLIB:
		r, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("message: decompress zlib body of %d bytes: %w", len(body), err)
		}
		return readLimited(r, "zlib", len(body), limit)
	case CompressionLZ4:
		return readLimited(lz4.NewReader(bytes.NewReader(body)), "lz4", len(body), limit)
	case CompressionZSTD:
		d := zstdReaders.Get().(*zstd.Decoder)
		defer zstdReaders.Put(d)
		if err := d.Reset(bytes.NewReader(body)); err != nil {
			return nil, fmt.Errorf("message: decompress zstd body of %d bytes: %w", len(body), err)
		}
		out, err := readLimited(d, "zstd", len(body), limit)
		_ = d.Reset(nil) // lets go of body; without input it cannot fail
		return out, err
	default:
		return nil, fmt.Errorf("message: body has compression type %d, which nobody has defined", c)
	}
}

func readLimited(r io.Reader, kind string, size, limit int) ([]byte, error) {
	var buf bytes.Buffer
	n, err := buf.ReadFrom(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("message: decompress %s body of %d bytes: %w", kind, size, err)
	}
	if n > int64(limit) {
		return nil, fmt.Errorf("%w: more than %d bytes from %d", ErrDecompressedTooLarge, limit, size)
	}
	return buf.Bytes(), nil
}

// Compress returns body compressed with c, in memory of its own. The caller
// marks it with WithCompression.
func Compress(body []byte, c Compression) ([]byte, error) {
	var buf bytes.Buffer
	switch c {
	case CompressionLegacy, CompressionZLIB:
		w, err := zlib.NewWriterLevel(&buf, 5)
		if err != nil {
			panic("BUG: zlib level: " + err.Error())
		}
		return closeInto(&buf, w, body)
	case CompressionLZ4:
		return closeInto(&buf, lz4.NewWriter(&buf), body)
	case CompressionZSTD:
		w := zstdWriters.Get().(*zstd.Encoder)
		defer zstdWriters.Put(w)
		return w.EncodeAll(body, nil), nil
	}
	return nil, fmt.Errorf("message: no compression type %d", c)
}

func closeInto(buf *bytes.Buffer, w io.WriteCloser, body []byte) ([]byte, error) {
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("message: compress body of %d bytes: %w", len(body), err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("message: compress body of %d bytes: %w", len(body), err)
	}
	return buf.Bytes(), nil
}
