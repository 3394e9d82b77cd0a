package pipelinetest_test

import (
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/pipelinetest"
)

func TestTargetIsASink(t *testing.T) {
	pipelinetest.Sink(t, func(t testing.TB) pipelinetest.SinkUnderTest {
		target := pipelinetest.NewTarget()
		t.Cleanup(func() {
			if err := target.Err(); err != nil {
				t.Error(err)
			}
		})
		return pipelinetest.SinkUnderTest{
			Open: func() (pipeline.Sink, error) { return target.Sink(), nil },
			Read: func() (pipeline.Reader, error) { return target.Reader(), nil },
		}
	})
}
