package stream

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// framed is a body as packets on the wire, whose numbers go on from sequence.
func framed(wire, body []byte, sequence uint8) ([]byte, uint8) {
	for {
		n := min(len(body), maxPayload)
		wire = append(wire, byte(n), byte(n>>8), byte(n>>16), sequence)
		wire, body, sequence = append(wire, body[:n]...), body[n:], sequence+1
		if n < maxPayload {
			return wire, sequence
		}
	}
}

// sent is a connection over which some bytes come, and then its end.
func sent(t *testing.T, wire []byte) net.Conn {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = theirs.Write(wire) // cut where the test has what it wants
		_ = theirs.Close()
	}()
	t.Cleanup(func() { _ = ours.Close(); <-done })
	return ours
}

// TestPacketsComeAsTheyWereSent sends packets of many lengths and looks at all of them when
// the last has come: none shares its bytes with another.
func TestPacketsComeAsTheyWereSent(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	sizes := []int{0, 1, 5, arenaLeft, arenaLeft + 1, batchBytes, batchBytes + 1, 1<<20 + 1, maxPayload - 1, maxPayload, maxPayload + 7, 3}
	for range 2000 {
		sizes = append(sizes, r.IntN(200))
	}
	for range 100 {
		sizes = append(sizes, r.IntN(2*arenaLeft))
	}
	var wire []byte
	var want [][]byte
	sequence := uint8(1)
	for i, n := range sizes {
		body := bytes.Repeat([]byte{byte(i)}, n)
		want = append(want, body)
		wire, sequence = framed(wire, body, sequence)
	}
	p := newPackets(sent(t, wire), time.Minute, 1)
	var got [][]byte
	for range want {
		b, err := p.next()
		if err != nil {
			t.Fatalf("packet %d: %v", len(got), err)
		}
		got = append(got, b)
	}
	if b, err := p.next(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last packet: %d bytes, %v", len(b), err)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("packet %d of %d bytes came as one of %d", i, len(want[i]), len(got[i]))
		}
		_ = append(got[i], 'x') // goes where no other packet lies
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("packet %d was changed by appending to another", i)
		}
	}
}

// TestPacketsThatAreWrongAreErrors cuts packets short and gives them wrong numbers.
func TestPacketsThatAreWrongAreErrors(t *testing.T) {
	whole, _ := framed(nil, []byte("abcdef"), 1)
	long, _ := framed(nil, make([]byte, maxPayload), 1)
	for name, c := range map[string]struct {
		wire []byte
		want error
	}{
		"nothing":                    {nil, io.EOF},
		"half a head":                {whole[:3], io.EOF},
		"half a body":                {whole[:7], io.ErrUnexpectedEOF},
		"a body that does not come":  {[]byte{0xfe, 0xff, 0xff, 1, 'x'}, io.EOF},
		"another number":             {[]byte{1, 0, 0, 7, 'x'}, errSequence},
		"another number in the next": {append(long[:4+maxPayload:4+maxPayload], 1, 0, 0, 9, 'x'), errSequence},
	} {
		b, err := newPackets(sent(t, c.wire), time.Minute, 1).next()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %d bytes, %v, want %v", name, len(b), err, c.want)
		}
	}
}
