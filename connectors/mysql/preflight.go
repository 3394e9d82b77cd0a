package mysql

import (
	"context"

	"github.com/millrace/millrace/pipeline"
)

// Preflight implements pipeline.Source.
func (s *Source) Preflight(ctx context.Context) ([]pipeline.Problem, error) { return nil, nil }
