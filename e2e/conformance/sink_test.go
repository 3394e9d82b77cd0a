package conformance

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks"
	"github.com/millrace/millrace/sinks/parquet"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

func TestParquetInABucketIsASink(t *testing.T) {
	server := testenv.NewS3(t)
	n := 0
	pipelinetest.Sink(t, func(t testing.TB) pipelinetest.SinkUnderTest {
		n++
		bucket := fmt.Sprintf("lake-%d", n)
		if err := server.MakeBucket(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
		cfg := parquet.DefaultConfig()
		cfg.Path, cfg.Current.Interval = "s3://"+bucket+"/prefix", parquet.Interval(time.Millisecond)
		cfg.S3.Endpoint, cfg.S3.Credentials, cfg.S3.AccessKey, cfg.S3.SecretKey = server.Endpoint, "static", server.Access, config.Secret(server.Secret)
		s := spec.Sink{Name: "lake", Component: spec.Component{Type: "parquet", Config: &cfg}}
		return pipelinetest.SinkUnderTest{
			Open: func() (pipeline.Sink, error) {
				return sinks.New("parquet", &cfg, sinks.Deps{FS: vfs.OS(), Scratch: t.TempDir()})
			},
			Read: func() (pipeline.Reader, error) { return sinks.Readback(&spec.Pipeline{Name: "p"}, s) },
		}
	})
}

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
