package main

import (
	"fmt"
	"strings"
)

func perSecond(s backlogSample) float64 { return s.PerSecond }

func backlogMedian(all []backlogSample, figure func(backlogSample) float64) float64 {
	v := make([]float64, len(all))
	for i, s := range all {
		v[i] = figure(s)
	}
	return median(v)
}

func (r *results) pipeline(w *strings.Builder) {
	p := r.Pipeline
	fmt.Fprint(w, "## From the database into Parquet\n\nA private MariaDB holds orders. For a backlog the pipeline is paused, the rows are "+
		"changed, and time runs from its resumption until the Delta log of `changes/` shows every change, read with code of the bench's "+
		"own; starting the publisher is part of it. `current/` follows at its interval. Beside it: the same part of the same binlog, "+
		"decoded by go-mysql alone and thrown away. *Mixed* is single-row transactions over ten tables: of ten, two insert, six update, two "+
		"delete. The snapshot is of a table that is there already, from the start of a process; beside it go-mysql's own SELECT of the same "+
		"rows, thrown away. *Equal*: `pipeline verify` compared every row of source and target afterwards. Database, broker (SYNC_FLUSH) "+
		"and pipeline share the cores; the pipeline is `millrace standalone` with the file below.\n\n"+
		"| | rows | binlog B/row | rows/s | s | until current/, s | CPU µs/row | go-mysql alone, rows/s | peak memory MiB | equal "+
		"|\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, kind := range p.kinds() {
		if len(kind.all) == 0 {
			continue
		}
		backlogRow(w, kind.name, kind.all)
	}
	if p.Changes.Rows > 0 {
		p.freshness(w)
	}
	fmt.Fprintf(w, "\n```yaml\n%s```\n\n", fmt.Sprintf(pipelineFile, "127.0.0.1:3306", "shop.*", "./lake"))
}

// freshness are the rows' ages at the fixed rate, and the rates that were tried.
func (p *pipelineResult) freshness(w *strings.Builder) {
	fmt.Fprintf(w, "\nFreshness: %s rows/s in transactions of five rows; a row's age when a reader (arrow-go) has read it from the "+
		"target for the first time, counted from just before its statement was sent, over every row. The intervals of the file, 0.5 s and 2 "+
		"s, are part of it.\n\n"+
		"| | rows | p50 s | p99 s | max s |\n|---|---|---|---|---|\n", count(p.Changes.PerSecond))
	for _, f := range []struct {
		name string
		s    freshnessSample
	}{{"changes/", p.Changes}, {"current/", p.Current}} {
		fmt.Fprintf(w, "| %s | %s | %.2f | %.2f | %.2f |\n", f.name, count(float64(f.s.Rows)), f.s.P50, f.s.P99, f.s.Max)
	}
	rateRows(w, p.Rates)
}

// snapshots is the one that was taken, or none.
func (p *pipelineResult) snapshots() []backlogSample {
	if p.Snapshot.Rows == 0 {
		return nil
	}
	return []backlogSample{p.Snapshot}
}

// backlogRow is the line of one kind of load.
func backlogRow(w *strings.Builder, name string, all []backlogSample) {
	at := func(f func(backlogSample) float64) float64 { return backlogMedian(all, f) }
	low, high, equal := 0.0, 0.0, "yes"
	for i, s := range all {
		if i == 0 || s.PerSecond < low {
			low = s.PerSecond
		}
		high = max(high, s.PerSecond)
		if !s.Equal {
			equal = "**NO**"
		}
	}
	size := "–"
	if v := at(func(s backlogSample) float64 { return s.BytesPerRow }); v > 0 {
		size = fmt.Sprintf("%.0f", v)
	}
	fmt.Fprintf(w, "| %s | %s | %s | **%s** (%s–%s) | %.1f | %.1f | %.2f | %s | %.0f | %s |\n", name,
		count(at(func(s backlogSample) float64 { return float64(s.Rows) })),
		size, count(at(perSecond)), count(low), count(high), at(func(s backlogSample) float64 { return s.Seconds }),
		at(func(s backlogSample) float64 { return s.CurrentSeconds }), at(func(s backlogSample) float64 { return s.CPUMicros }),
		count(at(func(s backlogSample) float64 { return s.BarePerSecond })), at(func(s backlogSample) float64 { return s.PeakMiB }), equal)
}

// rateRows are the rates that were tried, and the highest that held.
func rateRows(w *strings.Builder, all []rateSample) {
	if len(all) == 0 {
		return
	}
	highest := "none of the rates that were tried held"
	if s := heldRate(all); s != nil {
		highest = count(s.Changes.PerSecond) + " rows/s is the highest that was tried and held"
	}
	fmt.Fprintf(w, "\nThe highest rate with a p99 of `changes/` within %s: %s.\n\n| rows/s wanted | written | changes/ p50 s | p99 s | "+
		"current/ p99 s | |\n|---|---|---|---|---|---|\n", fresh, highest)
	for _, s := range all {
		fmt.Fprintf(w, "| %s | %s | %.2f | %.2f | %.2f | %s |\n", count(float64(s.Wanted)), count(s.Changes.PerSecond), s.Changes.P50,
			s.Changes.P99, s.Current.P99, s.verdict())
	}
}
