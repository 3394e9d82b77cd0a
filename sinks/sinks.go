package sinks

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks/clickhouse"
	clickhouseread "github.com/millrace/millrace/sinks/clickhouse/readback"
	"github.com/millrace/millrace/sinks/parquet"
	"github.com/millrace/millrace/sinks/parquet/readback"
)

// Deps is what sinks are made with.
type Deps struct {
	FS  vfs.FS
	Log *slog.Logger
	Reg prometheus.Registerer
	// Scratch is a local directory for files in the making of targets that are elsewhere; empty
	// is the system's own.
	Scratch string
}

// Type is one type of sink. A configuration is what its Kind's Default points to.
type Type struct {
	spec.Kind
	// New makes a sink from a decoded configuration. It starts nothing.
	New func(cfg any, d Deps) (pipeline.Sink, error)
	// Readback makes the reader that verification uses of the tables of a pipeline.
	Readback func(cfg any, pipelineName string) (pipeline.Reader, error)
}

// Types are the sinks that exist, by the name that a pipeline file uses.
func Types() map[string]Type {
	return map[string]Type{
		"clickhouse": typed(kind[clickhouse.Config]{
			defaults: clickhouse.DefaultConfig,
			check:    (*clickhouse.Config).Validate,
			most:     spec.Flush{Rows: clickhouse.MostRows, Bytes: clickhouse.MostBytes},
			target:   (*clickhouse.Config).Target,
			open: func(c *clickhouse.Config, d Deps) (pipeline.Sink, error) {
				return clickhouse.New(*c, d.Log, d.Reg)
			},
			readback: func(c *clickhouse.Config, name string) (pipeline.Reader, error) {
				o, err := c.Readback(name)
				if err != nil {
					return nil, err
				}
				return clickhouseread.New(o)
			},
		}),
		"parquet": typed(kind[parquet.Config]{
			defaults: parquet.DefaultConfig,
			check:    (*parquet.Config).Validate,
			open: func(c *parquet.Config, d Deps) (pipeline.Sink, error) {
				store, scratch, err := parquet.OpenStore(c, d.FS, d.Scratch, d.Log, d.Reg)
				if err != nil {
					return nil, err
				}
				return parquet.NewIn(*c, store, scratch, d.Log, d.Reg)
			},
			readback: func(c *parquet.Config, name string) (pipeline.Reader, error) {
				store, _, err := parquet.OpenStore(c, vfs.OS(), "", nil, nil)
				if err != nil {
					return nil, err
				}
				return readback.NewIn(store, c.Path, name), nil
			},
		}),
	}
}

// kind is a Type before its configuration's own type is put out of sight. check says what is
// wrong, joined where it is more than one thing; see spec.Findings.
type kind[C any] struct {
	defaults func() C
	check    func(*C) error
	most     spec.Flush
	target   func(c *C, table string) string
	open     func(*C, Deps) (pipeline.Sink, error)
	readback func(c *C, pipelineName string) (pipeline.Reader, error)
}

func typed[C any](k kind[C]) Type {
	own := spec.Kind{
		Default:   func() any { c := k.defaults(); return &c },
		Check:     func(cfg any) []spec.Finding { return spec.Findings(k.check(cfg.(*C))) },
		MostFlush: k.most,
	}
	if k.target != nil {
		own.Target = func(cfg any, table string) string { return k.target(cfg.(*C), table) }
	}
	return Type{
		Kind:     own,
		New:      func(cfg any, d Deps) (pipeline.Sink, error) { return k.open(cfg.(*C), d) },
		Readback: func(cfg any, name string) (pipeline.Reader, error) { return k.readback(cfg.(*C), name) },
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

// Readback makes the reader that verification uses for a sink of a pipeline.
func Readback(p *spec.Pipeline, s spec.Sink) (pipeline.Reader, error) {
	t, ok := Types()[s.Type]
	if !ok {
		return nil, fmt.Errorf("sink %s: there is no sink of type %q", s.Name, s.Type)
	}
	return t.Readback(s.Config, p.Name)
}
