package rpc

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// A frame that is barely large does not occupy the memory of a huge one that was served
// before: neither of what all connections share, nor for as long as its body is kept.
func TestAFrameTakesMemoryOfItsOwnSize(t *testing.T) {
	const size = 200 << 10
	giveLarge(make([]byte, keepLarge))
	ours, peers := net.Pipe()
	defer ours.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := peers.Write(append(binary.BigEndian.AppendUint32(nil, size), make([]byte, size)...))
		sent <- err
	}()
	in := input{nc: ours, limits: ConnLimits{}.withDefaults(), shared: &budget{limit: 1 << 20},
		busy: func() int64 { return 0 }, pause: func() {}}
	frame, err := in.next()
	if err != nil || len(frame) != size {
		t.Fatalf("%d bytes, %v", len(frame), err)
	}
	if got := cap(in.keep(frame)); got > 4*max(size, firstLarge) {
		t.Errorf("a body of %d bytes keeps %d", size, got)
	}
	select {
	case err := <-sent:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(25 * time.Second):
		t.Error("the peer is still writing")
	}
}

// After a large frame only the beginning of the next is read into the buffer; whatever comes
// then, in whatever pieces, is cut where it was written.
func TestFramesAreCutWhereTheyWereWritten(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	sizes := []int{4, 100, headRead - 4, headRead - 3, headRead, 5000, maxBuffer - 4, maxBuffer, maxBuffer + 1, 300 << 10}
	var frames [][]byte
	var stream []byte
	for i := range 400 {
		b := make([]byte, sizes[rnd.IntN(len(sizes))])
		for k := range b {
			b[k] = byte(i + k)
		}
		frames = append(frames, b)
		stream = append(binary.BigEndian.AppendUint32(stream, uint32(len(b))), b...)
	}
	ours, peers := net.Pipe()
	defer ours.Close()
	go func() {
		defer peers.Close()
		for len(stream) > 0 {
			n := min(len(stream), 1+rnd.IntN(200<<10))
			if _, err := peers.Write(stream[:n]); err != nil {
				return
			}
			stream = stream[n:]
		}
	}()
	in := input{nc: ours, limits: ConnLimits{}.withDefaults(), busy: func() int64 { return 0 }, pause: func() {}}
	for i, want := range frames {
		got, err := in.next()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("frame %d of %d bytes: %d bytes or others, %v", i, len(want), len(got), err)
		}
	}
}
