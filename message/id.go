package message

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	upperHex = "0123456789ABCDEF"

	offsetIDLenV4 = 2 * (hostLenV4 + 8)
	offsetIDLenV6 = 2 * (hostLenV6 + 8)
)

// OffsetMsgID names a stored message by its broker's address and its place in
// that broker's log. Clients dial the address inside.
func OffsetMsgID(addr netip.AddrPort, phys int64) string {
	var raw [hostLenV6 + 8]byte
	b := binary.BigEndian.AppendUint64(appendHost(raw[:0], addr), uint64(phys))
	return appendUpperHex(b)
}

// ParseOffsetMsgID is the inverse of OffsetMsgID.
func ParseOffsetMsgID(id string) (netip.AddrPort, int64, error) {
	if len(id) != offsetIDLenV4 && len(id) != offsetIDLenV6 {
		return netip.AddrPort{}, 0, fmt.Errorf("message: id %q has %d characters; an offset id has %d or %d",
			id[:min(len(id), 64)], len(id), offsetIDLenV4, offsetIDLenV6)
	}
	b, err := hex.DecodeString(id)
	if err != nil {
		return netip.AddrPort{}, 0, fmt.Errorf("message: offset id %q: %w", id, err)
	}
	n := len(b) - 8
	if port := binary.BigEndian.Uint32(b[n-4:]); port > 65535 {
		return netip.AddrPort{}, 0, fmt.Errorf("message: offset id %q: no port %d", id, port)
	}
	return parseHost(b[:n]), int64(binary.BigEndian.Uint64(b[n:])), nil
}

// IDGenerator makes the ids that a client gives its messages (UNIQ_KEY): hex
// of ip, pid, a salt, the milliseconds since the month began, and a counter.
// No id repeats within a month. Next may be called concurrently.
type IDGenerator struct {
	prefix string

	mu    sync.Mutex
	month time.Time // start of the month that last counts from
	end   time.Time // start of the next one
	last  uint64    // milliseconds << 16 | counter
}

// NewIDGenerator takes what makes this process different from others: its
// address, its process id, and a random salt.
func NewIDGenerator(ip netip.Addr, pid int, salt uint32) *IDGenerator {
	var raw [16 + 2 + 4]byte
	b := raw[:0]
	switch ip = ip.Unmap(); {
	case ip.Is6():
		a := ip.As16()
		b = append(b, a[:]...)
	case ip.Is4():
		a := ip.As4()
		b = append(b, a[:]...)
	default:
		b = append(b, 127, 0, 0, 1)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(pid))
	b = binary.BigEndian.AppendUint32(b, salt)
	return &IDGenerator{prefix: appendUpperHex(b)}
}

// Next returns a new id. Time that stands still or goes back costs nothing
// but a truthful timestamp: the counter runs on into the next millisecond.
func (g *IDGenerator) Next(now time.Time) string {
	g.mu.Lock()
	if !now.Before(g.end) {
		y, m, _ := now.Date()
		g.month = time.Date(y, m, 1, 0, 0, 0, 0, now.Location())
		g.end = g.month.AddDate(0, 1, 0)
		g.last = 0
	}
	if ms := now.Sub(g.month).Milliseconds(); ms > 0 {
		g.last = max(g.last+1, uint64(ms)<<16)
	} else {
		g.last++
	}
	n := g.last
	g.mu.Unlock()

	var raw [6]byte
	binary.BigEndian.PutUint32(raw[:], uint32(n>>16))
	binary.BigEndian.PutUint16(raw[4:], uint16(n))
	return g.prefix + appendUpperHex(raw[:])
}

func appendUpperHex(b []byte) string {
	var s strings.Builder
	s.Grow(2 * len(b))
	for _, c := range b {
		s.WriteByte(upperHex[c>>4])
		s.WriteByte(upperHex[c&0xF])
	}
	return s.String()
}
