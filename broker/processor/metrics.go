package processor

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

// Metrics counts what the handlers do, under the names of RocketMQ 5. A nil Registerer
// is fine: the counters then serve the runtime information only.
type Metrics struct {
	latency *prometheus.HistogramVec
	refused *refused

	in       sync.Map // topic → *traffic
	out      sync.Map // flow → *traffic
	outCount atomic.Int64

	// Totals that code 28 shows.
	Puts, PutBytes, PutErrors   atomic.Int64
	Gets, GetBytes, GetsMissed  atomic.Int64
	LongPolls, HoldsRefused     atomic.Int64
	AboveEnd, BelowMin, Rejects atomic.Int64
}

type flow struct{ topic, group string }

type traffic struct {
	messages, bytes    atomic.Int64
	aboveEnd, belowMin atomic.Int64
}

// maxFlows bounds the (topic, group) pairs that are counted one by one; the rest is
// counted in totals only.
const maxFlows = 20_000

// NewMetrics registers the collectors with reg, when it is not nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{refused: newRefused(reg), latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "rocketmq_rpc_latency",
		Help:    "Time from a request's arrival to its answer, in milliseconds.",
		Buckets: []float64{0.1, 0.3, 1, 3, 5, 7, 10, 30, 100, 1000, 2000, 3000},
	}, []string{"request_code", "response_code", "is_long_polling"})}
	if reg != nil {
		reg.MustRegister(m.latency)
	}
	return m
}

// clock is one row's latency, with the handle for its usual answer at hand.
type clock struct {
	metrics *Metrics
	code    string
	success prometheus.Observer
}

func (m *Metrics) clock(code int) *clock {
	text := strconv.Itoa(code)
	return &clock{metrics: m, code: text, success: m.latency.WithLabelValues(text, "0", "false")}
}

func (c *clock) observe(began time.Time, answer int, parked bool) {
	ms := float64(time.Since(began)) / float64(time.Millisecond)
	if answer == 0 && !parked {
		c.success.Observe(ms)
		return
	}
	c.metrics.latency.WithLabelValues(c.code, strconv.Itoa(answer), strconv.FormatBool(parked)).Observe(ms)
}

func (m *Metrics) stored(topic string, messages, bytes int) {
	v, ok := m.in.Load(topic)
	if !ok {
		v, _ = m.in.LoadOrStore(topic, &traffic{})
	}
	v.(*traffic).messages.Add(int64(messages))
	v.(*traffic).bytes.Add(int64(bytes))
	m.Puts.Add(int64(messages))
	m.PutBytes.Add(int64(bytes))
}

// flow returns a group's counters on a topic; nil when too many are counted already.
func (m *Metrics) flow(topic, group string) *traffic {
	v, ok := m.out.Load(flow{topic, group})
	if !ok {
		if m.outCount.Load() >= maxFlows {
			return nil
		}
		var loaded bool
		if v, loaded = m.out.LoadOrStore(flow{topic, group}, &traffic{}); !loaded {
			m.outCount.Add(1)
		}
	}
	return v.(*traffic)
}

func (m *Metrics) delivered(topic, group string, messages, bytes int) {
	m.Gets.Add(int64(messages))
	m.GetBytes.Add(int64(bytes))
	if t := m.flow(topic, group); t != nil {
		t.messages.Add(int64(messages))
		t.bytes.Add(int64(bytes))
	}
}

func (m *Metrics) outOfRange(topic, group string, above bool) {
	total, t := &m.BelowMin, m.flow(topic, group)
	if above {
		total = &m.AboveEnd
	}
	total.Add(1)
	switch {
	case t == nil:
	case above:
		t.aboveEnd.Add(1)
	default:
		t.belowMin.Add(1)
	}
}

// forget drops the counters of a deleted topic.
func (m *Metrics) forget(topic string) {
	m.in.Delete(topic)
	m.out.Range(func(k, _ any) bool {
		if k.(flow).topic == topic {
			if _, ok := m.out.LoadAndDelete(k); ok {
				m.outCount.Add(-1)
			}
		}
		return true
	})
}

var (
	topicLabels = []string{"topic", "message_type", "is_system"}
	groupLabels = []string{"topic", "consumer_group", "is_retry", "is_system"}
	outLabels   = []string{"topic", "consumer_group", "is_retry", "is_system", "side"}

	descMessagesIn    = prometheus.NewDesc("rocketmq_messages_in_total", "Messages stored.", topicLabels, nil)
	descThroughputIn  = prometheus.NewDesc("rocketmq_throughput_in_total", "Bytes of bodies stored.", topicLabels, nil)
	descMessagesOut   = prometheus.NewDesc("rocketmq_messages_out_total", "Messages delivered.", groupLabels, nil)
	descThroughputOut = prometheus.NewDesc("rocketmq_throughput_out_total", "Bytes delivered.", groupLabels, nil)
	descLag           = prometheus.NewDesc("rocketmq_consumer_lag_messages",
		"Messages behind the committed offset of a group.", groupLabels, nil)
	descBeyondNow = prometheus.NewDesc("millrace_consumer_offsets_out_of_range",
		"Queues whose committed offset of a group lies outside of the queue now.", outLabels, nil)
	descOutOfRange = prometheus.NewDesc("millrace_pull_out_of_range_total",
		"Pulls refused because their offset was outside of the queue.", outLabels, nil)
	descTopics     = prometheus.NewDesc("rocketmq_topic_number", "Topics.", nil, nil)
	descGroups     = prometheus.NewDesc("rocketmq_consumer_group_number", "Consumer groups that are configured.", nil, nil)
	descProducers  = prometheus.NewDesc("rocketmq_producer_connections", "Producers connected.", nil, nil)
	descConsumers  = prometheus.NewDesc("rocketmq_consumer_connections", "Consumers connected.", nil, nil)
	descPermission = prometheus.NewDesc("rocketmq_broker_permission", "Perm of the broker: 6 reads and writes.", nil, nil)
	descParked     = prometheus.NewDesc("rocketmq_processor_watermark", "Pulls that are parked.", []string{"processor"}, nil)
)

// Describe sends nothing: what is collected depends on topics and groups.
func (p *Processor) Describe(chan<- *prometheus.Desc) {}

// Collect makes a Processor a prometheus.Collector of what is known per topic and group.
func (p *Processor) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	p.Metrics.in.Range(func(k, v any) bool {
		topic, t := k.(string), v.(*traffic)
		system := strconv.FormatBool(message.IsSystemTopic(topic))
		counter(descMessagesIn, t.messages.Load(), topic, "unspecified", system)
		counter(descThroughputIn, t.bytes.Load(), topic, "unspecified", system)
		return true
	})
	p.Metrics.out.Range(func(k, v any) bool {
		labels, t := k.(flow).labels(), v.(*traffic)
		counter(descMessagesOut, t.messages.Load(), labels...)
		counter(descThroughputOut, t.bytes.Load(), labels...)
		if n := t.aboveEnd.Load(); n > 0 {
			counter(descOutOfRange, n, append(labels, "above_end")...)
		}
		if n := t.belowMin.Load(); n > 0 {
			counter(descOutOfRange, n, append(labels, "below_min")...)
		}
		return true
	})
	for _, k := range p.Offsets.Keys() {
		lag, above, below := p.lagOf(k)
		labels := flow{k.Topic, k.Group}.labels()
		gauge(descLag, float64(lag), labels...)
		if above > 0 {
			gauge(descBeyondNow, float64(above), append(labels, "above_end")...)
		}
		if below > 0 {
			gauge(descBeyondNow, float64(below), append(labels, "below_min")...)
		}
	}
	list, _ := p.Topics.All()
	gauge(descTopics, float64(len(list)))
	gauge(descGroups, float64(p.GroupConfigs.Len()))
	producers, consumers := p.Groups.Counts()
	gauge(descProducers, float64(producers))
	gauge(descConsumers, float64(consumers))
	gauge(descPermission, float64(protocol.PermRead|protocol.PermWrite))
	gauge(descParked, float64(p.Holds.Len()), "pull")
}

func (f flow) labels() []string {
	return []string{f.topic, f.group, strconv.FormatBool(message.IsRetryTopic(f.topic)), strconv.FormatBool(message.IsSystemTopic(f.topic))}
}

// lagOf sums what a group has not read of a topic, and counts the queues whose committed
// offset is above the end or below the minimum: those messages are gone or never were.
func (p *Processor) lagOf(k offsets.Key) (lag int64, above, below int) {
	for queue, offset := range p.Offsets.Queues(k) {
		lowest, end, ok := p.Store.QueueRange(k.Topic, queue)
		switch {
		case offset > end:
			above++
		case ok && offset < lowest:
			below++
			lag += end - lowest
		default:
			lag += end - offset
		}
	}
	return lag, above, below
}
