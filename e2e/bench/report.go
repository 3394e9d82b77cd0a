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

func (r *results) rate(work, system string) float64 {
	return medianOf(r.Brokers, work, system, func(s brokerSample) float64 { return s.PerSecond })
}

func (r *results) brokers(w *strings.Builder, rounds int, seconds time.Duration) {
	fmt.Fprintf(w, `## Brokers

One load generator, %[1]smillrace bench%[1]s, drives both over TCP on the loopback address through one
connection: 1 KiB bodies where nothing else stands, %[4]d queues, no retries, no compression, no replica. Both brokers flush in the
same way, have log files of 1 GiB and may answer a pull with 512 messages or 1 MiB; the Java broker has
a heap of 1 GiB. They run side by side through all rounds, and take turns (%[2]d rounds of %[3]s each, every other round in
the other direction). What writes or reads most has rounds half as long, and a backlog of as much as a broker takes in in %[3]s, so
that all of it stays in memory; after each turn what was written is brought to the disk. Before its rounds each broker is put under the very load until its rate is
steady (three times three seconds, or half of that, within %[5]d %%; the Java broker for at least %[6]s, since a cold one takes several times the CPU of a warm one), and
a second of it comes before each measurement. Medians are told, with the lowest and highest round behind the rate. *Millrace again* is a second broker of the same
binary that takes the same turns: by as much as it differs from the first, differences mean nothing. The client's own CPU, which the
machine shares, stands beside the broker's.
Messages are counted at the receiver: by the topic's offsets, or by what the reader got. At a fixed rate
latency counts from the time at which a message should have left. Failed sends are not counted as sent.

| | broker | messages/s | ratio | p50 ms | p99 ms | p99.9 ms | broker CPU µs | client CPU µs | warm-up s | memory MiB (of no file) | disk B/message | failed |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
`, "`", rounds, seconds, benchQueues, int(warmAgree*100), jvmWarmth)
	for _, s := range sessions {
		for _, work := range s.works {
			r.brokerRows(w, work)
		}
	}
	fmt.Fprint(w, "\n")
	if failures := r.failures(); failures != "" {
		fmt.Fprintf(w, "Failures, the first of each kind of work:\n\n%s\n", failures)
	}
	fmt.Fprint(w, "Memory includes mapped files, which the Java broker uses for its log. Disk is what reached the device while measuring; "+
		"the rest is written back later.\n\n")
}

func (r *results) brokerRows(w *strings.Builder, work work) {
	theirs := r.rate(work.id, rocketmqName)
	for _, system := range []string{millraceName, rocketmqName, againName} {
		figure := func(f func(brokerSample) float64) float64 { return medianOf(r.Brokers, work.id, system, f) }
		rate := r.rate(work.id, system)
		if rate == 0 {
			continue
		}
		low, high := r.spread(work.id, system)
		title, ratio := "", "1"
		switch system {
		case millraceName:
			title, ratio = work.title, ratioText("**%.2f**", rate, theirs)
		case againName:
			ratio = ratioText("%.2f of the first", rate, r.rate(work.id, millraceName))
		}
		latency := func(f func(brokerSample) float64) string {
			if v := figure(f); v > 0 {
				return fmt.Sprintf("%.2f", v)
			}
			return "–"
		}
		fmt.Fprintf(w, "| %s | %s | %s (%s–%s) | %s | %s | %s | %s | %.1f | %.1f | %s | %.0f (%.0f) | %.0f | %.0f |\n", title, system,
			count(rate), count(low), count(high), ratio,
			latency(func(s brokerSample) float64 { return s.P50 }), latency(func(s brokerSample) float64 { return s.P99 }),
			latency(func(s brokerSample) float64 { return s.P999 }),
			figure(func(s brokerSample) float64 { return s.CPUMicros }), figure(func(s brokerSample) float64 { return s.OwnMicros }),
			r.warmth(work.id, system),
			figure(func(s brokerSample) float64 { return s.RSSMiB }), figure(func(s brokerSample) float64 { return s.AnonMiB }),
			figure(func(s brokerSample) float64 { return s.DiskMiB * (1 << 20) / float64(max(s.Messages, 1)) }),
			figure(func(s brokerSample) float64 { return float64(s.Failed) }))
	}
}

// ratioText is a ratio, or a dash where there is nothing to compare with.
func ratioText(format string, ours, theirs float64) string {
	if theirs == 0 {
		return "–"
	}
	return fmt.Sprintf(format, ours/theirs)
}

// warmth is how long the broker was warmed for a work, and whether that was enough.
func (r *results) warmth(work, system string) string {
	seconds := medianOf(r.Brokers, work, system, func(s brokerSample) float64 { return s.WarmSeconds })
	for _, s := range r.Brokers {
		if s.Work == work && s.System == system && s.Unsteady {
			return fmt.Sprintf("%.0f, not steady", seconds)
		}
	}
	return fmt.Sprintf("%.0f", seconds)
}

func (r *results) spread(work, system string) (low, high float64) {
	for _, s := range r.Brokers {
		if s.Work != work || s.System != system {
			continue
		}
		if low == 0 || s.PerSecond < low {
			low = s.PerSecond
		}
		high = max(high, s.PerSecond)
	}
	return low, high
}

func (r *results) failures() string {
	var w strings.Builder
	seen := map[string]bool{}
	for _, s := range r.Brokers {
		if key := s.Work + s.System; s.Failed > 0 && !seen[key] {
			seen[key] = true
			fmt.Fprintf(&w, "* %s, %s: %d in round %d: %s\n", s.System, s.Work, s.Failed, s.Round, firstLine(s.Failure))
		}
	}
	return w.String()
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

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
		verdict := "held"
		switch {
		case s.Writer:
			verdict = "the writer and the database were too slow"
		case !s.Held:
			verdict = "not held"
		}
		fmt.Fprintf(w, "| %s | %s | %.2f | %.2f | %.2f | %s |\n", count(float64(s.Wanted)), count(s.Changes.PerSecond), s.Changes.P50,
			s.Changes.P99, s.Current.P99, verdict)
	}
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
