//go:build seeded

package parquet

import (
	"testing"

	"github.com/millrace/millrace/internal/seeded"
)

// The sink's suites prove themselves: with a known bug switched on they must find it. They
// end by failing, so each runs in a process of its own; what they say without a bug, the
// ordinary run of this package's tests tells.
func TestSinkSuitesFindSeededBugs(t *testing.T) {
	for bug, suite := range map[seeded.Bug]seeded.Suite{
		seeded.MarkBeforeFlush:   {Test: "TestEveryCrashRecovers", Says: "changes/ lacks|were acknowledged|current/ shows"},
		seeded.FloorPerQueue:     {Test: "TestHistoriesShowWhatTheTwinShows", Says: "current/ shows"},
		seeded.GenerationIgnored: {Test: "TestALateCommitNamesNoRemovedFile", Says: "the commit of generation 1 was let in"},
		seeded.RewriteAboveMark:  {Test: "TestABatchIsCommittedOnTheMarksItWasBuiltOn", Says: "a batch built on an older mark was committed"},
		seeded.DefaultNotFilled:  {Test: "TestHistoriesShowWhatTheTwinShows", Says: "current/ shows"},
		seeded.EndInOneQueue:     {Test: "TestEachQueueIsWaitedFor", Says: "END in one queue: current/ shows"},
		seeded.ProgressByNumber:  {Test: "TestEachQueueIsWaitedFor", Says: "the other one: current/ shows"},
	} {
		t.Run(string(bug), func(t *testing.T) {
			found, err := suite.Find(t.Context(), bug)
			if err != nil {
				t.Fatal(err)
			}
			t.Log("found:", found)
		})
	}
}
