package consumequeue

import (
	"encoding/binary"
	"math"
)

// UnitSize is the size of an entry.
const UnitSize = 20

// Unit is an entry.
type Unit struct {
	Phys int64
	Size int32
	Tags int64 // hash of the tag; of a scheduled message, when it is due
}

// Append encodes u behind dst.
func (u Unit) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(u.Phys))
	dst = binary.BigEndian.AppendUint32(dst, uint32(u.Size))
	return binary.BigEndian.AppendUint64(dst, uint64(u.Tags))
}

// ParseUnit decodes the entry at the start of b, which is long enough.
func ParseUnit(b []byte) Unit {
	return Unit{
		Phys: int64(binary.BigEndian.Uint64(b)),
		Size: int32(binary.BigEndian.Uint32(b[8:])),
		Tags: int64(binary.BigEndian.Uint64(b[12:])),
	}
}

// Valid tells an entry from what was never written.
func (u Unit) Valid() bool { return u.Size > 0 && u.Phys >= 0 && !u.Blank() }

// Blank is the filler that RocketMQ writes before the first entry of a queue whose
// offsets do not start at a file's beginning.
func (u Unit) Blank() bool { return u.Phys == 0 && u.Size == math.MaxInt32 }
