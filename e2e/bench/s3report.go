package main

import (
	"fmt"
	"strings"
)

// storeShare is how much of the local lake's rate one in a bucket has to reach.
const storeShare = 0.8

func (r *storeResult) aims() (all []aim) {
	for _, s := range r.Loads {
		share := s.Store.PerSecond / s.Local.PerSecond
		all = append(all, aim{s.Name + " into a lake on S3", fmt.Sprintf("%.0f %% of the local lake", storeShare*100),
			fmt.Sprintf("%.0f %% (%s of %s rows/s)", share*100, count(s.Store.PerSecond), count(s.Local.PerSecond)), share >= storeShare})
	}
	return all
}

// report is the part on the object store.
func (r *storeResult) report(w *strings.Builder) {
	fmt.Fprint(w, "## From the database into a lake on S3\n\nThe same loads into a lake on the local disk and into one in a bucket of "+
		"versitygw, a gateway that keeps objects as files of the same machine and shares its "+
		"cores; what lies far away is not measured by that. Measured and compared as above.\n\n"+
		"| | lake | rows | rows/s | s | until current/, s | CPU µs/row | peak memory MiB | equal |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range r.Loads {
		for i, one := range []backlogSample{s.Local, s.Store} {
			equal := "yes"
			if !one.Equal {
				equal = "**NO**"
			}
			title, lake := s.Name, "local"
			if i == 1 {
				title, lake = "", "S3"
			}
			fmt.Fprintf(w, "| %s | %s | %s | **%s** | %.1f | %.1f | %.2f | %.0f | %s |\n", title, lake, count(float64(one.Rows)),
				count(one.PerSecond), one.Seconds, one.CurrentSeconds, one.CPUMicros, one.PeakMiB, equal)
		}
	}
	fmt.Fprintf(w, "\n```yaml\n%s```\n\n", fmt.Sprintf(storeFile, "127.0.0.1:3306", "shop.*", "bucket", "http://127.0.0.1:7070"))
}
