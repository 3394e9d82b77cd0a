package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/millrace/millrace/pipeline"
)

// progress shows what goes on: a table that is drawn over itself on a terminal, a line a
// few seconds elsewhere.
type progress struct {
	terminal bool
	drawn    int // lines on screen
	last     time.Time
	rows     map[string]uint64
}

func newProgress() *progress {
	return &progress{terminal: term.IsTerminal(int(os.Stdout.Fd())), rows: map[string]uint64{}}
}

func (p *progress) interval() time.Duration {
	if p.terminal {
		return 500 * time.Millisecond
	}
	return 3 * time.Second
}

// show draws a status, at most once an interval.
func (p *progress) show(s pipeline.Status) {
	since := time.Since(p.last)
	if since < p.interval() {
		return
	}
	if p.last.IsZero() {
		since = p.interval()
	}
	p.last = time.Now()
	lines := make([]string, 0, len(s.Tables))
	for _, t := range s.Tables {
		var written uint64
		lag := 0.0
		for _, one := range t.Sinks {
			written, lag = one.Rows, one.LagSecs
		}
		rate := float64(0)
		if before := p.rows[t.Name]; written >= before {
			rate = float64(written-before) / since.Seconds()
		}
		p.rows[t.Name] = written
		lines = append(lines, fmt.Sprintf("  %-18s %-9s snapshot %5.1f %%  written %9d  %8.0f rows/s  lag %5.1f s", t.Name, t.State, t.Snapshot, written, rate, lag))
	}
	if p.terminal {
		if p.drawn > 0 {
			fmt.Printf("\x1b[%dA\x1b[J", p.drawn)
		}
		fmt.Println(strings.Join(lines, "\n"))
		p.drawn = len(lines)
		return
	}
	fmt.Println(strings.Join(lines, "\n"))
}

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.drawn = 0
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
