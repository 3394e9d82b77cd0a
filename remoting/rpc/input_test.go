package rpc

import (
	"encoding/binary"
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
	case <-time.After(10 * time.Second):
		t.Error("the peer is still writing")
	}
}
