package parquet

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/config"
)

func TestAnIntervalSaysWhatItTakes(t *testing.T) {
	for text, want := range map[string]string{
		"off": "", "10s": "",
		"maybe": `f.yaml:1:21: current.interval: "maybe" is no duration; write one such as 10s, or off`,
		"7":     `f.yaml:1:21: current.interval: "7" is no duration; write one such as 10s, or off`,
	} {
		d, err := config.Parse("f.yaml", []byte("current: {interval: "+text+"}"), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		cfg := DefaultConfig()
		d.Decode(d.Root, "", &cfg)
		got := ""
		if err := d.Issues.Err(); err != nil {
			got = err.Error()
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
