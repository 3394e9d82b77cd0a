package message

import (
	"encoding/binary"
	"net/netip"
)

const (
	hostLenV4 = 4 + 4
	hostLenV6 = 16 + 4
)

// hostLen is how many bytes a host takes. An address that is not set is
// written as 0.0.0.0, an IPv4 one in IPv6 clothes as what it is.
func hostLen(h netip.AddrPort) int {
	if a := h.Addr(); a.Is6() && !a.Is4In6() {
		return hostLenV6
	}
	return hostLenV4
}

func appendHost(dst []byte, h netip.AddrPort) []byte {
	switch a := h.Addr(); {
	case !a.IsValid():
		dst = append(dst, 0, 0, 0, 0)
	case a.Is4() || a.Is4In6():
		ip := a.As4()
		dst = append(dst, ip[:]...)
	default:
		ip := a.As16()
		dst = append(dst, ip[:]...)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(h.Port()))
}

// parseHost reads a host of either width. The port takes four bytes of which
// the lower two count.
func parseHost(b []byte) netip.AddrPort {
	n := len(b) - 4
	port := uint16(binary.BigEndian.Uint32(b[n:]))
	if n == 4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)), port)
}
