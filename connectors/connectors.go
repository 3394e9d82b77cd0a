package connectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/connectors/mysql"
	"github.com/millrace/millrace/connectors/mysql/readback"
	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/spec"
)

// Deps is what sources are made with. Reg may be nil.
type Deps struct {
	Log *slog.Logger
	Reg prometheus.Registerer
	// Scratch is a directory for what a source need not remember; "" is the system's for
	// temporary files. Sources of several pipelines may share it.
	Scratch string
}

// Type is one type of source.
type Type struct {
	spec.Kind
	// New makes the source of a pipeline. It starts nothing.
	New func(p *spec.Pipeline, d Deps) (pipeline.Source, error)
	// Readback makes the reader that verification uses.
	Readback func(p *spec.Pipeline) (pipeline.Reader, error)
	// Snapshot is when tables are read as a whole.
	Snapshot func(p *spec.Pipeline) pipeline.SnapshotMode
	// Config is what of the file decides which rows the source produces, as JSON.
	Config func(p *spec.Pipeline) json.RawMessage
}

// Types are the sources that exist, by the name that a pipeline file uses.
func Types() map[string]Type {
	return map[string]Type{
		"mysql": projected(Type{
			Kind: spec.Kind{
				Default: func() any { c := mysql.DefaultConfig(); return &c },
				Check:   func(cfg any) []spec.Finding { return findings(cfg.(*mysql.Config).Validate()) },
				Named:   mysqlNamed,
			},
			New: func(p *spec.Pipeline, d Deps) (pipeline.Source, error) {
				cfg := mysqlConfig(p)
				cfg.Held.Dir = d.Scratch
				return mysql.New(cfg, d.Log, d.Reg)
			},
			Readback: mysqlReadback,
			Snapshot: func(p *spec.Pipeline) pipeline.SnapshotMode { return p.Source.Config.(*mysql.Config).Snapshot.Mode },
			Config:   mysqlInForce,
		}),
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

// mysqlConfig joins what the file says of the source with what it says of tables.
func mysqlConfig(p *spec.Pipeline) mysql.Config {
	cfg := *p.Source.Config.(*mysql.Config)
	cfg.Queues = p.Queues
	cfg.TableQueues, cfg.Keys = map[string]int{}, map[string][]string{}
	for name, t := range p.Tables {
		if t.Queues > 0 {
			cfg.TableQueues[name] = t.Queues
		}
		if len(t.Key) > 0 {
			cfg.Keys[name] = t.Key
		}
	}
	return cfg
}

// mysqlNamed are the tables that are captured and named without a pattern.
func mysqlNamed(cfg any) (names []string) {
	patterns := cfg.(*mysql.Config).Tables
	filter, err := schema.ParseFilter(patterns)
	if err != nil {
		return nil // it is refused where it stands
	}
	for _, text := range patterns {
		name, err := event.ParseTableName(text)
		if err == nil && !strings.Contains(text, "*") && filter.Match(name) {
			names = append(names, text)
		}
	}
	return names
}

// mysqlInForce is what the checkpoint keeps: the patterns. Queues and keys are kept with
// each table's route; nothing else in the file changes a row.
func mysqlInForce(p *spec.Pipeline) json.RawMessage {
	b, err := json.Marshal(struct {
		Tables []string `json:"tables"`
	}{p.Source.Config.(*mysql.Config).Tables})
	if err != nil {
		panic("BUG: patterns that JSON cannot hold: " + err.Error())
	}
	return b
}

func mysqlReadback(p *spec.Pipeline) (pipeline.Reader, error) {
	cfg := p.Source.Config.(*mysql.Config)
	filter, err := schema.ParseFilter(cfg.Tables)
	if err != nil {
		return nil, fmt.Errorf("tables of pipeline %s: %w", p.Name, err)
	}
	return readback.New(readback.Config{
		Account:  cfg.Account(),
		Captured: func(n event.TableName) bool { return filter.Match(n) },
	})
}

// findings parts a joined error into one finding a mistake; each begins with its key.
func findings(err error) []spec.Finding {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []spec.Finding{finding(err)}
	}
	var all []spec.Finding
	for _, one := range joined.Unwrap() {
		all = append(all, finding(one))
	}
	return all
}

func finding(err error) spec.Finding {
	key, text, ok := strings.Cut(err.Error(), ": ")
	if !ok || strings.Contains(key, " ") {
		return spec.Finding{Text: err.Error()}
	}
	return spec.Finding{Key: key, Text: text}
}
