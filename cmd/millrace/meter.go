package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
)

// usage is what a process took during a measurement. GC figures are known only of our
// own process.
type usage struct {
	CPUSeconds float64 `json:"cpu_seconds"`
	RSSMiB     float64 `json:"rss_mib"`
	// AnonMiB is the part of RSSMiB that is no page of a file; PeakMiB the most that
	// RSSMiB ever was.
	AnonMiB  float64 `json:"rss_anonymous_mib"`
	PeakMiB  float64 `json:"rss_peak_mib"`
	DiskMiB  float64 `json:"disk_written_mib"`
	NetMiB   float64 `json:"read_and_written_mib"` // bytes through read and write calls: sockets and files
	GCCycles uint64  `json:"gc_cycles,omitempty"`
	GCCPU    float64 `json:"gc_cpu_seconds,omitempty"`
	AllocMiB float64 `json:"allocated_mib,omitempty"`
}

func (u usage) print(w io.Writer, name string) {
	fmt.Fprintf(w, "%s: CPU %.2f s, memory %.0f MiB (%.0f of no file, peak %.0f), to disk %.0f MiB, through read and write calls %.0f MiB",
		name, u.CPUSeconds, u.RSSMiB, u.AnonMiB, u.PeakMiB, u.DiskMiB, u.NetMiB)
	if u.AllocMiB > 0 {
		fmt.Fprintf(w, ", GC %d cycles %.2f s, allocated %.0f MiB", u.GCCycles, u.GCCPU, u.AllocMiB)
	}
	fmt.Fprintln(w)
}

// meter reads /proc; where that is missing its figures are zero.
type meter struct {
	pid    string
	own    bool
	before usage
}

// startMeter begins to measure a process; 0 is this one.
func startMeter(pid int) *meter {
	m := &meter{pid: strconv.Itoa(pid), own: pid == 0}
	if m.own {
		m.pid = "self"
	}
	m.before = m.read()
	return m
}

// since is what was taken since the start; memory is what is held now.
func (m *meter) since() usage {
	now := m.read()
	now.CPUSeconds -= m.before.CPUSeconds
	now.DiskMiB -= m.before.DiskMiB
	now.NetMiB -= m.before.NetMiB
	now.GCCycles -= m.before.GCCycles
	now.GCCPU -= m.before.GCCPU
	now.AllocMiB -= m.before.AllocMiB
	return now
}

// clockTick is the unit of /proc/pid/stat on every Linux that Go runs on.
const clockTick = 100

func (m *meter) read() (u usage) {
	if stat, err := os.ReadFile("/proc/" + m.pid + "/stat"); err == nil {
		if _, rest, ok := strings.Cut(string(stat), ") "); ok {
			if f := strings.Fields(rest); len(f) > 21 {
				user, _ := strconv.ParseFloat(f[11], 64)
				system, _ := strconv.ParseFloat(f[12], 64)
				pages, _ := strconv.ParseFloat(f[21], 64)
				u.CPUSeconds = (user + system) / clockTick
				u.RSSMiB = pages * float64(os.Getpagesize()) / (1 << 20)
			}
		}
	}
	if text, err := os.ReadFile("/proc/" + m.pid + "/io"); err == nil {
		for _, line := range strings.Split(string(text), "\n") {
			name, value, _ := strings.Cut(line, ": ")
			n, _ := strconv.ParseFloat(value, 64)
			switch name {
			case "write_bytes":
				u.DiskMiB = n / (1 << 20)
			case "rchar", "wchar":
				u.NetMiB += n / (1 << 20)
			}
		}
	}
	if text, err := os.ReadFile("/proc/" + m.pid + "/status"); err == nil {
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 2 {
				continue
			}
			kib, _ := strconv.ParseFloat(f[1], 64)
			switch f[0] {
			case "RssAnon:":
				u.AnonMiB = kib / 1024
			case "VmHWM:":
				u.PeakMiB = kib / 1024
			}
		}
	}
	if m.own {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		u.GCCycles, u.AllocMiB = uint64(stats.NumGC), float64(stats.TotalAlloc)/(1<<20)
		sample := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
		if metrics.Read(sample); sample[0].Value.Kind() == metrics.KindFloat64 {
			u.GCCPU = sample[0].Value.Float64()
		}
	}
	return u
}
