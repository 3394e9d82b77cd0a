package main

import (
	"fmt"
	"strings"
)

// aim is something that was promised, and what came of it.
type aim struct {
	what, want, got string
	reached         bool
}

func (r *results) aims(w *strings.Builder) {
	all := r.allAims()
	if len(all) == 0 {
		return
	}
	fmt.Fprint(w, "## Aims\n\n| aim | wanted | measured | |\n|---|---|---|---|\n")
	var missed []string
	for _, a := range all {
		mark := "reached"
		if !a.reached {
			mark = "**not reached**"
			missed = append(missed, a.what)
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", a.what, a.want, a.got, mark)
	}
	if len(missed) == 0 {
		fmt.Fprint(w, "\nEvery aim of which something was measured was reached in this run.\n\n")
	} else {
		fmt.Fprintf(w, "\nNot reached in this run: %s.\n\n", strings.Join(missed, "; "))
	}
	if p := r.Pipeline; p != nil && len(p.Many) > 0 {
		p.otherMachine(w)
	}
}

// What go-mysql alone decoded of the multi-row backlog on the machine on which the aims in
// rows/s into Parquet were set, and what was carried of it.
const (
	aimsBare    = 490_200
	aimsCarried = 345_000
)

// otherMachine says how this machine and that of the aims compare.
func (p *pipelineResult) otherMachine(w *strings.Builder) {
	bare := func(s backlogSample) float64 { return s.BarePerSecond }
	fmt.Fprintf(w, "The aims into Parquet in rows/s were set on another machine, on which go-mysql alone decoded %s rows/s of the multi-row "+
		"backlog; here it was %s. For each row that it decodes, %.2f are carried "+
		"(there %.2f)", count(aimsBare), count(backlogMedian(p.Many, bare)),
		backlogMedian(p.Many, perSecond)/backlogMedian(p.Many, bare), float64(aimsCarried)/aimsBare)
	for _, kind := range p.kinds()[1:3] {
		if len(kind.all) > 0 {
			fmt.Fprintf(w, "; of %s %.2f", kind.name, backlogMedian(kind.all, perSecond)/backlogMedian(kind.all, bare))
		}
	}
	fmt.Fprint(w, ".\n\n")
}

// kinds are the loads in the order in which they are told.
func (p *pipelineResult) kinds() []kindOfLoad {
	return []kindOfLoad{{manyName, p.Many}, {singleName, p.Single}, {mixedName, p.Mixed}, {"snapshot", p.snapshots()}}
}

type kindOfLoad struct {
	name string
	all  []backlogSample
}

func (r *results) allAims() (all []aim) {
	for _, s := range sessions {
		for _, work := range s.works {
			if work.ratio == 0 || len(r.Brokers) == 0 {
				continue
			}
			ours, theirs := r.rate(work.id, millraceName), r.rate(work.id, rocketmqName)
			if ours == 0 || theirs == 0 {
				continue
			}
			all = append(all, aim{work.title, fmt.Sprintf("%.1f × %s", work.ratio, rocketmqName),
				fmt.Sprintf("%.2f × (%s/s)", ours/theirs, count(ours)), ours >= work.ratio*theirs})
		}
	}
	if p := r.Pipeline; p != nil {
		for _, a := range []struct {
			what string
			got  float64
			want float64
		}{
			{"binlog backlog of multi-row inserts to Parquet", backlogMedian(p.Many, perSecond), 345_000},
			{"binlog backlog of single-row transactions to Parquet", backlogMedian(p.Single, perSecond), 170_000},
			{"binlog backlog of mixed single-row transactions to Parquet", backlogMedian(p.Mixed, perSecond), 145_000},
			{"snapshot of a table into Parquet", p.Snapshot.PerSecond, 280_000},
		} {
			if a.got == 0 { // not measured
				continue
			}
			all = append(all, aim{a.what, count(a.want) + " rows/s", count(a.got) + " rows/s", a.got >= a.want})
		}
	}
	if r.OLAP != nil {
		all = append(all, r.OLAP.aims()...)
	}
	if r.Store != nil {
		all = append(all, r.Store.aims()...)
	}
	if m := r.Memory; m != nil {
		if m.IdleRSSMiB > 0 {
			all = append(all, aim{"idle memory of `standalone`", "below 40 MiB", fmt.Sprintf("%.1f MiB resident", m.IdleRSSMiB), m.IdleRSSMiB < 40})
		}
		for i, t := range m.Big {
			name := "peak memory of a transaction of " + count(float64(t.Rows)) + " rows"
			if i == 0 {
				all = append(all, aim{name, "at most 256 MiB", fmt.Sprintf("%.0f MiB", t.PeakMiB), t.PeakMiB <= 256})
				continue
			}
			first := m.Big[0].PeakMiB
			all = append(all, aim{name, fmt.Sprintf("within 10 %% of that of %s", count(float64(m.Big[0].Rows))),
				fmt.Sprintf("%.0f MiB (%+.0f %%)", t.PeakMiB, (t.PeakMiB/first-1)*100), t.PeakMiB <= first*1.1})
		}
	}
	return all
}
