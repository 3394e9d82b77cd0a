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
	// short is for what writes so much that the stores of a longer measurement, and what waits
	// to be written back, would outgrow memory: whoever comes first then pays for the disk.
	short bool
	// fill is what puts in the messages that the work reads, once for each broker.
	fill []string
}

// session is what the brokers do in one go, each on a store of its own.
type session struct {
	name, flush string
	works       []work
	// spins says that a Java broker keeps cores busy after this kind of load: whoever is
	// not being measured is stopped meanwhile (SIGSTOP).
	spins bool
}

// sessions are in the order in which they run.
var sessions = []session{
	{name: "async", flush: "ASYNC_FLUSH", works: []work{
		{id: "send-64", title: "send, 64 in flight, async flush", args: []string{"send", "--topic", "send64", "--in-flight", "64"},
			quick: true, ratio: 2.5},
		{id: "send-1", title: "send, 1 in flight, async flush", args: []string{"send", "--topic", "send1", "--in-flight", "1"}, quick: true},
		{id: "rate-10k", title: "send at 10,000/s, async flush", args: []string{"send", "--topic", "rate", "--rate", "10000"}},
	}},
	{name: "batch", flush: "ASYNC_FLUSH", works: []work{
		{id: "batch-32", title: "send batches of 32 of 256 bytes, 16 in flight, async flush",
			args: []string{"send", "--topic", "batch", "--batch", "32", "--in-flight", "16", "--size", "256"}, quick: true, short: true},
		{id: "pull", title: "read a backlog, 8 queues", args: []string{"pull", "--topic", "backlog"}, quick: true, ratio: 1.5, short: true,
			fill: []string{"send", "--topic", "backlog", "--batch", "32", "--in-flight", "16"}},
	}},
	{name: "sync", flush: "SYNC_FLUSH", works: []work{
		{id: "sync-64", title: "send, 64 in flight, sync flush",
			args: []string{"send", "--topic", "sync64", "--in-flight", "64"}, quick: true, ratio: 3},
		{id: "sync-1", title: "send, 1 in flight, sync flush", args: []string{"send", "--topic", "sync1", "--in-flight", "1"}, quick: true},
	}},
	{name: "transactions", flush: "ASYNC_FLUSH", spins: true, works: []work{
		{id: "tx-64", title: "transactions, 64 in flight, async flush",
			args: []string{"send", "--topic", "tx", "--transactions", "--in-flight", "64"}, quick: true, ratio: 2},
	}},
}

// benchQueues is how many queues every topic has.
const benchQueues = 8

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
	// WarmSeconds is how long the broker had been under this very load before its rounds.
	WarmSeconds float64 `json:"warm_seconds"`
	Unsteady    bool    `json:"unsteady,omitempty"` // its rate still moved then
}

// brokers measures both brokers, and Millrace a second time (A/A): what two runs of the
// same thing differ by is the least difference that means anything.
func (b *bench) brokers(ctx context.Context) ([]brokerSample, error) {
	peer, err := b.rocketmqSystem(ctx)
	if err != nil {
		return nil, err
	}
	var all []brokerSample
	for _, s := range sessions {
		if !b.wants("brokers", s.name) {
			continue
		}
		err := b.attempt(ctx, "brokers, "+s.name, func() error {
			got, err := b.session(ctx, s, []system{b.millraceSystem(millraceName), peer, b.millraceSystem(againName)})
			all = append(all, got...)
			return err
		})
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// session starts the brokers and keeps them through all works and rounds: they take turns,
// and each is as warm as it gets when it is measured.
func (b *bench) session(ctx context.Context, s session, systems []system) (all []brokerSample, err error) {
	contenders, err := b.startAll(ctx, s, systems)
	defer func() {
		for _, c := range contenders {
			c.stop(b)
		}
	}()
	if err != nil {
		return nil, err
	}
	for _, w := range s.works {
		if b.quick && !w.quick {
			continue
		}
		for _, c := range contenders {
			if err := b.turn(ctx, c, func() error { return b.ready(ctx, c, w) }); err != nil {
				return all, fmt.Errorf("%s, warm up for %s: %w", c.name, w.title, err)
			}
		}
		got, err := b.alternate(ctx, w, contenders)
		all = append(all, got...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// lengths are how long one measurement of a work takes, and what of its load comes before.
func (b *bench) lengths(w work) (measured, before time.Duration) {
	measured = b.seconds
	if w.short {
		measured /= 2
	}
	return measured, time.Second
}

// alternate measures one work in every round, each round in the other direction.
func (b *bench) alternate(ctx context.Context, w work, contenders []*contender) (all []brokerSample, err error) {
	for round := range b.rounds {
		order := slices.Clone(contenders)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			err := b.turn(ctx, c, func() error {
				measured, before := b.lengths(w)
				one, err := b.measure(ctx, c.running, w.args, measured, before)
				one.Work, one.System, one.Round, one.WarmSeconds, one.Unsteady = w.id, c.name, round+1, c.warm.Seconds(), c.unsteady
				if err == nil {
					b.say("%-18s round %d  %-46s %9.0f/s  p50 %.2f  p99 %.2f ms  %5.1f µs, the client %4.1f  (others: %.2f cores)",
						c.name, round+1, w.title, one.PerSecond, one.P50, one.P99, one.CPUMicros, one.OwnMicros, one.OtherCores)
					all = append(all, one)
				}
				return err
			})
			if err != nil {
				return all, fmt.Errorf("%s, %s: %w", c.name, w.title, err)
			}
		}
	}
	return all, nil
}

// measure runs `millrace bench` once.
func (b *bench) measure(ctx context.Context, r *running, args []string, d, warmup time.Duration) (brokerSample, error) {
	sample := brokerSample{Load: loadAverage()}
	rest := startOthers(func() float64 { return ownSeconds() + processSeconds(r.pid) })
	ctx, cancel := context.WithTimeout(ctx, d+warmup+2*time.Minute)
	defer cancel()
	args = append(append([]string{"bench"}, args...), "--namesrv", r.namesrv, "--pid", fmt.Sprint(r.pid), "--queues", fmt.Sprint(benchQueues),
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
