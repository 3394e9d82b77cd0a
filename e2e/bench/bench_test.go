package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.of, got, c.want)
		}
	}
}

func TestSteady(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		want    bool
	}{
		{nil, false}, {[]float64{100, 100}, false}, {[]float64{100, 100, 100}, true}, {[]float64{40, 80, 100}, false},
		{[]float64{40, 95, 100, 97}, true}, {[]float64{100, 100, 100, 80}, false}, {[]float64{0, 0, 0}, true},
	} {
		if got := steady(c.figures, 3, 0.08); got != c.want {
			t.Errorf("%v: steady is %v", c.figures, got)
		}
	}
}

func TestCountPutsCommas(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567.6: "1,234,568"} {
		if got := count(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

func TestReportSaysWhatWasNotReached(t *testing.T) {
	r := &results{
		Brokers: []brokerSample{
			{Work: "send-64", System: millraceName, PerSecond: 100_000, Messages: 1, CPUMicros: 7},
			{Work: "send-64", System: againName, PerSecond: 97_000, Messages: 1, WarmSeconds: 12, Unsteady: true},
			{Work: "send-64", System: rocketmqName, PerSecond: 50_000, Messages: 1, CPUMicros: 29, Failed: 3, Failure: "busy\nmore", Round: 1},
			{Work: "pull", System: millraceName, PerSecond: 800_000, Messages: 1},
			{Work: "pull", System: rocketmqName, PerSecond: 400_000, Messages: 1, OtherCores: 1.5},
		},
		Pipeline: &pipelineResult{Many: []backlogSample{{PerSecond: 400_000, Equal: true}, {PerSecond: 100_000, Equal: true}, {PerSecond: 360_000}}, Single: []backlogSample{{PerSecond: 14_999, Equal: true}},
			Changes: freshnessSample{Rows: 100}, Rates: []rateSample{{Wanted: 10_000, Held: true, Changes: freshnessSample{PerSecond: 9_998}},
				{Wanted: 15_000, Writer: true}}},
		Memory: &memoryResult{IdleRSSMiB: 20, Big: []transaction{{Rows: 1_000_000, PeakMiB: 200}, {Rows: 5_000_000, PeakMiB: 230}}},
	}
	text := report(r, 3, 6*time.Second)
	for _, want := range []string{
		"| send, 64 in flight, async flush | 2.5 × RocketMQ 5.5.0 | 2.00 × (100,000/s) | **not reached** |",
		"| read a backlog, 8 queues | 1.5 × RocketMQ 5.5.0 | 2.00 × (800,000/s) | reached |",
		"| binlog backlog of multi-row inserts to Parquet | 345,000 rows/s | 360,000 rows/s | reached |",
		"| binlog backlog of single-row transactions to Parquet | 170,000 rows/s | 14,999 rows/s | **not reached** |",
		"| statements of 1,000 rows | 0 | – | **360,000** (100,000–400,000) |", "| **NO** |",
		"9,998 rows/s is the highest that was tried and held", "the writer and the database were too slow",
		"| peak memory of a transaction of 5,000,000 rows | within 10 % of that of 1,000,000 | 230 MiB (+15 %) | **not reached** |",
		"**This run was disturbed**",
		"| Millrace again (A/A) | 97,000 (97,000–97,000) | 0.97 of the first |",
		"12, not steady",
		"RocketMQ 5.5.0, send-64: 3 in round 1: busy\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
}

func TestDeltaTableCountsRowsOfLiveFiles(t *testing.T) {
	lake := t.TempDir()
	table := newDeltaTable(lake, "shop.orders", "current")
	log := filepath.Join(lake, "bench", "shop.orders", "current", "_delta_log")
	if err := os.MkdirAll(log, 0o755); err != nil {
		t.Fatal(err)
	}
	for version, step := range []struct {
		entry string
		rows  int64
		added string
	}{
		{`{"protocol":{}}` + "\n" + `{"metaData":{}}`, 0, ""},
		{`{"add":{"path":"a","stats":"{\"numRecords\":5}"}}` + "\n" + `{"add":{"path":"b","stats":"{\"numRecords\":2}"}}`, 7, "a b"},
		{`{"remove":{"path":"a"}}` + "\n" + `{"add":{"path":"c","stats":"{\"numRecords\":4}"}}`, 6, "c"},
		{`{"add":{"path":"c","stats":"{\"numRecords\":4}"}}`, 6, "c"},
	} {
		name := filepath.Join(log, strings.Repeat("0", 19)+string(rune('0'+version))+".json")
		if err := os.WriteFile(name, []byte(step.entry), 0o644); err != nil {
			t.Fatal(err)
		}
		added, err := table.advance()
		if err != nil || table.rows != step.rows || strings.Join(added, " ") != step.added {
			t.Errorf("version %d: %d rows, added %v, %v; want %d and %s", version, table.rows, added, err, step.rows, step.added)
		}
	}
	if err := os.WriteFile(filepath.Join(log, "00000000000000000004.json"), []byte(`{"add":`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := table.advance(); err == nil {
		t.Error("a torn entry is read")
	}
}
