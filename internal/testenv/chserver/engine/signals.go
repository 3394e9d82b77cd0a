package engine

import (
	"fmt"
	"syscall"
	"unsafe"
)

// The engine installs handlers of its own when it starts, once. Go needs its own back:
// without them a nil pointer in Go ends the process in the engine's crash report, and
// goroutines are not preempted.

// lastSignal is the last one whose handler is kept. Those above belong to the C library and
// to the engine, which asks its threads for their stacks with one of them.
const lastSignal = 31

// sigaction is the kernel's struct of that name on Linux: handler, flags, restorer, mask.
type sigaction [4]uint64

// handlers are the actions of the signals 1 to lastSignal.
type handlers [lastSignal + 1]sigaction

func signalAction(signal int, set, get *sigaction) error {
	if signal == int(syscall.SIGKILL) || signal == int(syscall.SIGSTOP) {
		return nil
	}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(signal),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 8, 0, 0)
	if errno != 0 {
		return fmt.Errorf("handler of signal %d: %w", signal, errno)
	}
	return nil
}

// keepHandlers takes the actions as they are.
func keepHandlers() (*handlers, error) {
	h := new(handlers)
	for signal := 1; signal <= lastSignal; signal++ {
		if err := signalAction(signal, nil, &h[signal]); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// restore sets the actions as they were.
func (h *handlers) restore() error {
	for signal := 1; signal <= lastSignal; signal++ {
		if err := signalAction(signal, &h[signal], nil); err != nil {
			return err
		}
	}
	return nil
}
