package retention

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/broker/store"
)

// Config is the bound. The zero value of either field is none.
type Config struct {
	// Time is how old a file may become that would have gone for its age.
	Time time.Duration
	// Bytes is how long the log may become whose oldest file would have gone for its length.
	Bytes int64
}

// alarmAt is the part of the bound from which on it is said that a hold will end.
const alarmAt = 0.8

// Log is what is asked of the store.
type Log interface {
	QueueRange(topic string, queue int32) (minOffset, maxOffset int64, ok bool)
	// Position is where a message of a queue lies.
	Position(topic string, queue int32, offset int64) (phys int64, ok bool)
	MaxPhysical() int64
}

// Offsets is what groups have committed.
type Offsets interface {
	Keys() []offsets.Key
	Queues(offsets.Key) map[int32]int64
}

// Deps are all needed but Metrics.
type Deps struct {
	Log     Log
	Offsets Offsets
	// Owner names the writer of a topic, "" where there is none.
	Owner   func(topic string) string
	Metrics prometheus.Registerer
	Logger  *slog.Logger
}

// Keeper answers the store. It is safe for concurrent use.
type Keeper struct {
	cfg  Config
	deps Deps

	released *prometheus.CounterVec

	mu    sync.Mutex
	held  map[offsets.Key]int64 // bytes of the log from the first message that is kept for the group on
	warns map[offsets.Key]bool  // of those held: the alarm was given
}

// New returns a keeper that holds nothing yet. It starts nothing.
func New(cfg Config, deps Deps) *Keeper {
	k := &Keeper{cfg: cfg, deps: deps, warns: map[offsets.Key]bool{}}
	k.released = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "millrace_retention_released_total",
		Help: "Log files removed although a pipeline's group had not read them: its table needs a new snapshot.",
	}, []string{"topic", "group"})
	if deps.Metrics != nil {
		deps.Metrics.MustRegister(k.released, heldGauge{k})
	}
	return k
}

// Keep says whether a log file whose time is over stays for somebody who has not read it.
// Where it does not, those who lose by it are named.
func (k *Keeper) Keep(f store.Expired) bool {
	needs := k.needs(f.Upto)
	part := k.part(f)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held = map[offsets.Key]int64{}
	for key := range k.warns {
		if _, ok := needs[key]; !ok {
			delete(k.warns, key)
		}
	}
	if part < 1 {
		end := k.deps.Log.MaxPhysical()
		for key, phys := range needs {
			k.held[key] = end - phys
			if part >= alarmAt && !k.warns[key] {
				k.warns[key] = true
				k.deps.Logger.Warn("a pipeline is far behind; its messages will be removed soon and its table will need a new snapshot",
					slog.String("topic", key.Topic), slog.String("group", key.Group), slog.Int64("behind_bytes", end-phys),
					slog.Float64("bound_used", part))
			}
		}
		return len(needs) > 0
	}
	for key := range needs {
		k.released.WithLabelValues(key.Topic, key.Group).Inc()
		k.deps.Logger.Error("messages that a pipeline has not read are removed; its table needs a new snapshot",
			slog.String("topic", key.Topic), slog.String("group", key.Group), slog.Int64("below", f.Upto), slog.String("because", f.Why))
	}
	return false
}

// part is how much of the bound is used up. A disk that needs room waits for nobody.
func (k *Keeper) part(f store.Expired) float64 {
	switch {
	case f.Why == store.ExpiredDisk:
		return 1
	case f.Why == store.ExpiredTime && k.cfg.Time > 0:
		return float64(f.Age) / float64(k.cfg.Time)
	case f.Why == store.ExpiredSize && k.cfg.Bytes > 0:
		return float64(f.Bytes) / float64(k.cfg.Bytes)
	}
	return 0
}

// needs are the groups that have something to read below upto, and where it begins.
func (k *Keeper) needs(upto int64) map[offsets.Key]int64 {
	out := map[offsets.Key]int64{}
	for _, key := range k.deps.Offsets.Keys() {
		owner := k.deps.Owner(key.Topic)
		if owner == "" || !strings.HasPrefix(key.Group, owner+"--") {
			continue
		}
		for queue, next := range k.deps.Offsets.Queues(key) {
			phys, ok := k.need(key.Topic, queue, next)
			if first, known := out[key]; ok && phys < upto && (!known || phys < first) {
				out[key] = phys
			}
		}
	}
	return out
}

// need is where a reader of a queue that goes on at an offset has to find messages: the one
// before is looked at, too, when it begins again.
func (k *Keeper) need(topic string, queue int32, next int64) (phys int64, ok bool) {
	first, end, ok := k.deps.Log.QueueRange(topic, queue)
	if !ok || next >= end || next < first { // all read, or gone already
		return 0, false
	}
	return k.deps.Log.Position(topic, queue, max(next-1, first))
}

var heldDesc = prometheus.NewDesc("millrace_retention_held_bytes",
	"Bytes of the log that are kept beyond their time for a pipeline's group, from its oldest unread message on.", []string{"topic",
		"group"}, nil)

// heldGauge reads what is held when it is asked.
type heldGauge struct{ k *Keeper }

func (g heldGauge) Describe(ch chan<- *prometheus.Desc) { ch <- heldDesc }

func (g heldGauge) Collect(ch chan<- prometheus.Metric) {
	g.k.mu.Lock()
	defer g.k.mu.Unlock()
	for key, n := range g.k.held {
		ch <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(n), key.Topic, key.Group)
	}
}
