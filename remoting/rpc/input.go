package rpc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/remoting"
)

const (
	firstBuffer = 4 << 10
	maxBuffer   = 128 << 10
	// headRead is how much is read at first where a large frame came before: of another
	// one, only that much is read into the buffer and has to be copied out of it.
	headRead = 512
	// A large frame's memory starts with this, or with the largest that the peer has completed
	// (up to keepLarge), and grows fourfold as bytes arrive.
	firstLarge = 256 << 10
	// Memory of a large frame up to this is used again.
	keepLarge = 4 << 20
)

// largeFrames is memory of large frames that were served. It belongs to no
// connection, so that one that rests after a large frame holds none.
var largeFrames sync.Pool

// budget bounds the memory of large frames over all connections of a server: each
// connection alone may begin one of 16 MiB, and there are thousands.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reports whether there is room for n more bytes, and takes it.
func (b *budget) take(n int) bool {
	if b == nil {
		return true
	}
	if b.used.Add(int64(n)) > b.limit {
		b.used.Add(int64(-n))
		return false
	}
	return true
}

func (b *budget) give(n int) {
	if b != nil {
		b.used.Add(int64(-n))
	}
}

var (
	errIdle     = errors.New("no traffic")
	errStopping = errors.New("the server stops")
)

// input cuts a connection's bytes into frames. Frames that fit are returned
// where they were read and are valid until the next call.
type input struct {
	nc     net.Conn
	limits ConnLimits

	buf      []byte
	from, to int       // buf[from:to] is not consumed yet
	large    []byte    // memory of the frame returned last, if that was a large one
	afterBig bool      // the frame before was a large one
	proven   int       // length of the largest frame that the peer completed
	deadline time.Time // that was set last
	shared   *budget   // of large frames; nil: no bound
	taken    int       // of shared, by the large frame under way or returned last
	frameBy  time.Time // when the frame under way must be complete; zero between frames
	sniff    bool      // the first byte is still to be looked at

	stopping atomic.Bool

	busy  func() int64 // grows with every write
	pause func()       // called before every wait for the peer
}

// next returns a frame without its length field.
func (in *input) next() ([]byte, error) {
	giveLarge(in.large)
	in.large = nil
	in.giveBack()
	for {
		have := in.buf[in.from:in.to]
		if len(have) > 0 && in.sniff {
			if err := recognise(have[0]); err != nil {
				return nil, err
			}
			in.sniff = false
		}
		need := remoting.LengthLen
		if len(have) >= remoting.LengthLen {
			n, err := remoting.FrameLen([remoting.LengthLen]byte(have), in.limits.MaxFrame)
			if err != nil {
				return nil, err
			}
			need += n
			if len(have) >= need {
				in.from += need
				in.frameBy, in.afterBig = time.Time{}, false
				return have[remoting.LengthLen:need:need], nil
			}
			if need > maxBuffer {
				return in.nextLarge(have[remoting.LengthLen:], n)
			}
		}
		if err := in.fill(need); err != nil {
			return nil, err
		}
	}
}

// recognise explains what is not our protocol by its first byte.
func recognise(b byte) error {
	switch b {
	case 0x16:
		return errors.New("the peer speaks TLS, which is not enabled here; switch it off at the client (tls.enable=false)")
	case 'P', 0x0D:
		return errors.New("the peer sends a PROXY preamble, which is not enabled here; switch it off at the load balancer")
	case 'G', 'H', 'O', 'D':
		return errors.New("the peer speaks HTTP, which is not served on this port")
	}
	return nil
}

// fill reads more, so that need bytes fit behind from.
func (in *input) fill(need int) error {
	switch {
	case in.from == in.to:
		in.from, in.to = 0, 0
	case in.from > 0 && (len(in.buf)-in.from < need || in.to == len(in.buf)):
		in.to = copy(in.buf, in.buf[in.from:in.to])
		in.from = 0
	}
	if size := len(in.buf); in.from+need > size || in.to == size {
		grown := make([]byte, min(max(2*size, need, firstBuffer), maxBuffer))
		in.to = copy(grown, in.buf[in.from:in.to])
		in.from, in.buf = 0, grown
	}
	room := in.buf[in.to:]
	if in.afterBig && in.to == in.from && need <= headRead {
		room = room[:min(len(room), headRead)]
	}
	n, err := in.read(room, in.to > in.from)
	in.to += n
	if n > 0 && in.to == len(in.buf) && len(in.buf) < maxBuffer {
		// The peer has more than fits: read larger pieces from now on.
		grown := make([]byte, 2*len(in.buf))
		in.to = copy(grown, in.buf[in.from:in.to])
		in.from, in.buf = 0, grown
	}
	return err
}

// nextLarge reads the rest of a frame of n bytes that begins with have and
// consumes the whole buffer.
func (in *input) nextLarge(have []byte, n int) ([]byte, error) {
	b := takeLarge(n)
	if first := max(firstLarge, min(n, in.proven, keepLarge)); cap(b) < first {
		b = make([]byte, first)
	}
	if err := in.take(cap(b)); err != nil {
		return nil, err
	}
	b = b[:min(n, cap(b))]
	at := copy(b, have)
	in.from, in.to = 0, 0
	for at < n {
		if at == len(b) {
			size := min(n, 4*len(b)) // four times what has arrived, at most
			if err := in.take(size - len(b)); err != nil {
				return nil, err
			}
			grown := make([]byte, size)
			copy(grown, b)
			b = grown
		}
		k, err := in.read(b[at:], true)
		if at += k; err != nil {
			return nil, err
		}
	}
	in.proven = max(in.proven, n)
	in.large, in.frameBy, in.afterBig = b, time.Time{}, true
	return b[:n:n], nil
}

// take asks for n bytes of the memory that large frames share.
func (in *input) take(n int) error {
	if !in.shared.take(n) {
		return fmt.Errorf("a large frame has no room: %d MiB of them are under way on all connections; send it again later", in.shared.limit>>20)
	}
	in.taken += n
	return nil
}

// giveBack ends the use of the large frame's share.
func (in *input) giveBack() {
	in.shared.give(in.taken)
	in.taken = 0
}

// keep says that the frame returned last stays in use: its memory, if it is
// its own, is left to it and returned; giveLarge takes it back.
func (in *input) keep(frame []byte) []byte {
	if in.large == nil || len(frame) == 0 || &in.large[0] != &frame[0] {
		return nil
	}
	b := in.large
	in.large = nil
	return b
}

// takeLarge returns memory that was used before for a frame of n bytes, or nil. What is
// much larger is left for others: it counts in full against what connections share, and
// stays with whoever keeps the frame's body.
func takeLarge(n int) []byte {
	used, ok := largeFrames.Get().(*[]byte)
	switch {
	case !ok:
		return nil
	case cap(*used) > 4*max(n, firstLarge):
		largeFrames.Put(used)
		return nil
	}
	return *used
}

// giveLarge has memory of a large frame used again.
func giveLarge(b []byte) {
	if b != nil && cap(b) <= keepLarge {
		largeFrames.Put(&b)
	}
}

// stop makes the reader return errStopping instead of waiting. Any goroutine
// may call it.
func (in *input) stop() {
	in.stopping.Store(true)
	_ = in.nc.SetReadDeadline(time.Unix(1, 0)) // fails only when the reader fails by itself
}

// read waits for bytes. Inside a frame the frame's deadline holds; between
// frames, the connection may rest as long as something was written.
func (in *input) read(b []byte, inFrame bool) (int, error) {
	in.pause()
	for {
		wrote := in.busy()
		limit, err := in.setDeadline(inFrame)
		if err != nil {
			return 0, err
		}
		if in.stopping.Load() {
			return 0, errStopping
		}
		n, err := in.nc.Read(b)
		switch {
		case n > 0 || err == nil:
			return n, nil
		case in.stopping.Load():
			return 0, errStopping
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return 0, err
		case inFrame:
			return 0, fmt.Errorf("the peer did not complete a frame within %s", limit)
		case in.sniff:
			return 0, fmt.Errorf("the peer connected and sent nothing for %s", limit)
		case in.busy() == wrote:
			return 0, fmt.Errorf("%w for %s", errIdle, limit)
		}
	}
}

// setDeadline moves the deadline of the next read. That is not free: between
// frames it may lag by an eighth.
func (in *input) setDeadline(inFrame bool) (time.Duration, error) {
	now, limit := time.Now(), in.limits.IdleTimeout
	var want time.Time
	switch {
	case inFrame:
		limit = in.limits.FrameTimeout
		if in.frameBy.IsZero() {
			in.frameBy = now.Add(limit)
		}
		want = in.frameBy
	case in.sniff:
		limit = in.limits.FirstByteTimeout
		want = now.Add(limit)
	default:
		want = now.Add(limit)
		if lag := want.Sub(in.deadline); lag >= 0 && lag < limit/8 {
			return limit, nil
		}
	}
	in.deadline = want
	return limit, in.nc.SetReadDeadline(want)
}
