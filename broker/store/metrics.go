package store

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are counted with plain atomics and read when Prometheus asks. Names are
// RocketMQ's where it has them.
type metrics struct {
	appended, appendedBytes, refused, deletedFiles, damage atomic.Int64

	reg        prometheus.Registerer
	collectors []prometheus.Collector
}

// newMetrics registers with reg, which may be nil. Names that are taken (a second store
// in the process) are left to who has them.
func newMetrics(s *Store, reg prometheus.Registerer) *metrics {
	m := &metrics{reg: reg}
	if reg == nil {
		return m
	}
	local := prometheus.Labels{"storage_type": "local", "storage_medium": "disk"}
	gauge := func(name, help string, fn func() float64) {
		m.add(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: local}, fn))
	}
	counter := func(name, help string, v *atomic.Int64) {
		m.add(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) }))
	}
	gauge("rocketmq_storage_size", "Bytes of the commit log's files.", func() float64 {
		first, end := s.clog.Files().Range()
		return float64(end - first)
	})
	gauge("rocketmq_storage_flush_behind_bytes", "Bytes of the commit log that are not synced.", func() float64 {
		return float64(max(0, s.clog.Max()-s.clog.Flushed()))
	})
	gauge("rocketmq_storage_dispatch_behind_bytes", "Bytes of the commit log that consume queues and index do not have yet.", func() float64 {
		return float64(max(0, s.clog.Max()-s.dispatch.pos.Load()))
	})
	gauge("rocketmq_storage_message_reserve_time", "Age of the oldest message, in milliseconds.", func() float64 {
		t := s.EarliestTime()
		if t < 0 {
			return 0
		}
		return float64(max(0, time.Now().UnixMilli()-t))
	})
	gauge("millrace_store_disk_used_ratio", "Used part of the store's disk, 0 to 1.", func() float64 {
		u, err := s.DiskUsage()
		if err != nil {
			return -1
		}
		return u.Ratio()
	})
	gauge("millrace_store_writable", "1 while appends are taken.", func() float64 {
		if s.Err() != nil {
			return 0
		}
		return 1
	})
	counter("millrace_store_appends_total", "Appends that were acknowledged; a batch is one.", &m.appended)
	counter("millrace_store_append_bytes_total", "Bytes of acknowledged appends.", &m.appendedBytes)
	counter("millrace_store_append_failures_total", "Appends that were refused or whose outcome is unknown.", &m.refused)
	counter("millrace_store_deleted_files_total", "Log files that retention deleted.", &m.deletedFiles)
	counter("millrace_store_damage_total", "Reads that met damaged bytes.", &m.damage)
	return m
}

func (m *metrics) add(c prometheus.Collector) {
	if m.reg.Register(c) == nil {
		m.collectors = append(m.collectors, c)
	}
}

func (m *metrics) unregister() {
	for _, c := range m.collectors {
		m.reg.Unregister(c)
	}
}
