package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestHistogramQuantilesAreWithinThreePercent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, scale := range []time.Duration{100, time.Microsecond, time.Millisecond, time.Minute} {
		var h histogram
		d := time.Duration(r.Int64N(int64(scale)) + int64(scale))
		h.add(d)
		got, want := h.at(0.5), float64(d)/float64(time.Millisecond)
		if got < want || got > want*1.04 && got-want > 2e-6 {
			t.Errorf("%s is found as %f ms", d, got)
		}
	}
}

func TestHistogramBucketsMeetWithoutGaps(t *testing.T) {
	for i := range 1000 {
		end := bucketEnd(i)
		if got := bucket(uint64(end - 1)); got != i {
			t.Fatalf("%d ns is in bucket %d, want %d", end-1, got, i)
		}
		if got := bucket(uint64(end)); got != i+1 {
			t.Fatalf("%d ns is in bucket %d, want %d", end, got, i+1)
		}
	}
}

func TestHistogramRanks(t *testing.T) {
	var h, more histogram
	for i := range 99 {
		h.add(time.Duration(i) * time.Microsecond)
	}
	more.add(time.Second)
	h.merge(&more)
	if p50 := h.at(0.5); p50 < 0.049 || p50 > 0.053 {
		t.Errorf("p50 is %f ms", p50)
	}
	if p999 := h.at(0.999); p999 < 1000 || p999 > 1040 {
		t.Errorf("p99.9 is %f ms", p999)
	}
	if empty := new(histogram).at(0.5); empty != 0 {
		t.Errorf("nothing has a median of %f", empty)
	}
}

func TestFiguresAreSummedOverLabels(t *testing.T) {
	for _, c := range []struct {
		text, name string
		want       float64
		fails      bool
	}{
		{"# HELP x y\n# TYPE x counter\nx 1.5\n", "x", 1.5, false},
		{`rows{table="a b",sink="}"} 2` + "\n" + `rows{table="c"} 3e2 1700000000` + "\n", "rows", 302, false},
		{"x 1\n", "y", 0, false},
		{"x\n", "", 0, true},
		{"x{a=\"b\"}\n", "", 0, true},
		{"x one\n", "", 0, true},
	} {
		f, err := parseFigures(strings.NewReader(c.text))
		if (err != nil) != c.fails || f[c.name] != c.want {
			t.Errorf("%q: %v, %v; want %s = %v, failure %v", c.text, f, err, c.name, c.want, c.fails)
		}
	}
}

func TestBenchRefusesWhatItCannotMeasure(t *testing.T) {
	for _, args := range [][]string{
		{"bench", "send", "--in-flight", "0"},
		{"bench", "send", "--batch", "2", "--transactions"},
		{"bench", "send", "--rate", "5", "--batch", "2"},
		{"bench", "pipeline"},
		{"broker", "--pprof", "0.0.0.0:0", "--data", t.TempDir(), "--listen", "127.0.0.1:0"},
	} {
		if out, status := execute(t, args...); status != exitConfiguration {
			t.Errorf("%v: status %d, said %s", args, status, out)
		}
	}
}

func TestMemoryLimitFollowsWhatIsAlive(t *testing.T) {
	for live, want := range map[uint64]int64{0: memoryFloor, 80 << 20: memoryFloor, 400 << 20: 632 << 20} {
		if got := memoryLimit(live); got != want {
			t.Errorf("with %d bytes alive the limit is %d, want %d", live, got, want)
		}
	}
}
