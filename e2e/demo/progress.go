package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/millrace/millrace/pipeline"
)

// progress shows what goes on: a table that is drawn over itself on a terminal, a block of
// lines a few seconds elsewhere.
type progress struct {
	terminal bool
	drawn    int // lines on screen
	last     time.Time
	rows     map[string]uint64
	percent  float64   // of all snapshots, at since
	since    time.Time // when percent began to rise
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

const (
	progressHead = "  %-18s %-9s %9s %12s %12s %8s"
	progressLine = "  %-18s %-9s %7.1f %% %12d %12.0f %8s"
)

// show draws a status, at most once an interval. Rows are those that this process of
// millrace wrote: they begin at 0 again when it is killed, nothing is lost by it.
func (p *progress) show(s pipeline.Status) {
	since := time.Since(p.last)
	if since < p.interval() || len(s.Tables) == 0 {
		return
	}
	if p.last.IsZero() {
		since = p.interval()
	}
	p.last = time.Now()
	lines := []string{fmt.Sprintf(progressHead, "TABLE", "STATE", "SNAPSHOT", "WRITTEN", "ROWS/S", "LAG")}
	var written uint64
	var rate, percent float64
	for _, t := range s.Tables {
		w, r, lag := p.table(t, since)
		written, rate, percent = written+w, rate+r, percent+t.Snapshot
		lines = append(lines, fmt.Sprintf(progressLine, t.Name, t.State, t.Snapshot, w, r, lag))
	}
	percent /= float64(len(s.Tables))
	lines = append(lines, fmt.Sprintf(progressLine, "total", "", percent, written, rate, "")+p.estimate(percent))
	if p.terminal && p.drawn > 0 {
		fmt.Printf("\x1b[%dA\x1b[J", p.drawn)
	}
	fmt.Println(strings.Join(lines, "\n"))
	p.drawn = len(lines)
}

// table is what one line tells.
func (p *progress) table(t pipeline.TableStatus, since time.Duration) (written uint64, rate float64, lag string) {
	for _, one := range t.Sinks {
		written, lag = one.Rows, one.Lag.Target.String()
	}
	if before := p.rows[t.Name]; written >= before {
		rate = float64(written-before) / since.Seconds()
	}
	p.rows[t.Name] = written
	return written, rate, lag
}

// estimate is when the snapshots end if they go on as they did.
func (p *progress) estimate(percent float64) string {
	if percent >= 100 {
		p.since = time.Time{}
		return ""
	}
	if p.since.IsZero() || percent < p.percent {
		p.percent, p.since = percent, time.Now()
		return ""
	}
	gained := percent - p.percent
	if gained < 1 {
		return ""
	}
	left := time.Duration(float64(time.Since(p.since)) * (100 - percent) / gained)
	return fmt.Sprintf("  snapshots end in about %s", left.Round(time.Second))
}

// say prints a line that stays.
func (p *progress) say(format string, args ...any) {
	p.drawn = 0
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
