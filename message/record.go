package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net/netip"
	"strings"
	"unsafe"
)

// Version says how wide a record's topic length is.
type Version uint8

const (
	// VersionAuto lets AppendRecord choose: V2 for topics above 127 bytes.
	VersionAuto Version = 0
	// V1 has one byte of topic length.
	V1 Version = 1
	// V2 has two. Only clients from 4.9.4 on read it.
	V2 Version = 2
)

// Magic numbers, the second word of a record.
const (
	MagicV1    uint32 = 0xDAA320A7
	MagicV2    uint32 = 0xDAA320AB
	MagicBlank uint32 = 0xCBD43194
)

// Byte offsets of the fields that stand before the first of variable width.
// The store patches the ones it owns in bytes that are already encoded; those
// behind the born host depend on its width, see StoreTimestampAt.
const (
	TotalSizeAt      = 0
	MagicAt          = 4
	BodyCRCAt        = 8
	QueueIDAt        = 12
	FlagAt           = 16
	QueueOffsetAt    = 20
	PhysicalOffsetAt = 28
	SysFlagAt        = 36
	BornTimestampAt  = 40
	BornHostAt       = 48

	// HeadLen is how many bytes tell a record's size and magic; a blank has
	// no more than these.
	HeadLen = 8
)

// Limits of the format.
const (
	// MaxPropertiesLen is the widest that the two length bytes say, which
	// Java reads as signed.
	MaxPropertiesLen = math.MaxInt16
	// MaxBodyLen keeps every sum of lengths inside an int32. What a broker
	// takes is its own, much smaller, limit.
	MaxBodyLen = 1 << 30
)

// Smallest record: two v4 hosts, no body, a topic of no bytes, no properties.
const fixedLenV4 = 4 + 4 + 4 + 4 + 4 + 8 + 8 + 4 + 8 + 8 + 8 + 8 + 4 + 8 + 4

// Errors of ParseRecord.
var (
	// ErrTruncated says that the input ends before the record does.
	ErrTruncated = errors.New("message: record is truncated")
	// ErrBlank says that the input is the filler at the end of a log file;
	// the size is returned with it.
	ErrBlank = errors.New("message: end of file blank")
	// ErrCorrupt says that the bytes are no record.
	ErrCorrupt = errors.New("message: record is corrupt")
)

// Record is one stored message. A parsed Record shares memory with its input:
// Body, Properties and Topic are valid as long as the input is not written
// to. Clone gives one that stands alone.
type Record struct {
	Version                   Version
	TotalSize                 int32
	BodyCRC                   uint32 // CRC-32 of the body without its top bit
	QueueID                   int32
	Flag                      int32
	QueueOffset               int64
	PhysicalOffset            int64
	SysFlag                   int32
	BornTimestamp             int64 // milliseconds
	BornHost                  netip.AddrPort
	StoreTimestamp            int64 // milliseconds
	StoreHost                 netip.AddrPort
	ReconsumeTimes            int32
	PreparedTransactionOffset int64
	Body                      []byte
	Topic                     string
	Properties                []byte // raw: key 0x01 value 0x02 …
}

// BodyChecksum is the checksum that a record carries of its body.
func BodyChecksum(body []byte) uint32 { return crc32.ChecksumIEEE(body) & 0x7FFFFFFF }

// CheckCRC compares the body with the checksum stored beside it. ParseRecord
// does not: readers on the hot path leave it to recovery and to the consumer.
func (r *Record) CheckCRC() error {
	if got := BodyChecksum(r.Body); got != r.BodyCRC {
		return fmt.Errorf("%w: body checksum is %08x, the record says %08x", ErrCorrupt, got, r.BodyCRC)
	}
	return nil
}

// Clone returns a copy that shares no memory with r.
func (r *Record) Clone() Record {
	c := *r
	c.Body = append([]byte(nil), r.Body...)
	c.Properties = append([]byte(nil), r.Properties...)
	c.Topic = strings.Clone(r.Topic)
	return c
}

// Property looks up one property; the value shares the record's memory.
func (r *Record) Property(key string) (string, bool) { return Property(r.Properties, key) }

func (r *Record) version() Version {
	switch {
	case r.Version != VersionAuto:
		return r.Version
	case len(r.Topic) > math.MaxInt8:
		return V2
	}
	return V1
}

// EncodedLen is the size that AppendRecord will write. It fails where a field
// is wider than the format can say.
func (r *Record) EncodedLen() (int, error) {
	v := r.version()
	n := fixedLenV4 + int(v) + 2 + len(r.Topic) + len(r.Properties)
	switch {
	case v != V1 && v != V2:
		return 0, fmt.Errorf("message: no record version %d", v)
	case v == V1 && len(r.Topic) > math.MaxInt8:
		return 0, fmt.Errorf("message: topic of %d bytes: a V1 record takes %d", len(r.Topic), math.MaxInt8)
	case len(r.Topic) > math.MaxInt16:
		return 0, fmt.Errorf("message: topic of %d bytes: a record takes %d", len(r.Topic), math.MaxInt16)
	case len(r.Properties) > MaxPropertiesLen:
		return 0, fmt.Errorf("message: properties of %d bytes: a record takes %d", len(r.Properties), MaxPropertiesLen)
	case len(r.Body) > MaxBodyLen:
		return 0, fmt.Errorf("message: body of %d bytes: a record takes %d", len(r.Body), MaxBodyLen)
	}
	return n + len(r.Body) + hostLen(r.BornHost) - 8 + hostLen(r.StoreHost) - 8, nil
}

// AppendRecord encodes r behind dst. Total size, body checksum and the two
// host bits of sysFlag are computed, whatever r says; everything else is
// written as it stands.
func AppendRecord(dst []byte, r *Record) ([]byte, error) {
	n, err := r.EncodedLen()
	if err != nil {
		return dst, err
	}
	v := r.version()
	magic := MagicV1
	if v == V2 {
		magic = MagicV2
	}
	be := binary.BigEndian
	dst = be.AppendUint32(dst, uint32(n))
	dst = be.AppendUint32(dst, magic)
	dst = be.AppendUint32(dst, BodyChecksum(r.Body))
	dst = be.AppendUint32(dst, uint32(r.QueueID))
	dst = be.AppendUint32(dst, uint32(r.Flag))
	dst = be.AppendUint64(dst, uint64(r.QueueOffset))
	dst = be.AppendUint64(dst, uint64(r.PhysicalOffset))
	dst = be.AppendUint32(dst, uint32(r.sysFlagWithHosts()))
	dst = be.AppendUint64(dst, uint64(r.BornTimestamp))
	dst = appendHost(dst, r.BornHost)
	dst = be.AppendUint64(dst, uint64(r.StoreTimestamp))
	dst = appendHost(dst, r.StoreHost)
	dst = be.AppendUint32(dst, uint32(r.ReconsumeTimes))
	dst = be.AppendUint64(dst, uint64(r.PreparedTransactionOffset))
	dst = be.AppendUint32(dst, uint32(len(r.Body)))
	dst = append(dst, r.Body...)
	if v == V2 {
		dst = be.AppendUint16(dst, uint16(len(r.Topic)))
	} else {
		dst = append(dst, byte(len(r.Topic)))
	}
	dst = append(dst, r.Topic...)
	dst = be.AppendUint16(dst, uint16(len(r.Properties)))
	return append(dst, r.Properties...), nil
}

func (r *Record) sysFlagWithHosts() int32 {
	f := r.SysFlag &^ sysHosts
	if hostLen(r.BornHost) == hostLenV6 {
		f |= SysBornHostV6
	}
	if hostLen(r.StoreHost) == hostLenV6 {
		f |= SysStoreHostV6
	}
	return f
}

// ParseRecord reads the record at the start of b, which may go on behind it,
// and returns it with its size. It fails with ErrTruncated when b ends too
// early, with ErrBlank and the blank's size at the end of a log file, and
// with ErrCorrupt otherwise. The record shares b's memory.
func ParseRecord(b []byte) (Record, int, error) {
	var r Record
	n, err := r.Parse(b)
	if err != nil {
		return Record{}, n, err
	}
	return r, n, nil
}

// Parse is ParseRecord into r, all of whose fields it sets. After an error r means
// nothing.
func (r *Record) Parse(b []byte) (int, error) {
	size, magic, err := ParseHead(b)
	if err != nil {
		return 0, err
	}
	if magic == MagicBlank {
		return size, ErrBlank
	}
	if size > len(b) {
		return 0, ErrTruncated
	}
	r.Version, r.TotalSize = V1, int32(size)
	if magic == MagicV2 {
		r.Version = V2
	}
	if err := r.parse(b[:size:size]); err != nil {
		return 0, err
	}
	return size, nil
}

// ParseHead reads a record's size and magic and checks both: the size is one
// that a record, or a blank, can have.
func ParseHead(b []byte) (size int, magic uint32, err error) {
	if len(b) < HeadLen {
		return 0, 0, ErrTruncated
	}
	total := int32(binary.BigEndian.Uint32(b))
	magic = binary.BigEndian.Uint32(b[MagicAt:])
	least := int32(HeadLen)
	switch magic {
	case MagicV1:
		least = fixedLenV4 + 1 + 2
	case MagicV2:
		least = fixedLenV4 + 2 + 2
	case MagicBlank:
	default:
		return 0, 0, fmt.Errorf("%w: no record has magic %08x", ErrCorrupt, magic)
	}
	if total < least {
		return 0, 0, fmt.Errorf("%w: total size is %d, the least is %d", ErrCorrupt, total, least)
	}
	return int(total), magic, nil
}

// parse reads b, which is the whole record and at least as long as the
// smallest one.
func (r *Record) parse(b []byte) error {
	be := binary.BigEndian
	r.BodyCRC = be.Uint32(b[BodyCRCAt:])
	r.QueueID = int32(be.Uint32(b[QueueIDAt:]))
	r.Flag = int32(be.Uint32(b[FlagAt:]))
	r.QueueOffset = int64(be.Uint64(b[QueueOffsetAt:]))
	r.PhysicalOffset = int64(be.Uint64(b[PhysicalOffsetAt:]))
	r.SysFlag = int32(be.Uint32(b[SysFlagAt:]))
	r.BornTimestamp = int64(be.Uint64(b[BornTimestampAt:]))

	at := StoreTimestampAt(r.SysFlag)
	storeLen := hostLenV4
	if r.SysFlag&SysStoreHostV6 != 0 {
		storeLen = hostLenV6
	}
	body := at + 8 + storeLen + 4 + 8
	if len(b) < body+4 {
		return fmt.Errorf("%w: %d bytes do not hold the hosts that the flags announce", ErrCorrupt, len(b))
	}
	r.BornHost = parseHost(b[BornHostAt:at])
	r.StoreTimestamp = int64(be.Uint64(b[at:]))
	r.StoreHost = parseHost(b[at+8 : at+8+storeLen])
	r.ReconsumeTimes = int32(be.Uint32(b[body-12:]))
	r.PreparedTransactionOffset = int64(be.Uint64(b[body-8:]))
	return r.parseTail(b[body:])
}

// parseTail reads body, topic and properties, which must end where b ends.
func (r *Record) parseTail(b []byte) error {
	n := int64(int32(binary.BigEndian.Uint32(b)))
	b = b[4:]
	width := int(r.Version)
	if n < 0 || n+int64(width) > int64(len(b)) {
		return fmt.Errorf("%w: body of %d bytes in %d that are left", ErrCorrupt, n, len(b))
	}
	r.Body, b = b[:n:n], b[n:]
	topic := int(b[0])
	if width == 2 {
		topic = int(binary.BigEndian.Uint16(b))
	}
	b = b[width:]
	if topic > math.MaxInt16 || topic+2 > len(b) {
		return fmt.Errorf("%w: topic of %d bytes in %d that are left", ErrCorrupt, topic, len(b))
	}
	r.Topic, b = aliasString(b[:topic]), b[topic:]
	props := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if props != len(b) || props > MaxPropertiesLen {
		return fmt.Errorf("%w: properties of %d bytes in %d that are left", ErrCorrupt, props, len(b))
	}
	r.Properties = b
	return nil
}

// AppendBlank writes the head of the filler that ends a log file: size counts
// the head and whatever bytes follow it up to the file's end.
func AppendBlank(dst []byte, size int) []byte {
	if size < HeadLen || size > math.MaxInt32 {
		panic(fmt.Sprintf("BUG: blank of %d bytes", size))
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	return binary.BigEndian.AppendUint32(dst, MagicBlank)
}

// aliasString returns b's bytes as a string that shares them.
func aliasString(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
