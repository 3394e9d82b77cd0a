package mysql

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Source is a pipeline.Source over one server.
type Source struct {
	cfg Config
	log *slog.Logger
}

var _ pipeline.Source = (*Source)(nil)

// New checks the configuration; it connects to nothing. reg may be nil.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Source{cfg: cfg, log: log}, nil
}

var errNotBuilt = errors.New("not built")

// Preflight implements pipeline.Source.
func (s *Source) Preflight(ctx context.Context) ([]pipeline.Problem, error) { return nil, errNotBuilt }

// Open implements pipeline.Source.
func (s *Source) Open(ctx context.Context, r pipeline.Resume) (pipeline.Opened, error) {
	return pipeline.Opened{}, errNotBuilt
}

// Next implements pipeline.Source.
func (s *Source) Next(ctx context.Context) ([]event.Item, error) { return nil, errNotBuilt }

// RequestSnapshot implements pipeline.Source.
func (s *Source) RequestSnapshot(tables []event.TableName, cause string) {}

// SetPaused implements pipeline.Source.
func (s *Source) SetPaused(table event.TableName, paused bool) {}

// Resolved implements pipeline.Source.
func (s *Source) Resolved(p event.Position) {}

// Status implements pipeline.Source.
func (s *Source) Status() pipeline.SourceStatus { return pipeline.SourceStatus{} }

// Close implements pipeline.Source.
func (s *Source) Close() error { return nil }
