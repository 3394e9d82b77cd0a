package runner

import (
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/life"
)

// TestASnapshotIsAsFarAsNoCrashTakesBack has the tables' lives ahead of the checkpoint.
func TestASnapshotIsAsFarAsNoCrashTakesBack(t *testing.T) {
	name := event.TableName{DB: "shop", Table: "orders"}
	under := &event.Attempt{Table: name, Begin: 7, Rows: 60, Estimate: 100}
	for what, c := range map[string]struct {
		live     *event.Attempt
		recorded event.Attempt
		want     float64
	}{
		"chunks on their way do not count":    {under, event.Attempt{Begin: 7, Rows: 20, Estimate: 100}, 20},
		"nor does a BEGIN":                    {under, event.Attempt{}, 0},
		"nor what an earlier attempt had":     {under, event.Attempt{Begin: 3, Rows: 90, Estimate: 100}, 0},
		"nor does an END":                     {nil, event.Attempt{Begin: 7, Rows: 90, Estimate: 100}, 90},
		"without a snapshot it is as it was":  {nil, event.Attempt{}, 100},
		"what is decided is what there is of": {under, event.Attempt{Begin: 7, Rows: 60, Estimate: 100}, 60},
	} {
		lives := life.New(nil)
		lives.Open(map[event.TableName]life.Recorded{name: {Attempt: c.live}})
		shown := tableStatus(name, lives.Of(name), pipeline.SourceTable{}).Snapshot
		if got := decided(lives.Of(name), c.recorded, shown); got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}
