package version

import (
	"os"
	"strings"
	"testing"
)

func TestTheChangelogHasTheVersion(t *testing.T) {
	log, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), "\n## "+Number+"\n") {
		t.Errorf("CHANGELOG.md has no section %s", Number)
	}
}

func TestTheStampNamesTheBuild(t *testing.T) {
	info := Get()
	if info.Version != Number || info.Go == "" || info.Platform == "" {
		t.Errorf("%+v", info)
	}
	if text := info.String(); !strings.Contains(text, Number) || !strings.Contains(text, info.Protocol) {
		t.Errorf("printed as %q", text)
	}
}
