package main

import (
	"fmt"
	"strings"
	"time"
)

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
