package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/pipeline"
)

// patience is how long nothing may move before a wait is given up. It says nothing of how
// long a whole wait takes.
const patience = 5 * time.Minute

// stillness notices that nothing moves any more.
type stillness struct {
	last  string
	since time.Time
}

func newStillness() *stillness { return &stillness{since: time.Now()} }

// seen takes what stands for all that may move, and reports whether it has been the same
// for longer than patience.
func (s *stillness) seen(now string) bool {
	if now != s.last {
		s.last, s.since = now, time.Now()
	}
	return time.Since(s.since) > patience
}

// progressOf is what of a status moves while the pipeline does.
func progressOf(s pipeline.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d", s.Position.File, s.Position.Pos)
	for _, t := range s.Tables {
		fmt.Fprintf(&b, " %s %d %.3f", t.Name, t.Rows, t.Snapshot)
		for _, one := range t.Sinks {
			fmt.Fprintf(&b, "/%d+%d-%d", one.Rows, one.Buffered, one.Behind)
		}
	}
	return b.String()
}
