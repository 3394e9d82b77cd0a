package wire

import "encoding/binary"

// Packets of a server.
const (
	serverHello        = 0
	serverData         = 1
	serverException    = 2
	serverProgress     = 3
	serverPong         = 4
	serverEndOfStream  = 5
	serverProfile      = 6
	serverTableColumns = 11
)

// Packet is bytes that a server sends.
type Packet []byte

func (p Packet) number(n uint64) Packet { return binary.AppendUvarint(p, n) }
func (p Packet) text(s string) Packet   { return append(p.number(uint64(len(s))), s...) }

// Greeting is how a server introduces itself.
type Greeting struct {
	Name                string
	Major, Minor, Patch uint64
	Timezone            string
	Display             string
}

// Hello appends a greeting.
func (p Packet) Hello(g Greeting) Packet {
	return p.number(serverHello).text(g.Name).number(g.Major).number(g.Minor).number(Revision).
		text(g.Timezone).text(g.Display).number(g.Patch)
}

// Pong appends the answer to a ping.
func (p Packet) Pong() Packet { return p.number(serverPong) }

// EndOfStream appends the end of an answer.
func (p Packet) EndOfStream() Packet { return p.number(serverEndOfStream) }

// Exception appends an error.
func (p Packet) Exception(code int32, message string) Packet {
	const name = "DB::Exception"
	p = binary.LittleEndian.AppendUint32(p.number(serverException), uint32(code))
	return append(p.text(name).text(name+": "+message).text(""), 0)
}

// TableColumns appends the description of a table that an insert is answered with.
func (p Packet) TableColumns(description string) Packet {
	return p.number(serverTableColumns).text("").text(description)
}

// Progress appends what a statement has read and written.
func (p Packet) Progress(rows, bytes, writtenRows, writtenBytes, elapsed uint64) Packet {
	return p.number(serverProgress).number(rows).number(bytes).number(0).
		number(writtenRows).number(writtenBytes).number(elapsed)
}

// Profile appends what an answer holds.
func (p Packet) Profile(rows, blocks, bytes uint64) Packet {
	p = p.number(serverProfile).number(rows).number(blocks).number(bytes)
	return append(append(p, 0).number(0), 0)
}

// Data appends the head of a block; the block, compressed or not, follows.
func (p Packet) Data() Packet { return p.number(serverData).text("") }
