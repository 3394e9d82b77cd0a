package faults

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/pipeline"
)

// A lake that can't be written is named, everything else goes on, and when it is back the
// target catches up by itself.
func TestLakeThatIsAwayIsNamedAndCaughtUpWith(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s := newStage(ctx, t)
	s.start()
	s.settled(ctx)
	work := startLoad(ctx, s.db, seedOf(t), false)
	away := s.lake + ".away"
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(s.lake, away)
	if err := os.WriteFile(s.lake, nil, 0o644); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	named, end := context.WithTimeout(ctx, 2*time.Minute)
	defer end()
	inprocess.Until(named, t, "name the lake", 100*time.Millisecond, func() (bool, string) {
		now, err := s.status(ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, table := range now.Tables {
			for _, one := range table.Sinks {
				if one.State != pipeline.StateRunning && one.Reason+one.LastErr != "" {
					t.Logf("%s: %s, %s %s", table.Name, one.State, one.Reason, one.LastErr)
					return now.State == pipeline.StateRunning && now.Source.Connected, describe(now)
				}
			}
		}
		return false, describe(now)
	})
	if err := os.Remove(s.lake); err != nil {
		t.Fatal(err)
	}
	move(away, s.lake)
	<-time.After(2 * time.Second)
	work.end(t)
	s.settled(ctx)
	s.equal(ctx)
	s.terminate()
}
