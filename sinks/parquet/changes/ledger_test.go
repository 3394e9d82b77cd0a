package changes

import (
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
)

// TestAFactOfAnOlderVersionIsWhatItWas: it did not say whether a table was made in the log.
func TestAFactOfAnOlderVersionIsWhatItWas(t *testing.T) {
	for text, whole := range map[string]bool{
		`{"pipeline":"p","db":"shop","table":"orders"}`:                                 false,
		`{"pipeline":"p","db":"shop","table":"orders","schemaAt":4}`:                    true,
		`{"pipeline":"p","db":"shop","table":"orders","schemaAt":4,"open":[6]}`:         false,
		`{"pipeline":"p","db":"shop","table":"orders","schemaAt":4,"born":0}`:           false,
		`{"pipeline":"p","db":"shop","table":"orders","schemaAt":4,"born":0,"floor":3}`: true,
		`{"pipeline":"p","db":"shop","table":"orders","schemaAt":4,"born":4}`:           true,
		`{"pipeline":"p","db":"shop","table":"orders","schemaAt":4,"born":4,"due":5}`:   false,
	} {
		snap := &delta.Snapshot{Domains: map[string]string{domainTable: text}}
		c := pipeline.Claim{Pipeline: "p", Table: event.TableName{DB: "shop", Table: "orders"}, Generation: 1}
		f, err := readFacts(snap, &c)
		if err != nil {
			t.Fatal(err)
		}
		if f.Ledger.Whole() != whole {
			t.Errorf("%s is whole: %v", text, f.Ledger.Whole())
		}
	}
}
