package testenv

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestAToolThatIsThereIsFound(t *testing.T) {
	want, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tool(t.Context(), "git", "git"); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAToolThatIsMissingNamesTheCommand(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no apt-get either
	_, err := ensure(t.Context(), func() (string, error) { return "", errors.New("not found") }, "a loom", []string{"loom-17"})
	want := "apt-get install -y --no-install-recommends loom-17"
	if os.Getuid() == 0 {
		want = "neither is apt-get: install loom-17"
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
}
