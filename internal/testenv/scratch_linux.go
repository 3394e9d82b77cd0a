package testenv

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	sharedMemory = "/dev/shm"
	tmpfsMagic   = 0x01021994
	// memoryRoom is how much has to be free, both in the file system and of the machine's memory:
	// what dozens of servers write, which is some ten to a hundred megabytes each.
	memoryRoom  = 6 << 30
	scratchName = "millrace-test-"
)

// memoryDir is a directory in memory with room for servers; "" where there is none.
func memoryDir() string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(sharedMemory, &fs); err != nil || fs.Type != tmpfsMagic || fs.Bavail*uint64(fs.Bsize) < memoryRoom ||
		freeMemory() < memoryRoom {
		return ""
	}
	removeLeft()
	return sharedMemory
}

// scratchPattern names the process, so that what it leaves when it is killed can be told.
func scratchPattern() string { return fmt.Sprintf("%s%d-*", scratchName, os.Getpid()) }

// removeLeft removes the directories of processes that have ended without doing so.
func removeLeft() {
	left, _ := filepath.Glob(filepath.Join(sharedMemory, scratchName+"*"))
	for _, dir := range left {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), scratchName), "-")
		if pid, err := strconv.Atoi(owner); err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.RemoveAll(dir) // another one may be at it
		}
	}
}

// freeMemory is what can be had without swapping: the machine's, or of a container what its
// limit leaves, which what is in the file system counts against.
func freeMemory() uint64 { return min(machineMemory(), groupMemory("/sys/fs/cgroup")) }

// groupMemory is what a control group (version 2) may still take; without a limit it is all there is.
func groupMemory(dir string) uint64 {
	var of [2]uint64
	for i, name := range []string{"memory.max", "memory.current"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return math.MaxUint64
		}
		if of[i], err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return math.MaxUint64 // "max"
		}
	}
	return of[0] - min(of[0], of[1])
}

// machineMemory is what the kernel says of the machine.
func machineMemory() uint64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib uint64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
