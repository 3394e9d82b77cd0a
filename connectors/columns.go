package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/projection"
	"github.com/millrace/millrace/pipeline/spec"
)

// projected is a type whose sources and readers keep back what the pipeline file says.
func projected(t Type) Type {
	source, readback, config := t.New, t.Readback, t.Config
	t.New = func(p *spec.Pipeline, d Deps) (pipeline.Source, error) {
		s, err := source(p, d)
		if err != nil {
			return nil, err
		}
		hidden, err := countHidden(d.Reg)
		if err != nil {
			return nil, err
		}
		out := around(s, p, readback, d.Log)
		out.Hidden = hidden
		return out, nil
	}
	t.Readback = func(p *spec.Pipeline) (pipeline.Reader, error) { return reader(p, readback) }
	t.Config = func(p *spec.Pipeline) json.RawMessage { return inForce(p, config(p)) }
	return t
}

// countHidden counts the changes of rows that are kept back, by table.
func countHidden(reg prometheus.Registerer) (func(event.TableName) func(), error) {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_source_rows_kept_back_total",
		Help: "Changes of rows and rows of snapshots that the pipeline file's where keeps back; what is read again " +
			"counts again."}, []string{"table"})
	if reg != nil {
		if err := reg.Register(all); err != nil {
			return nil, err
		}
	}
	return func(t event.TableName) func() { return all.WithLabelValues(t.String()).Inc }, nil
}

// rulesOf are what a pipeline file keeps back.
func rulesOf(p *spec.Pipeline) projection.Rules {
	r := projection.Rules{Tables: map[string]projection.Rule{}, Salt: p.HashSalt}
	for name, t := range p.Tables {
		if t.Columns == nil && t.Where == nil {
			continue
		}
		one := projection.Rule{Where: t.Where, Silent: t.Columns == nil}
		if c := t.Columns; c != nil {
			one.Exclude, one.Mask, one.Hash = c.Exclude, c.Mask, c.Hash
		}
		r.Tables[name] = one
	}
	return r
}

// around puts what a pipeline file keeps back around a source. It stands there also where
// that is nothing: what the checkpoint holds may be of a time when it was something.
func around(s pipeline.Source, p *spec.Pipeline, readback func(*spec.Pipeline) (pipeline.Reader, error),
	log *slog.Logger) *projection.Source {
	return projection.New(s, rulesOf(p), func(ctx context.Context, t event.TableName) ([]pipeline.ReadColumn, error) {
		return look(ctx, p, t, readback)
	}, log)
}

// errSeen ends a reading whose columns are all that was wanted.
var errSeen = errors.New("the columns were seen")

// look asks the source which columns a table has now.
func look(ctx context.Context, p *spec.Pipeline, t event.TableName,
	readback func(*spec.Pipeline) (pipeline.Reader, error)) (found []pipeline.ReadColumn, err error) {
	r, err := readback(p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	err = r.Read(ctx, t, func(columns []pipeline.ReadColumn) error {
		found = append(found, columns...)
		return errSeen
	}, func([]pipeline.Cell) error { return errSeen })
	if errors.Is(err, errSeen) {
		err = nil
	}
	return found, err
}

func reader(p *spec.Pipeline, readback func(*spec.Pipeline) (pipeline.Reader, error)) (pipeline.Reader, error) {
	r, err := readback(p)
	if err != nil || !rulesOf(p).Any() {
		return r, err
	}
	whole, ok := r.(projection.SourceReader)
	if !ok {
		return nil, errors.Join(fmt.Errorf("tables of pipeline %s: columns or rows are kept back, which verification of a source of "+
			"type %s can't", p.Name, p.Source.Type), r.Close())
	}
	return projection.NewReader(whole, rulesOf(p)), nil
}

// inForce adds to what the checkpoint keeps of a file what it keeps back.
func inForce(p *spec.Pipeline, config json.RawMessage) json.RawMessage {
	rules := rulesOf(p).InForce()
	if rules == nil {
		return config
	}
	whole := map[string]any{}
	if err := json.Unmarshal(config, &whole); err != nil {
		panic("BUG: a configuration in force that is no object: " + err.Error())
	}
	whole["columns"] = rules
	b, err := json.Marshal(whole)
	if err != nil {
		panic("BUG: a configuration that JSON cannot hold: " + err.Error())
	}
	return b
}
