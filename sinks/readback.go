package sinks

import (
	"fmt"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks/parquet"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

// Readback makes the reader that verification uses for a sink of a pipeline.
func Readback(p *spec.Pipeline, s spec.Sink) (pipeline.Reader, error) {
	switch cfg := s.Config.(type) {
	case *parquet.Config:
		return readback.New(cfg.Path, p.Name), nil
	default:
		return nil, fmt.Errorf("sink %s: tables of type %s can't be read back", s.Name, s.Type)
	}
}
