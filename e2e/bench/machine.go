package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machine is what the figures were measured on.
type machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	MemoryGiB  float64 `json:"memory_gib"`
	Kernel     string  `json:"kernel"`
	Filesystem string  `json:"filesystem"`
	Go         string  `json:"go"`
	Java       string  `json:"java,omitempty"`
	Millrace   string  `json:"millrace"`
	Load       string  `json:"load_average"`
}

func describeMachine(ctx context.Context, binary, dir string) (m machine, err error) {
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return m, fmt.Errorf("%s version: %w; `make build` makes it", binary, err)
	}
	m = machine{CPU: cpuName(), Cores: runtime.NumCPU(), Go: runtime.Version(), Millrace: strings.TrimSpace(string(out)), Load: loadAverage()}
	if m.Filesystem, err = filesystem(dir); err != nil {
		return m, err
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryGiB = float64(info.Totalram) * float64(info.Unit) / (1 << 30)
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(release))
	}
	if out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput(); err == nil {
		first, _, _ := strings.Cut(string(out), "\n")
		m.Java = first
	}
	return m, nil
}

func cpuName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func filesystem(dir string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("look at the filesystem of %s: %w", dir, err)
	}
	switch int64(s.Type) { //nolint:unconvert // it has another type on other architectures
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return "tmpfs", nil
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", nil
	case unix.XFS_SUPER_MAGIC:
		return "xfs", nil
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", nil
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs", nil
	default:
		return fmt.Sprintf("filesystem %#x", s.Type), nil
	}
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// others measures what the rest of the machine did while something was measured: the busy
// time of all cores less that of our own processes.
type others struct {
	began time.Time
	busy  float64
	own   func() float64
	ours  float64
}

// startOthers begins; own says how many CPU seconds our processes took so far.
func startOthers(own func() float64) *others {
	return &others{began: time.Now(), busy: busySeconds(), own: own, ours: own()}
}

// cores is how many cores the rest of the machine kept busy since the start.
func (o *others) cores() float64 {
	used := busySeconds() - o.busy - (o.own() - o.ours)
	return max(0, used/time.Since(o.began).Seconds())
}

// clockTick is the unit of /proc/stat and /proc/pid/stat on every Linux that Go runs on.
const clockTick = 100

// busySeconds is the CPU time of all cores since boot, without idling and waiting.
func busySeconds() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	sum := 0.0
	for i, f := range strings.Fields(first) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // the name, idle, iowait, guests (they are in user)
			continue
		}
		n, _ := strconv.ParseFloat(f, 64)
		sum += n
	}
	return sum / clockTick
}

// processSeconds is the CPU time of a process; 0 when there is none.
func processSeconds(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / clockTick
}

// ownSeconds is the CPU time of this process and of its children that have ended.
func ownSeconds() (sum float64) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
		}
	}
	return sum
}

// memoryOf reads a process's memory in MiB: resident, resident and of no file, and the
// most that was ever resident.
func memoryOf(pid int) (rss, anonymous, peak float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "VmRSS:":
			rss = kib / 1024
		case "RssAnon:":
			anonymous = kib / 1024
		case "VmHWM:":
			peak = kib / 1024
		}
	}
	return rss, anonymous, peak, nil
}
