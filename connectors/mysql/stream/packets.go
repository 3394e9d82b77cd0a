package stream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// packets reads what a server sends once it was asked for the log. A packet lies in an arena
// that it shares with those before it: its bytes are the caller's for good.
type packets struct {
	in       *bufio.Reader
	sequence uint8
	arena    []byte
}

const (
	packetBuffer = 64 << 10
	// maxPayload is what a packet holds at most: one that has as much goes on in the next.
	maxPayload = 1<<24 - 1
	// arenaLeft is how much of an arena may be left over.
	arenaLeft = batchBytes / 8
)

// errSequence says that a packet is missing, or is not one.
var errSequence = errors.New("the server's packets are not in order")

func newPackets(conn net.Conn, silence time.Duration, sequence uint8) *packets {
	return &packets{in: bufio.NewReaderSize(&patient{conn: conn, silence: silence}, packetBuffer), sequence: sequence}
}

// next reads a packet, or several that belong together.
func (p *packets) next() ([]byte, error) {
	n, err := p.head()
	if err != nil {
		return nil, err
	}
	b, err := p.body(n)
	for err == nil && n == maxPayload {
		if n, err = p.head(); err != nil {
			break
		}
		var more []byte
		more, err = readExactly(p.in, n)
		b = append(b, more...)
	}
	return b, err
}

// head reads a packet's length.
func (p *packets) head() (int, error) {
	b, err := p.in.Peek(4)
	if err != nil {
		return 0, err
	}
	n, sequence := int(b[0])|int(b[1])<<8|int(b[2])<<16, b[3]
	if sequence != p.sequence {
		return 0, fmt.Errorf("%w: number %d where %d was expected", errSequence, sequence, p.sequence)
	}
	p.sequence++
	_, err = p.in.Discard(4)
	return n, err
}

func (p *packets) body(n int) ([]byte, error) {
	if n > arenaLeft {
		return readExactly(p.in, n)
	}
	at := len(p.arena)
	if n > cap(p.arena)-at {
		p.arena, at = make([]byte, 0, batchBytes), 0
	}
	p.arena = p.arena[:at+n]
	b := p.arena[at : at+n : at+n]
	if _, err := io.ReadFull(p.in, b); err != nil {
		return nil, fmt.Errorf("a packet of %d bytes: %w", n, err)
	}
	return b, nil
}

// patient gives up when nothing came for some time.
type patient struct {
	conn    net.Conn
	silence time.Duration
	until   time.Time
}

// Read implements io.Reader.
func (p *patient) Read(b []byte) (int, error) {
	if now := time.Now(); p.until.Sub(now) < p.silence*2/3 {
		p.until = now.Add(p.silence)
		if err := p.conn.SetReadDeadline(p.until); err != nil {
			return 0, err
		}
	}
	return p.conn.Read(b)
}
