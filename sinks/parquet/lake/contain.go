package lake

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// errPanic says that a table's background work panicked.
var errPanic = errors.New("panicked")

// Contained runs a table's background work and makes an error of a panic in it. Here, and
// nowhere else, that is right: the library panics on files that it did not expect, which any
// program may put into the lake; nothing of the work is visible before its commit, which is
// its last step, and its state is thrown away with it. So one table ends, and not the process
// with all others, again at each start.
func Contained(log *slog.Logger, table string, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("work on %s %w: %v", table, errPanic, p)
			log.Error("work on a table panicked", slog.Any("error", err), slog.String("stack", string(debug.Stack())))
		}
	}()
	return work()
}
