package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets 3 % apart: five bits behind the leading one of
// the nanoseconds. Adding takes a few nanoseconds, so that measuring does not change what
// is measured.
type histogram struct {
	counts [64 * histogramSteps]int64
	total  int64
}

const (
	histogramBits  = 5
	histogramSteps = 1 << histogramBits
)

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.total++
}

func bucket(ns uint64) int {
	if ns < 2*histogramSteps {
		return int(ns)
	}
	shift := bits.Len64(ns) - histogramBits - 1
	return shift*histogramSteps + int(ns>>shift)
}

// bucketEnd is the first duration behind a bucket.
func bucketEnd(i int) time.Duration {
	if i < 2*histogramSteps {
		return time.Duration(i + 1)
	}
	shift := i/histogramSteps - 1
	return time.Duration(uint64(i-shift*histogramSteps+1) << shift)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// at is a quantile in milliseconds, the upper end of its bucket; 0 when nothing was added.
func (h *histogram) at(q float64) float64 {
	rank, seen := int64(q*float64(h.total)), int64(0)
	for i, n := range h.counts {
		if seen += n; seen > rank {
			return float64(bucketEnd(i)) / float64(time.Millisecond)
		}
	}
	return 0
}
