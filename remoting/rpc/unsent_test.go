package rpc

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/remoting"
)

// Peers that do not read cost the server its limit, not theirs each; who reads goes on.
func TestConnectionsShareWhatMayBeUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mib = 1 << 20
		all := &unsent{limit: 4 * mib}
		limits := ConnLimits{}.withDefaults()
		answer := func(o *output, size int) error {
			ans := remoting.NewResponse(0, "")
			ans.Body = make([]byte, size)
			return o.put(ans, 0, false)
		}
		owes := func(o *output) *bool {
			done := new(bool)
			go func() { *done = o.owe(0) }()
			synctest.Wait()
			return done
		}

		deaf := newOutput(nil, limits, all)
		for range 5 {
			if err := answer(deaf, mib); err != nil {
				t.Fatal(err)
			}
		}
		stuck := owes(deaf)
		if *stuck {
			t.Error("over the limit a connection that does not read is asked for more")
		}

		here, there := net.Pipe()
		good := newOutput(here, limits, all)
		if !*owes(good) {
			t.Error("over the limit a connection that has read everything is not heard")
		}
		for range 2 {
			if err := answer(good, mib); err != nil {
				t.Error(err)
			}
		}
		waiting := owes(good)
		if *waiting {
			t.Error("over the limit a connection has several answers at a time")
		}
		if err := answer(good, mib); !errors.Is(err, errCrowded) || !errors.Is(err, ErrBusy) {
			t.Errorf("over twice the limit a large answer is taken: %v", err)
		}
		if n := all.refused.Load(); n != 1 {
			t.Errorf("%d refusals are counted", n)
		}
		if err := answer(good, copyLimit); err != nil {
			t.Errorf("a small answer is refused: %v", err)
		}

		stop := make(chan struct{})
		ended := make(chan error)
		go func() { ended <- good.run(stop) }()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		synctest.Wait()
		if !*waiting {
			t.Error("a connection that has read everything again is not heard")
		}
		close(stop)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, o := range []*output{good, deaf} {
			o.close(ErrClosed)
			o.abandon()
		}
		synctest.Wait()
		here.Close()
		there.Close()
		if n := all.bytes.Load(); n != 0 {
			t.Errorf("everybody is gone, and %d bytes are unsent", n)
		}
	})
}
