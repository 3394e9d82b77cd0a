package store

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

func TestMessagesComeBackAfterARestart(t *testing.T) {
	for _, flush := range []FlushDiskType{FlushSync, FlushAsync} {
		for name, fsys := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.OS()} {
			t.Run(string(flush)+"/"+name, func(t *testing.T) {
				cfg := testConfig(t.TempDir())
				cfg.FlushDiskType = flush
				var want [3][]string
				for round := range 3 {
					s := start(t, fsys, cfg)
					for i := range 40 {
						q := i % 3
						body := fmt.Sprintf("round %d message %d", round, i)
						res := s.mustPut(testRecord("orders", int32(q), body, message.PropertyKeys, body[:7]))
						if got, due := res.QueueOffset, int64(len(want[q])); got != due {
							t.Fatalf("queue offset is %d, want %d", got, due)
						}
						want[q] = append(want[q], body)
					}
					s.settle()
					for q := range want {
						if got := s.bodies("orders", int32(q)); !reflect.DeepEqual(got, want[q]) {
							t.Fatalf("queue %d holds %q, want %q", q, got, want[q])
						}
					}
					s.mustStop()
				}
				s := start(t, fsys, cfg)
				for q := range want {
					if got := s.bodies("orders", int32(q)); !reflect.DeepEqual(got, want[q]) {
						t.Fatalf("after the restart queue %d holds %q, want %q", q, got, want[q])
					}
				}
				res, err := s.QueryByKey("orders", "round 1"[:7], 100, 0, 1<<62)
				if err != nil || len(res.Messages) != 0 {
					t.Errorf("a key with a space in it found %d messages, %v", len(res.Messages), err)
				}
				if res, err = s.QueryByKey("orders", "1", 100, 0, 1<<62); err != nil || len(res.Messages) != 40 {
					t.Errorf("key 1 found %d messages, %v; want 40", len(res.Messages), err)
				}
			})
		}
	}
}
