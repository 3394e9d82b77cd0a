package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// figure is a number as the report writes it.
var figure = regexp.MustCompile(`\d+(,\d{3})*(\.\d+)?`)

// foreign are the figures of a text that another one does not have.
func foreign(text, report string) (list []string) {
	known := map[string]bool{}
	for _, f := range figure.FindAllString(report, -1) {
		known[f] = true
	}
	for _, f := range figure.FindAllString(text, -1) {
		if !known[f] {
			list = append(list, f)
		}
	}
	return list
}

// TestReadmeSaysWhatTheReportSays compares the two as they lie in the tree.
func TestReadmeSaysWhatTheReportSays(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, readme))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(root, wholeReport))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := withSummary(string(text), ""); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), summaryBegin)
	measured, _, _ := strings.Cut(rest, summaryEnd)
	if list := foreign(measured, string(whole)); len(list) > 0 {
		t.Errorf("figures of %s that are not in %s: %v", readme, wholeReport, list)
	}
}

// TestSummaryHoldsOnlyFiguresOfTheReport makes both from one run.
func TestSummaryHoldsOnlyFiguresOfTheReport(t *testing.T) {
	back := backlogSample{Rows: 200_000, Seconds: 1.7, PerSecond: 117_647.1, CPUMicros: 10.876, PeakMiB: 154.3,
		BarePerSecond: 132_356, Equal: true}
	rate := rateSample{Wanted: 15_000, Held: true, Changes: freshnessSample{PerSecond: 14_998.7, P50: 0.333, P99: 0.671}}
	r := &results{
		Started: time.Date(2026, 12, 1, 18, 0, 0, 0, time.UTC), Machine: machine{Cores: 2, CPU: "a CPU", MemoryGiB: 24},
		Brokers: []brokerSample{
			{Work: "send-64", System: millraceName, PerSecond: 100_001, Messages: 1}, {Work: "send-64", System: rocketmqName, PerSecond: 48_123, Messages: 1},
			{Work: "rate-10k", System: millraceName, PerSecond: 10_001, P99: 5.314, Messages: 1}, {Work: "rate-10k", System: rocketmqName, PerSecond: 10_002, P99: 38.801, Messages: 1},
		},
		Pipeline: &pipelineResult{MariaDB: "10", Many: []backlogSample{back}, Mixed: []backlogSample{back}, Snapshot: back,
			Changes: freshnessSample{Rows: 5}, Rates: []rateSample{rate}},
		OLAP: &olapResult{Version: "26.7", Backlogs: []olapSample{{Name: mixedName, Rows: 200_000, PerSecond: 91_234.5, Equal: true}},
			Rates: []rateSample{rate}},
		Store:    &storeResult{Loads: []storeSample{{Name: manyName, Local: back, Store: back}}},
		Memory:   &memoryResult{IdleRSSMiB: 22.61, Big: []transaction{{Rows: 1_000_000, PeakMiB: 196.4}}},
		Failures: []string{"idle: nobody answers"},
	}
	text, whole := summary(r), report(r, 2, 3*time.Second)
	if list := foreign(text, whole); len(list) > 0 {
		t.Errorf("figures of the summary that are not in the report: %v\n%s\n%s", list, text, whole)
	}
	for _, want := range []string{"117,647 rows/s (10.88 µs of CPU a row)", "64 in flight, async flush 2.08 ×", "5.31 against 38.80 ms", "14,999 rows/s", "91,234 rows/s", "22.6 MiB", "100 %", "could not be measured: idle: nobody answers"} {
		if !strings.Contains(text, want) {
			t.Errorf("the summary lacks %q:\n%s", want, text)
		}
	}
	for _, want := range []string{"**Could not be measured** in this run", "* idle: nobody answers", "0.89 are carried (there 0.70)", "into a lake on S3"} {
		if !strings.Contains(whole, want) {
			t.Errorf("the report lacks %q:\n%s", want, whole)
		}
	}
}

func TestSummaryTakesThePlaceOfTheOneBefore(t *testing.T) {
	text := "a\n" + summaryBegin + "old\n" + summaryEnd + "z\n"
	for _, want := range []string{"new\n", "", "other\n"} {
		var err error
		if text, err = withSummary(text, want); err != nil || text != "a\n"+summaryBegin+want+summaryEnd+"z\n" {
			t.Errorf("%q, %v", text, err)
		}
	}
	if _, err := withSummary("a README without marks", "new"); err == nil {
		t.Error("a text without marks is changed")
	}
}
