package lake

import (
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/ledger"
	"github.com/millrace/millrace/sinks/parquet/file"
)

// domainGeneration is the fact that says which claim holds, in both Delta tables of a table.
const domainGeneration = "millrace.generation"

// Facts are what the log of changes/ says beside its files: the ledger that every sink
// keeps, and what this one needs besides. They change with the files, in one commit.
type Facts struct {
	Ledger  *ledger.Table
	Columns file.Columns
	// Controls is how many rows of changes/ are deletions below a number, which are no rows of
	// the table.
	Controls uint64
}

// generationFact is the claim that holds; lower ones are closed.
type generationFact struct {
	Generation uint64 `json:"generation"`
}

// Claimed is the fact that a claim's generation holds.
func (o *Owner) Claimed() delta.Action {
	return Fact(domainGeneration, generationFact{o.Claim.Generation})
}

// GenerationOf is the generation that a Delta table knows, 0 for none.
func GenerationOf(s *delta.Snapshot) (uint64, error) {
	text, ok := s.Domains[domainGeneration]
	if !ok {
		return 0, nil
	}
	var g generationFact
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		return 0, fmt.Errorf("fact %s: %w", domainGeneration, err)
	}
	return g.Generation, nil
}

// Fact is the action that says v under a name.
func Fact(name string, v any) delta.Action {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a fact that JSON cannot hold: " + err.Error())
	}
	return delta.Action{Domain: &delta.Domain{Domain: name, Configuration: string(b)}}
}
