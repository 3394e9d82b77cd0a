package groups

import (
	"errors"
	"log/slog"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
)

func configs(t *testing.T, file string, limit int) *Configs {
	t.Helper()
	c, err := NewConfigs(vfs.OS(), file, limit, func() time.Time { return time.Unix(1, 0) }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigsSurviveARestart(t *testing.T) {
	file := path.Join(t.TempDir(), "subscriptionGroup.json")
	c := configs(t, file, 2)
	if _, err := c.Ensure("a"); err != nil {
		t.Fatal(err)
	}
	closed := DefaultConfig("b")
	closed.ConsumeEnable = false
	if err := c.Put(closed); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ensure("c"); !errors.Is(err, ErrTooMany) {
		t.Fatalf("one too many: %v", err)
	}
	if _, err := c.Ensure("../c"); err == nil {
		t.Fatal("a path is a group")
	}
	again := configs(t, file, 2)
	b, _ := again.Get("b")
	if !slices.Equal(again.Names(), []string{"a", "b"}) || b.ConsumeEnable || again.form.DataVersion != c.form.DataVersion {
		t.Fatalf("read back %v, %+v", again.Names(), b)
	}
}

func TestConfigsOfOthers(t *testing.T) {
	file := path.Join(t.TempDir(), "subscriptionGroup.json")
	data := []byte(`{"subscriptionGroupTable":{"g":{"groupName":"g","retryMaxTimes":3,"groupRetryPolicy":{"type":"CUSTOMIZED"}}},"dataVersion":{"counter":7}}`)
	if err := vfs.WriteFileAtomic(vfs.OS(), file, data); err != nil {
		t.Fatal(err)
	}
	g, ok := configs(t, file, 10).Get("g")
	if !ok || g.RetryMaxTimes != 3 || !g.ConsumeEnable || string(g.GroupRetryPolicy) != `{"type":"CUSTOMIZED"}` {
		t.Fatalf("%+v", g)
	}
	for _, damage := range []string{``, `{`, `{"subscriptionGroupTable":{"g":null}}`} {
		if err := vfs.WriteFileAtomic(vfs.OS(), file, []byte(damage)); err != nil {
			t.Fatal(err)
		}
		if _, err := NewConfigs(vfs.OS(), file, 1, time.Now, slog.New(slog.DiscardHandler)); err == nil {
			t.Fatalf("%q is a table", damage)
		}
	}
}

func FuzzConfigs(f *testing.F) {
	f.Add([]byte(`{"subscriptionGroupTable":{"g":{"retryMaxTimes":3}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Configs
		if c.decode(data) == nil {
			if _, err := c.Encode(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
