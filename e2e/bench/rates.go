package main

import (
	"context"
	"fmt"
	"time"
)

// rates are tried one after the other until changes/ is no longer fresh.
var rates = []int{15_000, 20_000, 25_000, 30_000, 40_000, 50_000}

// fresh is what the 99th percentile of a row's age in changes/ may be.
const fresh = time.Second

// rateSample is how fresh changes/ was at one rate.
type rateSample struct {
	Wanted  int             `json:"wanted_rows_per_second"`
	Changes freshnessSample `json:"changes"`
	Current freshnessSample `json:"current"`
	// Held: the writer reached the rate, and the 99th percentile was within the bound.
	Held bool `json:"held"`
	// Writer says that it was the writer and the database that could not reach the rate.
	Writer bool `json:"writer_too_slow,omitempty"`
}

// judge says whether the rate was reached and held.
func (s *rateSample) judge() {
	s.Writer = s.Changes.PerSecond < 0.95*float64(s.Wanted)
	s.Held = !s.Writer && s.Changes.P99 <= fresh.Seconds()
}

func (s *rateSample) verdict() string {
	switch {
	case s.Writer:
		return "the writer and the database were too slow"
	case !s.Held:
		return "not held"
	}
	return "held"
}

func rateTable(rate int) string { return fmt.Sprintf("shop.rate%d", rate) }

// highestRate looks for the highest rate at which changes/ is fresh. Every rate that was
// tried is told.
func (b *bench) highestRate(ctx context.Context, s *source, d *daemon) (all []rateSample, err error) {
	length := 10 * time.Second
	if b.quick {
		length = 4 * time.Second
	}
	for _, rate := range rates {
		one := rateSample{Wanted: rate}
		if one.Changes, one.Current, err = b.freshness(ctx, s, d, rateTable(rate), rate, length); err != nil {
			return all, err
		}
		one.judge()
		all = append(all, one)
		if !one.Held {
			break
		}
	}
	return all, nil
}
