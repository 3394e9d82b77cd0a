package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// quietCores is how much of the machine may do something else before a measurement counts
// as disturbed.
const quietCores = 0.25

// report is docs/benchmarks.md.
func report(r *results, rounds int, seconds time.Duration) string {
	var w strings.Builder
	fmt.Fprintf(&w, "# Benchmarks\n\nWritten by `make bench` ([e2e/bench](../e2e/bench)); don't edit. "+
		"Broker, peer, database and load generator share %d cores, so the ratios and the CPU time per message say more than "+
		"the rates.\n\n", r.Machine.Cores)
	if r.Only != "" {
		fmt.Fprintf(&w, "**Not a whole run**: only %s.\n\n", r.Only)
	}
	if len(r.Failures) > 0 {
		fmt.Fprintf(&w, "**Could not be measured** in this run, and is in no table:\n\n* %s\n\n", strings.Join(r.Failures, "\n* "))
	}
	r.aims(&w)
	r.machine(&w)
	if len(r.Brokers) > 0 {
		r.brokers(&w, rounds, seconds)
	}
	if r.Pipeline != nil {
		r.pipeline(&w)
	}
	if r.OLAP != nil {
		r.OLAP.report(&w)
	}
	if r.Store != nil {
		r.Store.report(&w)
	}
	if r.Memory != nil {
		r.memory(&w)
	}
	return w.String()
}

func (r *results) machine(w *strings.Builder) {
	m := r.Machine
	fmt.Fprintf(w, "## Machine and versions\n\n%s · %d cores · %.0f GiB · %s · data on %s\n\n%s, %s", m.CPU, m.Cores, m.MemoryGiB, m.Kernel,
		m.Filesystem, m.Millrace, m.Go)
	if len(r.Brokers) > 0 {
		fmt.Fprintf(w, "; %s on %s", rocketmqName, m.Java)
	}
	if r.Pipeline != nil {
		fmt.Fprintf(w, "; MariaDB %s", r.Pipeline.MariaDB)
	}
	fmt.Fprintf(w, "\n\nStarted %s, took %.0f minutes; `e2e/bench %s`; load average at the start %s.\n\n",
		r.Started.UTC().Format("2006-01-02 15:04 MST"), r.Seconds/60, r.Options, m.Load)
	low, high, known := r.disturbance()
	if !known {
		return
	}
	if high > quietCores {
		fmt.Fprintf(w, "**This run was disturbed**: other processes kept %.2f to %.2f of %d cores busy while measuring. Rates and latencies "+
			"are lower bounds of what a quiet machine gives.\n\n", low, high, m.Cores)
	} else {
		fmt.Fprintf(w, "Other processes kept at most %.2f of %d cores busy while measuring.\n\n", high, m.Cores)
	}
}

// disturbance is the least and the most that others did during a measurement.
func (r *results) disturbance() (low, high float64, known bool) {
	var all []float64
	for _, s := range r.Brokers {
		all = append(all, s.OtherCores)
	}
	if p := r.Pipeline; p != nil {
		for _, s := range slices.Concat(p.Many, p.Single, p.Mixed, p.snapshots()) {
			all = append(all, s.OtherCores)
		}
		if p.Changes.Rows > 0 {
			all = append(all, p.Changes.OtherCores)
		}
	}
	if o := r.OLAP; o != nil {
		for _, s := range o.all() {
			all = append(all, s.OtherCores)
		}
	}
	if r.Store != nil {
		for _, s := range r.Store.Loads {
			all = append(all, s.Local.OtherCores, s.Store.OtherCores)
		}
	}
	for i, v := range all {
		if i == 0 || v < low {
			low = v
		}
		high = max(high, v)
	}
	return low, high, len(all) > 0
}

func (r *results) memory(w *strings.Builder) {
	m := r.Memory
	fmt.Fprint(w, "## Memory\n\n")
	if m.IdleRSSMiB > 0 {
		m.idle(w)
	}
	if len(m.Big) > 0 {
		m.big(w)
	}
}

func (m *memoryResult) idle(w *strings.Builder) {
	fmt.Fprintf(w, "`millrace standalone` with nothing to do: %.1f MiB resident, %.1f MiB of them of no file (the rest is the binary), %.3f "+
		"cores; it answered %.0f ms after its start.\n\n",
		m.IdleRSSMiB, m.IdleAnonMiB, m.IdleCores, m.StartMillis)
}

func (m *memoryResult) big(w *strings.Builder) {
	fmt.Fprint(w, "A transaction through a fresh process (name server, broker, source, sink in one), with the most memory that "+
		"was ever resident:\n\n"+
		"| rows in one transaction | binlog MiB | peak MiB | s from commit to changes/ |\n|---|---|---|---|\n")
	for _, t := range m.Big {
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.1f |\n", count(float64(t.Rows)), t.BytesPerRow*float64(t.Rows)/(1<<20), t.PeakMiB, t.Seconds)
	}
	fmt.Fprint(w, "\n")
}

// count writes a number with commas between the thousands.
func count(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
