package readback

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// patience is how long a server may say nothing while it is asked: one that is frozen says
// nothing for ever, and so does one that waits for a lock. Rows come as they are found, and
// what is asked besides looks at few of them.
const patience = 10 * time.Minute

// silence hears from the driver that the server said nothing for that long: the driver's
// error says only that the connection is of no use any more.
type silence struct {
	address string
	met     atomic.Bool
}

// Print implements the driver's Logger.
func (s *silence) Print(v ...any) {
	for _, one := range v {
		if err, ok := one.(error); ok && errors.Is(err, os.ErrDeadlineExceeded) {
			s.met.Store(true)
		}
	}
}

// explain says in an error of a connection that ended so why it did.
func (s *silence) explain(err *error) {
	if errors.Is(*err, driver.ErrInvalidConn) && s.met.Swap(false) {
		*err = fmt.Errorf("%w: the server at %s said nothing for %s; see whether it is frozen, or a lock on the table is held (SHOW "+
			"PROCESSLIST)", *err, s.address, patience)
	}
}
