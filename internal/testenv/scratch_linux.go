package testenv

import (
	"bufio"
	"fmt"
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

// freeMemory is what the kernel says can be had without swapping.
func freeMemory() uint64 {
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
