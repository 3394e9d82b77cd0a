package conformance

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/sinks/parquet"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

func TestParquetIsASink(t *testing.T) {
	pipelinetest.Sink(t, func(t testing.TB) pipelinetest.SinkUnderTest {
		dir := t.TempDir()
		cfg := parquet.DefaultConfig()
		cfg.Path, cfg.Current.Interval = filepath.ToSlash(dir), parquet.Interval(time.Millisecond)
		return pipelinetest.SinkUnderTest{
			Open: func() (pipeline.Sink, error) { return parquet.New(cfg, vfs.OS(), nil, nil) },
			Read: func() (pipeline.Reader, error) { return readback.New(dir, "p"), nil },
		}
	})
}
