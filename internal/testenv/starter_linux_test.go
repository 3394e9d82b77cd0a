package testenv

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// starter is the variable by which this test's binary is the process that starts another one.
const starter = "MILLRACE_TEST_STARTER"

// What a process has started ends with it, though it is killed and stops nothing itself.
func TestAProcessEndsWithItsStarter(t *testing.T) {
	if dir := os.Getenv(starter); dir != "" {
		p, err := StartProcess(dir, "sleep", nil, "sleep", "600")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("pid " + strconv.Itoa(p.Pid()) + "\n")
		<-p.Done() // it was killed, and this process was not
		t.Fatal(p.Err())
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAProcessEndsWithItsStarter$")
	cmd.Env = append(os.Environ(), starter+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pid, _ = strconv.Atoi(text)
		}
	}
	if pid == 0 || syscall.Kill(pid, 0) != nil {
		t.Fatalf("process %d was not started", pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for deadline := time.Now().Add(2 * time.Minute); !gone(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d outlives its starter", pid)
		}
	}
}

// gone reports whether a process has ended; nobody may have asked for its status yet.
func gone(pid int) bool {
	state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(state), ") ")
	return strings.HasPrefix(rest, "Z")
}
