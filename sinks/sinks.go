package sinks

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks/parquet"
)

// Deps is what sinks are made with.
type Deps struct {
	FS  vfs.FS
	Log *slog.Logger
	Reg prometheus.Registerer
}

// Type is one type of sink.
type Type struct {
	spec.Kind
	// New makes a sink from a decoded configuration. It starts nothing.
	New func(cfg any, d Deps) (pipeline.Sink, error)
}

// Types are the sinks that exist, by the name that a pipeline file uses.
func Types() map[string]Type {
	return map[string]Type{
		"parquet": {
			Kind: spec.Kind{
				Default: func() any { c := parquet.DefaultConfig(); return &c },
				Check:   func(cfg any) []spec.Finding { return findings(cfg.(*parquet.Config).Validate()) },
			},
			New: func(cfg any, d Deps) (pipeline.Sink, error) {
				return parquet.New(*cfg.(*parquet.Config), d.FS, d.Log, d.Reg)
			},
		},
	}
}

// Kinds is the part of Types that reading pipeline files needs.
func Kinds() map[string]spec.Kind {
	kinds := map[string]spec.Kind{}
	for name, t := range Types() {
		kinds[name] = t.Kind
	}
	return kinds
}

// New makes a sink of the named type.
func New(typ string, cfg any, d Deps) (pipeline.Sink, error) {
	t, ok := Types()[typ]
	if !ok {
		return nil, fmt.Errorf("there is no sink of type %q", typ)
	}
	return t.New(cfg, d)
}

func findings(err error) []spec.Finding {
	if err == nil {
		return nil
	}
	f := spec.Finding{Text: err.Error()}
	if ke, ok := err.(*parquet.ConfigError); ok {
		f.Key, f.Text = ke.Key, ke.Text
	}
	return []spec.Finding{f}
}
