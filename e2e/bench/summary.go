package main

import (
	"fmt"
	"os"
	"strings"
)

// readme holds the run's summary between two marks.
const (
	readme       = "README.md"
	summaryBegin = "<!-- measured: made by `make bench` -->\n"
	summaryEnd   = "<!-- end of measured -->\n"
)

// writeSummary puts what was measured into a file, in place of what an earlier run put there.
func writeSummary(name string, r *results) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	changed, err := withSummary(string(text), summary(r))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, []byte(changed), 0o644)
}

func withSummary(text, summary string) (string, error) {
	before, rest, ok := strings.Cut(text, summaryBegin)
	_, after, ok2 := strings.Cut(rest, summaryEnd)
	if !ok || !ok2 {
		return "", fmt.Errorf("%q and %q, between which what was measured stands, are not there", strings.TrimSpace(summaryBegin),
			strings.TrimSpace(summaryEnd))
	}
	return before + summaryBegin + summary + summaryEnd + after, nil
}

// summary is what the README says of a run. It says nothing that the report does not, and
// every figure stands there in the same form.
func summary(r *results) string {
	var w strings.Builder
	fmt.Fprintf(&w, "On %d cores that broker, database and load generator share, %s ([docs/benchmarks.md](docs/benchmarks.md), aims that "+
		"were missed included):\n\n", r.Machine.Cores, r.Started.UTC().Format("2006-01-02"))
	r.summaryBrokers(&w)
	if r.Pipeline != nil {
		r.Pipeline.summary(&w)
	}
	if r.OLAP != nil {
		r.OLAP.summary(&w)
	}
	if r.Store != nil {
		for _, a := range r.Store.aims() {
			fmt.Fprintf(&w, "* %s: %s\n", a.what, a.got)
		}
	}
	if r.Memory != nil {
		r.Memory.summary(&w)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&w, "* could not be measured: %s\n", f)
	}
	return w.String()
}

func (r *results) summaryBrokers(w *strings.Builder) {
	var list []string
	for _, s := range sessions {
		for _, work := range s.works {
			ours, theirs := r.rate(work.id, millraceName), r.rate(work.id, rocketmqName)
			if ours > 0 && theirs > 0 && work.id != "rate-10k" {
				list = append(list, fmt.Sprintf("%s %.2f ×", work.title, ours/theirs))
			}
		}
	}
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(w, "* beside a warm %s: %s", rocketmqName, strings.Join(list, "; "))
	p99 := func(s brokerSample) float64 { return s.P99 }
	ours, theirs := medianOf(r.Brokers, "rate-10k", millraceName, p99), medianOf(r.Brokers, "rate-10k", rocketmqName, p99)
	if ours > 0 && theirs > 0 {
		fmt.Fprintf(w, "; p99 at 10,000/s %.2f against %.2f ms", ours, theirs)
	}
	fmt.Fprint(w, "\n")
}

func (p *pipelineResult) summary(w *strings.Builder) {
	var list []string
	for _, kind := range p.kinds() {
		if len(kind.all) > 0 {
			list = append(list, fmt.Sprintf("%s %s rows/s (%.2f µs of CPU a row)", kind.name, count(backlogMedian(kind.all, perSecond)),
				backlogMedian(kind.all, func(s backlogSample) float64 { return s.CPUMicros })))
		}
	}
	if len(list) > 0 {
		fmt.Fprintf(w, "* from the database into Parquet, compared row by row afterwards: %s\n", strings.Join(list, "; "))
	}
	if s := heldRate(p.Rates); s != nil {
		fmt.Fprintf(w, "* rows in Parquet at %s rows/s: visible after %.2f s (p50) and %.2f s (p99)\n", count(s.Changes.PerSecond),
			s.Changes.P50, s.Changes.P99)
	}
}

func (r *olapResult) summary(w *strings.Builder) {
	var list []string
	for _, name := range []string{manyName, singleName, mixedName} {
		if got := r.rate(name); got > 0 {
			list = append(list, fmt.Sprintf("%s %s rows/s", name, count(got)))
		}
	}
	if len(list) > 0 {
		fmt.Fprintf(w, "* from the database into ClickHouse %s, its engine on the same machine, compared row by row afterwards: %s\n",
			r.Version, strings.Join(list, "; "))
	}
	if s := heldRate(r.Rates); s != nil {
		fmt.Fprintf(w, "* rows in ClickHouse at %s rows/s: visible after %.2f s (p50) and %.2f s (p99)\n", count(s.Changes.PerSecond),
			s.Changes.P50, s.Changes.P99)
	}
}

func (m *memoryResult) summary(w *strings.Builder) {
	var list []string
	if m.IdleRSSMiB > 0 {
		list = append(list, fmt.Sprintf("%.1f MiB when idle", m.IdleRSSMiB))
	}
	for _, t := range m.Big {
		list = append(list, fmt.Sprintf("%.0f MiB at the peak of a transaction of %s rows", t.PeakMiB, count(float64(t.Rows))))
	}
	if len(list) > 0 {
		fmt.Fprintf(w, "* `standalone` takes %s\n", strings.Join(list, ", "))
	}
}

// heldRate is the highest rate that held, nil for none.
func heldRate(all []rateSample) (held *rateSample) {
	for i := range all {
		if all[i].Held {
			held = &all[i]
		}
	}
	return held
}
