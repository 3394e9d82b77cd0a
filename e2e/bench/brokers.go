package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// work is one kind of load that both brokers get.
type work struct {
	id, title string
	args      []string
	quick     bool // part of a quick run
	ratio     float64
	aim       float64 // messages per second, on the machine that the aims were set for
}

// session is what a fresh broker does in one go.
type session struct {
	name, flush string
	works       []work
}

// sessions are in the order in which they run. Transactions have a broker of their own: a
// Java broker spins after them.
var sessions = []session{
	{"async", "ASYNC_FLUSH", []work{
		{"send-64", "send, 64 in flight, async flush", []string{"send", "--topic", "send64", "--in-flight", "64"}, true, 2.5, 115_000},
		{"send-1", "send, 1 in flight, async flush", []string{"send", "--topic", "send1", "--in-flight", "1"}, true, 0, 0},
		{"rate-10k", "send at 10,000/s, async flush", []string{"send", "--topic", "rate", "--rate", "10000"}, false, 0, 0},
		{"batch-32", "send batches of 32, 16 in flight, async flush", []string{"send", "--topic", "batch", "--batch", "32", "--in-flight", "16"}, true, 0, 0},
		{"pull", "read a backlog, 4 queues", []string{"pull", "--topic", "batch"}, true, 1.5, 800_000},
	}},
	{"sync", "SYNC_FLUSH", []work{
		{"sync-64", "send, 64 in flight, sync flush", []string{"send", "--topic", "sync64", "--in-flight", "64"}, true, 3, 78_000},
		{"sync-1", "send, 1 in flight, sync flush", []string{"send", "--topic", "sync1", "--in-flight", "1"}, true, 0, 0},
	}},
	{"transactions", "ASYNC_FLUSH", []work{
		{"tx-64", "transactions, 64 in flight, async flush", []string{"send", "--topic", "tx", "--transactions", "--in-flight", "64"}, true, 2, 45_000},
	}},
}

// brokerSample is one measurement of one broker.
type brokerSample struct {
	Work       string  `json:"work"`
	System     string  `json:"system"`
	Round      int     `json:"round"`
	Messages   int64   `json:"messages"`
	PerSecond  float64 `json:"per_second"`
	Failed     int64   `json:"failed"`
	Failure    string  `json:"failure,omitempty"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	P999       float64 `json:"p999_ms"`
	CPUMicros  float64 `json:"broker_cpu_us_per_message"`
	OwnMicros  float64 `json:"own_cpu_us_per_message"`
	RSSMiB     float64 `json:"rss_mib"`
	AnonMiB    float64 `json:"rss_anonymous_mib"`
	DiskMiB    float64 `json:"disk_written_mib"`
	Load       string  `json:"load_average"` // before
	OtherCores float64 `json:"other_cores"`  // that the rest of the machine kept busy
}

// brokers measures both brokers, alternating.
func (b *bench) brokers(ctx context.Context) ([]brokerSample, error) {
	peer, err := b.rocketmqSystem(ctx)
	if err != nil {
		return nil, err
	}
	var all []brokerSample
	for round := range b.rounds {
		for _, s := range sessions {
			for _, sys := range []system{b.millraceSystem(), peer} {
				got, err := b.session(ctx, sys, s, round)
				all = append(all, got...)
				if err != nil {
					return all, fmt.Errorf("%s, %s: %w", sys.name, s.name, err)
				}
			}
		}
	}
	return all, nil
}

// session starts a broker, warms it up and measures it.
func (b *bench) session(ctx context.Context, sys system, s session, round int) ([]brokerSample, error) {
	dir, drop, err := b.scratch(strings.ToLower(strings.Fields(sys.name)[0]) + "-" + s.name)
	if err != nil {
		return nil, err
	}
	defer drop()
	r, err := sys.start(ctx, dir, s.flush)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := r.stop(); err != nil {
			b.say("%s did not stop in order: %v", sys.name, err)
		}
	}()
	warm := []string{"send", "--topic", "warm"}
	if s.name == "transactions" {
		warm = append(warm, "--transactions")
	}
	if _, err := b.measure(ctx, r, warm, max(2*time.Second, b.seconds*2/3), 0); err != nil {
		return nil, fmt.Errorf("warm up: %w", err)
	}
	var all []brokerSample
	for _, w := range s.works {
		if b.quick && !w.quick {
			continue
		}
		one, err := b.measure(ctx, r, w.args, b.seconds, time.Second)
		if err != nil {
			return all, fmt.Errorf("%s: %w", w.title, err)
		}
		one.Work, one.System, one.Round = w.id, sys.name, round+1
		b.say("%-14s round %d  %-46s %9.0f/s  p50 %.2f  p99 %.2f ms  %5.1f µs  (others: %.2f cores)",
			sys.name, round+1, w.title, one.PerSecond, one.P50, one.P99, one.CPUMicros, one.OtherCores)
		all = append(all, one)
	}
	return all, nil
}

// measure runs `millrace bench` once.
func (b *bench) measure(ctx context.Context, r *running, args []string, d, warmup time.Duration) (brokerSample, error) {
	sample := brokerSample{Load: loadAverage()}
	rest := startOthers(func() float64 { return ownSeconds() + processSeconds(r.pid) })
	ctx, cancel := context.WithTimeout(ctx, d+warmup+2*time.Minute)
	defer cancel()
	args = append(append([]string{"bench"}, args...), "--namesrv", r.namesrv, "--pid", fmt.Sprint(r.pid),
		"--json", "--seconds", d.String(), "--warmup", warmup.String())
	cmd := exec.CommandContext(ctx, b.binary, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return sample, fmt.Errorf("millrace %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	sample.OtherCores = rest.cores()
	var got struct {
		Messages     int64   `json:"messages"`
		PerSecond    float64 `json:"per_second"`
		Failed       int64   `json:"failed"`
		Failure      string  `json:"failure"`
		P50          float64 `json:"p50_ms"`
		P99          float64 `json:"p99_ms"`
		P999         float64 `json:"p999_ms"`
		BrokerMicros float64 `json:"broker_cpu_us_per_message"`
		OwnMicros    float64 `json:"own_cpu_us_per_message"`
		Broker       struct {
			RSS  float64 `json:"rss_mib"`
			Anon float64 `json:"rss_anonymous_mib"`
			Disk float64 `json:"disk_written_mib"`
		} `json:"broker"`
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return sample, fmt.Errorf("millrace %s printed: %w", strings.Join(args, " "), err)
	}
	sample.Messages, sample.PerSecond, sample.Failed, sample.Failure = got.Messages, got.PerSecond, got.Failed, got.Failure
	sample.P50, sample.P99, sample.P999 = got.P50, got.P99, got.P999
	sample.CPUMicros, sample.OwnMicros = got.BrokerMicros, got.OwnMicros
	sample.RSSMiB, sample.AnonMiB, sample.DiskMiB = got.Broker.RSS, got.Broker.Anon, got.Broker.Disk
	return sample, nil
}

// median of some figures; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// medianOf takes the median of one figure over the samples of a work and a system.
func medianOf(all []brokerSample, work, system string, figure func(brokerSample) float64) float64 {
	var v []float64
	for _, s := range all {
		if s.Work == work && s.System == system {
			v = append(v, figure(s))
		}
	}
	return median(v)
}
