package main

import (
	"fmt"
	"slices"
	"strings"
)

// rate is the median of a kind of backlog; 0 when it was not measured.
func (r *olapResult) rate(name string) float64 {
	var v []float64
	for _, s := range r.Backlogs {
		if s.Name == name {
			v = append(v, s.PerSecond)
		}
	}
	return median(v)
}

func (r *olapResult) aims() (all []aim) {
	for _, a := range []struct {
		load, what string
		want       float64
	}{
		{manyName, "binlog backlog of multi-row inserts to ClickHouse", 250_000},
		{singleName, "binlog backlog of single-row transactions to ClickHouse", 100_000},
		{mixedName, "binlog backlog of mixed single-row transactions to ClickHouse", 100_000},
	} {
		if got := r.rate(a.load); got > 0 {
			all = append(all, aim{a.what, count(a.want) + " rows/s", count(got) + " rows/s", got >= a.want})
		}
	}
	if len(r.Rates) > 0 {
		held := 0.0
		if s := heldRate(r.Rates); s != nil {
			held = s.Changes.PerSecond
		}
		all = append(all, aim{"rows in ClickHouse within 1 s (p99)", "40,000 rows/s", count(held) + " rows/s", held >= 0.95*40_000})
	}
	if c := r.CatchUp; c != nil {
		all = append(all, aim{"catching up in ClickHouse " + c.Name, "3 × the live rate",
			fmt.Sprintf("%.1f × %s rows/s", c.PerSecond/r.LiveRate, count(r.LiveRate)), c.PerSecond >= 3*r.LiveRate})
	}
	if t := r.Big; t != nil {
		all = append(all, aim{"peak memory of a transaction of " + count(float64(t.Rows)) + " rows into ClickHouse", "at most 256 MiB",
			fmt.Sprintf("%.0f MiB", t.PeakMiB), t.PeakMiB <= 256})
	}
	return all
}

// all is everything that was carried.
func (r *olapResult) all() []olapSample {
	all := slices.Clone(r.Backlogs)
	for _, s := range []*olapSample{r.CatchUp, r.Big} {
		if s != nil {
			all = append(all, *s)
		}
	}
	return all
}

// report is the part on ClickHouse.
func (r *olapResult) report(w *strings.Builder) {
	fmt.Fprintf(w, "## From the database into ClickHouse\n\nThe same loads into ClickHouse %s: its engine, libchdb, behind a native "+
		"protocol of the tests' own, in a process on the same machine (one more copy of a block than on a server). Time runs from the "+
		"pipeline's resumption until a SELECT of each view agrees with the source in count and sums; *equal*: `pipeline verify` compared "+
		"every row afterwards. CPU of Millrace and of ClickHouse, merges of that time included, stand apart.\n\n"+
		"| | rows | rows/s | s | Millrace CPU µs/row | ClickHouse CPU µs/row | Millrace peak MiB | equal "+
		"|\n|---|---|---|---|---|---|---|---|\n", r.Version)
	for _, s := range r.all() {
		equal := "yes"
		if !s.Equal {
			equal = "**NO**"
		}
		fmt.Fprintf(w, "| %s | %s | **%s** | %.1f | %.2f | %.2f | %.0f | %s |\n", s.Name, count(float64(s.Rows)), count(s.PerSecond),
			s.Seconds, s.CPUMicros, s.ServerMicros, s.PeakMiB, equal)
	}
	if len(r.Rates) > 0 {
		fmt.Fprint(w, "\nHow old a row is when a SELECT shows it, over every row, at rates that rise until the 99th percentile "+
			"is above a second:\n\n"+
			"| rows/s wanted | written | p50 s | p99 s | |\n|---|---|---|---|---|\n")
	}
	for _, s := range r.Rates {
		fmt.Fprintf(w, "| %s | %s | %.2f | %.2f | %s |\n", count(float64(s.Wanted)), count(s.Changes.PerSecond),
			s.Changes.P50, s.Changes.P99, s.verdict())
	}
	fmt.Fprintf(w, "\n```yaml\n%s```\n\n", fmt.Sprintf(olapFile, "127.0.0.1:3306", "shop.*", "127.0.0.1:9000"))
}
