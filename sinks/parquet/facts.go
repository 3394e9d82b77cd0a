package parquet

import (
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/ledger"
)

// domainGeneration is the fact that says which claim holds, in both Delta tables of a table.
const domainGeneration = "millrace.generation"

// facts are what the log of changes/ says beside its files: the ledger that every sink
// keeps, and what this one needs besides. They change with the files, in one commit.
type facts struct {
	ledger  *ledger.Table
	columns columns
	// controls is how many rows of changes/ are deletions below a number, which are no rows of
	// the table.
	controls uint64
}

// generationFact is the claim that holds; lower ones are closed.
type generationFact struct {
	Generation uint64 `json:"generation"`
}

// claimed is the fact that a claim's generation holds.
func (o *owner) claimed() delta.Action {
	return fact(domainGeneration, generationFact{o.claim.Generation})
}

func generationOf(s *delta.Snapshot) (uint64, error) {
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

func fact(name string, v any) delta.Action {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a fact that JSON cannot hold: " + err.Error())
	}
	return delta.Action{Domain: &delta.Domain{Domain: name, Configuration: string(b)}}
}
