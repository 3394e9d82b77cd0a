//go:build seeded

package clickhouse

import (
	"testing"

	"github.com/millrace/millrace/internal/seeded"
)

// The sink's suites prove themselves: with a known bug switched on they must find it. Each
// runs in a process of its own; what they say without a bug, the ordinary run tells.
func TestClickHouseSuitesFindSeededBugs(t *testing.T) {
	for bug, suite := range map[seeded.Bug]seeded.Suite{
		seeded.DrainSkipped:      {Test: "TestAReplacedOwnerWritesNothing", Says: "a new owner has not waited"},
		seeded.GenerationIgnored: {Test: "TestAReplacedOwnerWritesNothing", Says: "the replaced owner's flush ended well"},
		seeded.LandedSentAgain:   {Test: "TestHalvesThatHaveLandedAreNotSentAgain", Says: "a reader sees"},
		seeded.MarkBelieved:      {Test: "TestThePowerGoes", Says: "a reader sees|is not there|is there [0-9]+ times|the queue would wait"},
		seeded.RestartUnnoticed:  {Test: "TestThePowerGoes", Says: "a reader sees|is not there|is there [0-9]+ times|the queue would wait"},
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
