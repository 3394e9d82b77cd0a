package event

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// KeyHash is the stable hash of a row's key, by which its queue is chosen: xxh64, seed
// 0, over the canonical bytes of each of cols in the order given, each preceded by its
// length as a uvarint. NULL is the two bytes 80 00, which no length is. See
// docs/format/event.md for the same in words and test vectors.
func KeyHash(img Image, s *Schema, cols []int) (uint64, error) {
	var stack [256]byte
	key, err := AppendKey(stack[:0], img, s, cols)
	if err != nil {
		return 0, err
	}
	return xxhash.Sum64(key), nil
}

// QueueOf is the queue of a row with this hash among n queues.
func QueueOf(hash uint64, n int) int {
	if n <= 1 {
		return 0
	}
	return int(hash % uint64(n))
}

// AppendKey appends the bytes that KeyHash hashes. Equal keys have equal bytes, so they
// also serve as a map key (touched-key sets, duplicates).
func AppendKey(dst []byte, img Image, s *Schema, cols []int) ([]byte, error) {
	if ascending(cols) {
		return appendKeyInOrder(dst, img, s, cols)
	}
	var stack [32]Value
	vals, err := Values(img, s, stack[:0])
	if err != nil {
		return dst, err
	}
	for _, i := range cols {
		if i < 0 || i >= len(vals) {
			return dst, fmt.Errorf("key of %s: there is no column %d", s.Name, i)
		}
		dst = appendKeyValue(dst, vals[i])
	}
	return dst, nil
}

// appendKeyInOrder is AppendKey for columns in schema order: it stops behind the last.
func appendKeyInOrder(dst []byte, img Image, s *Schema, cols []int) ([]byte, error) {
	var c Cursor
	c.Reset(img, s)
	for _, i := range cols {
		for c.col < i && c.Next() {
		}
		if c.err != nil {
			return dst, c.err
		}
		if c.col != i || i >= len(s.Columns) {
			return dst, fmt.Errorf("key of %s: there is no column %d", s.Name, i)
		}
		dst = appendKeyValue(dst, c.value)
	}
	return dst, nil
}

func appendKeyValue(dst []byte, v Value) []byte {
	if v == nil {
		return append(dst, 0x80, 0x00)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

func ascending(cols []int) bool {
	for i := 1; i < len(cols); i++ {
		if cols[i] <= cols[i-1] {
			return false
		}
	}
	return true
}

// Chooses reports whether columns of these names (none: the key's) choose the queue of a row
// by its key alone, so that all changes of a row come through one queue.
func (s *Schema) Chooses(names []string) bool {
	for _, name := range names {
		if i := s.ColumnByName(name); i < 0 || !slices.Contains(s.PrimaryKey, i) {
			return false
		}
	}
	return true
}
