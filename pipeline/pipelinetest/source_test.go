package pipelinetest_test

import (
	"maps"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

func TestScriptIsASource(t *testing.T) {
	pipelinetest.Source(t, func(testing.TB) pipelinetest.SourceUnderTest {
		s := pipelinetest.NewScript()
		table := s.Table("shop", "orders", 2, true)
		return pipelinetest.SourceUnderTest{
			New:   func() (pipeline.Source, error) { return pipelinetest.NewSource(s, pipelinetest.SourceConfig{}), nil },
			Table: table.Name,
			Commit: func(ids ...int) error {
				var changes []pipelinetest.Change
				for _, id := range ids {
					changes = append(changes, table.Put(id, "v"))
				}
				s.Commit(changes...)
				return nil
			},
			Purge: func() error { s.Purge(); return nil },
		}
	})
}

func TestEveryReaderOfAScriptMintsTheSameNumbers(t *testing.T) {
	a, err1 := pipelinetest.Minted(t.Context(), pipelinetest.Everything(3), 1)
	b, err2 := pipelinetest.Minted(t.Context(), pipelinetest.Everything(3), 1)
	if err1 != nil || err2 != nil || len(a) == 0 || !maps.Equal(a, b) {
		t.Errorf("%d and %d rows, %v, %v", len(a), len(b), err1, err2)
	}
}
