package current

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/objects"
)

// sideRow is what must be remembered of a key (or, without keys, a row's value) and does
// not stand in current/: for keyed tables the number of its deletion; for others the
// numbers of insertions that are not shown and of deletions that have met none.
type sideRow struct {
	plus, minus []event.Seq
}

// side is the tombstone file: by key bytes. Without keys the row is the key, and cells
// holds it in full.
type side map[string]*sideRow

const (
	sideMagic   = "MRSD"
	sideVersion = 1
	maxSide     = 1 << 30
)

var errSide = errors.New("the tombstone file is damaged")

// encode writes the side file: magic, version, count, then per key its length and bytes,
// and the two lists as count and numbers; a CRC-32C of all before closes it.
func (s side) encode() []byte {
	b := append([]byte(sideMagic), sideVersion)
	b = binary.AppendUvarint(b, uint64(len(s)))
	for _, k := range slices.Sorted(maps.Keys(s)) {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
		for _, list := range [][]event.Seq{s[k].plus, s[k].minus} {
			b = binary.AppendUvarint(b, uint64(len(list)))
			for _, n := range list {
				b = binary.AppendUvarint(b, uint64(n))
			}
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func decodeSide(b []byte) (side, error) {
	if len(b) < len(sideMagic)+5 || string(b[:4]) != sideMagic {
		return nil, fmt.Errorf("%w: no magic", errSide)
	}
	if b[4] != sideVersion {
		return nil, fmt.Errorf("%w: version %d", errSide, b[4])
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)); got != sum {
		return nil, fmt.Errorf("%w: checksum %08x, %08x expected", errSide, got, sum)
	}
	r := sideReader{b: body[5:]}
	s := side{}
	for range r.count(3) {
		k := r.bytes(int(r.count(1)))
		row := &sideRow{}
		for _, list := range []*[]event.Seq{&row.plus, &row.minus} {
			for range r.count(1) {
				*list = append(*list, event.Seq(r.uvarint()))
			}
		}
		s[string(k)] = row
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("%w: cut short", errSide)
	}
	return s, nil
}

type sideReader struct {
	b   []byte
	bad bool
}

func (r *sideReader) uvarint() uint64 {
	n, k := binary.Uvarint(r.b)
	if k <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[k:]
	return n
}

// count reads a number of things that take at least size bytes each.
func (r *sideReader) count(size int) uint64 {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}

func (r *sideReader) bytes(n int) []byte {
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func readSide(ctx context.Context, store objects.Store, name string) (side, error) {
	b, err := objects.ReadAll(ctx, store, name, maxSide)
	if errors.Is(err, objects.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", errSide, err)
	}
	if err != nil {
		return nil, err
	}
	s, err := decodeSide(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}
