package message

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A batch item has no topic, hosts or offsets: total size, magic and checksum
// (both 0), flag, body, properties.
const batchFixedLen = 4 + 4 + 4 + 4 + 4 + 2

// ErrBatch says that a batch body is not one.
var ErrBatch = errors.New("message: batch body is corrupt")

// BatchItem is one message of a batch. One that an iterator returned shares
// the batch's memory.
type BatchItem struct {
	Flag       int32
	Body       []byte
	Properties []byte
}

// AppendBatchItem encodes one message of a batch behind dst.
func AppendBatchItem(dst []byte, it BatchItem) ([]byte, error) {
	if len(it.Properties) > MaxPropertiesLen {
		return dst, fmt.Errorf("message: properties of %d bytes: a batch takes %d", len(it.Properties), MaxPropertiesLen)
	}
	if len(it.Body) > MaxBodyLen {
		return dst, fmt.Errorf("message: body of %d bytes: a batch takes %d", len(it.Body), MaxBodyLen)
	}
	be := binary.BigEndian
	dst = be.AppendUint32(dst, uint32(batchFixedLen+len(it.Body)+len(it.Properties)))
	dst = be.AppendUint64(dst, 0)
	dst = be.AppendUint32(dst, uint32(it.Flag))
	dst = be.AppendUint32(dst, uint32(len(it.Body)))
	dst = append(dst, it.Body...)
	dst = be.AppendUint16(dst, uint16(len(it.Properties)))
	return append(dst, it.Properties...), nil
}

// BatchIterator walks over a batch body.
//
//	for it := message.IterateBatch(body); it.Next(); {
//		use(it.Item)
//	}
//	if it.Err() != nil …
type BatchIterator struct {
	Item BatchItem

	rest []byte
	n    int
	err  error
}

// IterateBatch starts a walk over body.
func IterateBatch(body []byte) BatchIterator { return BatchIterator{rest: body} }

// Next reads the next item. It returns false at the end and at an error.
func (it *BatchIterator) Next() bool {
	if it.err != nil || len(it.rest) == 0 {
		return false
	}
	item, size, err := parseBatchItem(it.rest)
	if err != nil {
		it.err = fmt.Errorf("%w: item %d: %w", ErrBatch, it.n, err)
		return false
	}
	it.Item, it.rest, it.n = item, it.rest[size:], it.n+1
	return true
}

// Err says why Next stopped early; nil at the end of the batch.
func (it *BatchIterator) Err() error { return it.err }

// BatchLen counts the items and so checks the whole body. An empty body is no
// batch.
func BatchLen(body []byte) (int, error) {
	it := IterateBatch(body)
	for it.Next() {
	}
	if it.err == nil && it.n == 0 {
		return 0, fmt.Errorf("%w: it is empty", ErrBatch)
	}
	return it.n, it.err
}

func parseBatchItem(b []byte) (BatchItem, int, error) {
	if len(b) < batchFixedLen {
		return BatchItem{}, 0, fmt.Errorf("%d bytes are left, the least is %d", len(b), batchFixedLen)
	}
	be := binary.BigEndian
	size := int(int32(be.Uint32(b)))
	if size < batchFixedLen || size > len(b) {
		return BatchItem{}, 0, fmt.Errorf("size %d, %d bytes are left", size, len(b))
	}
	b = b[:size:size]
	n := int(int32(be.Uint32(b[16:])))
	if n < 0 || n > size-batchFixedLen {
		return BatchItem{}, 0, fmt.Errorf("body of %d bytes in an item of %d", n, size)
	}
	props := int(be.Uint16(b[20+n:]))
	if props != size-batchFixedLen-n || props > MaxPropertiesLen {
		return BatchItem{}, 0, fmt.Errorf("properties of %d bytes, %d are left", props, size-batchFixedLen-n)
	}
	return BatchItem{
		Flag:       int32(be.Uint32(b[12:])),
		Body:       b[20 : 20+n : 20+n],
		Properties: b[22+n:],
	}, size, nil
}
