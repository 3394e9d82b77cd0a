package account

import (
	"bytes"
	"encoding/binary"
	"net"
)

// offer is what a server's first packet says of TLS.
type offer uint8

const (
	offerUnknown offer = iota
	offersTLS
	offersNone
)

// greeting remembers what the server said of itself before anybody logged in: an account
// that is refused can be told then whether TLS would have been there.
type greeting struct {
	offer offer
	begun []byte // of the first packet, until it told
}

// greetingBytes bounds what is looked at: the flags stand behind the version's text.
const greetingBytes = 512

const clientSSL = 1 << 11 // of the capability flags

// take reads on in the first packet: length (3) and number (1), protocol version (1),
// server version to a zero byte, connection id (4), scramble (8), a zero byte, the lower
// half of the capability flags (2).
func (g *greeting) take(b []byte) {
	if g.offer != offerUnknown || len(g.begun) >= greetingBytes {
		return
	}
	g.begun = append(g.begun, b[:min(len(b), greetingBytes-len(g.begun))]...)
	if len(g.begun) < 6 || g.begun[4] != 10 {
		return
	}
	end := bytes.IndexByte(g.begun[5:], 0)
	flags := 5 + end + 1 + 4 + 8 + 1
	if end < 0 || len(g.begun) < flags+2 {
		return
	}
	g.offer = offersNone
	if binary.LittleEndian.Uint16(g.begun[flags:])&clientSSL != 0 {
		g.offer = offersTLS
	}
	g.begun = nil
}

// watched is a connection whose first packet is looked at.
type watched struct {
	*net.TCPConn
	seen *greeting // nil once it told
}

// Read implements net.Conn.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.TCPConn.Read(b)
	if w.seen != nil && n > 0 {
		w.seen.take(b[:n])
		if w.seen.offer != offerUnknown || len(w.seen.begun) >= greetingBytes {
			w.seen = nil
		}
	}
	return n, err
}
