package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/connectors"
	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks"
)

func newValidate() *cobra.Command {
	c := &cobra.Command{
		Use: "validate FILE|DIRECTORY …", Short: "Report every mistake in pipeline files",
		Long: `Reads pipeline files and reports every mistake with its place and a suggestion.
Nothing is connected to, unless --connect asks for it: then the source and the targets
are checked as well, each finding with the setting to change.`,
		Example: "  millrace pipeline validate --connect configs/pipelines/orders.yaml",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name a pipeline file or a directory of them")}
			}
			return nil
		},
	}
	connect := c.Flags().Bool("connect", false, "also check the source's settings and the targets")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		log, err := logger(c)
		if err != nil {
			return err
		}
		check := func(*spec.Pipeline) ([]finding, error) { return nil, nil }
		if *connect {
			check = func(p *spec.Pipeline) ([]finding, error) { return preflight(c.Context(), p, log) }
		}
		var all []validated
		var errs []error
		for _, path := range args {
			found, err := validate(path, check)
			all, errs = append(all, found...), append(errs, err)
		}
		err = worst(errs)
		if *asJSON {
			if err := printJSON(c.OutOrStdout(), all); err != nil {
				return err
			}
			return said(err)
		}
		for i := range all {
			all[i].print(c.OutOrStdout())
		}
		return err
	}
	return c
}

// validated is what was found of one pipeline file, or of a path that holds none.
type validated struct {
	File     string         `json:"file"`
	Right    bool           `json:"right"`
	Pipeline string         `json:"pipeline,omitempty"`
	Source   string         `json:"source,omitempty"`
	Sinks    []string       `json:"sinks,omitempty"`
	Mistakes []config.Issue `json:"mistakes,omitempty"`
	Findings []finding      `json:"findings,omitempty"`
	Error    string         `json:"error,omitempty"`
}

// finding is what a source or a target lacks.
type finding struct {
	Fatal  bool   `json:"fatal"`
	Thing  string `json:"thing"`
	Found  string `json:"found"`
	Wanted string `json:"wanted"`
	Remedy string `json:"remedy"`
}

func (v *validated) print(out io.Writer) {
	for _, f := range v.Findings {
		level := "warning"
		if f.Fatal {
			level = "error"
		}
		fmt.Fprintf(out, "%s: %s: %s is %s, wanted %s; %s\n", v.Pipeline, level, f.Thing, f.Found, f.Wanted, f.Remedy)
	}
	if v.Right {
		fmt.Fprintf(out, "%s: pipeline %s is right: %s source, %d sink(s)\n", v.File, v.Pipeline, v.Source, len(v.Sinks))
	}
}

// validate reads a file, or all files of a directory. A file with mistakes keeps nobody from
// the others.
func validate(path string, check func(*spec.Pipeline) ([]finding, error)) (all []validated, err error) {
	found, err := readPipelines(path)
	var issues config.Issues
	byFile := map[string]int{}
	switch {
	case errors.As(err, &issues):
		for _, i := range issues {
			at, known := byFile[i.File]
			if !known {
				at, byFile[i.File] = len(all), len(all)
				all = append(all, validated{File: i.File})
			}
			all[at].Mistakes = append(all[at].Mistakes, i)
		}
	case err != nil:
		return []validated{{File: path, Error: err.Error()}}, err
	}
	errs := []error{err}
	for _, p := range found {
		one := validated{File: p.File, Pipeline: p.Name, Source: p.Source.Type}
		for _, s := range p.Sinks {
			one.Sinks = append(one.Sinks, s.Name)
		}
		var err error
		if one.Findings, err = check(p); err != nil {
			one.Error, errs = err.Error(), append(errs, err)
		}
		one.Right = err == nil
		all = append(all, one)
	}
	return all, worst(errs)
}

// worst puts errors together: mistakes of files first, which decide the exit status.
func worst(errs []error) error {
	var all config.Issues
	var others []error
	for _, err := range errs {
		var issues config.Issues
		if errors.As(err, &issues) {
			all = append(all, issues...)
		} else if err != nil {
			others = append(others, err)
		}
	}
	if len(all) > 0 {
		others = append([]error{all}, others...)
	}
	if len(others) == 1 {
		return others[0]
	}
	return errors.Join(others...)
}

// readPipelines reads a file, or all files of a directory. What is right is returned beside
// the mistakes of the others.
func readPipelines(path string) ([]*spec.Pipeline, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, environmentError{err}
	}
	if !info.IsDir() {
		p, err := spec.ReadFile(path, kinds(), os.LookupEnv)
		if err != nil {
			return nil, err
		}
		return []*spec.Pipeline{p}, nil
	}
	found, errs := spec.ReadDir(path, kinds(), os.LookupEnv)
	if len(found) == 0 && len(errs) == 0 {
		return nil, usageError{fmt.Errorf("%s holds no pipeline file (*.yaml, *.yml)", path)}
	}
	return found, worst(errs)
}

// sharedTargets are the targets that several of the tables have which a pipeline captures now.
func sharedTargets(ctx context.Context, p *spec.Pipeline) (problems []pipeline.Problem, err error) {
	types := sinks.Types()
	if !slices.ContainsFunc(p.Sinks, func(s spec.Sink) bool { return types[s.Type].Target != nil }) {
		return nil, nil
	}
	reader, err := connectors.Types()[p.Source.Type].Readback(p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	found, err := reader.Tables(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(found))
	for i, t := range found {
		names[i] = t.String()
	}
	for _, s := range p.Sinks {
		for _, c := range types[s.Type].Collisions(s.Config, names) {
			problems = append(problems, pipeline.Problem{Fatal: true, Thing: "sink " + s.Name, Found: c.String(),
				Wanted: "a target of its own for each table", Remedy: spec.Separate})
		}
	}
	return problems, nil
}

// preflight asks a pipeline's source and targets whether it can run.
func preflight(ctx context.Context, p *spec.Pipeline, log *slog.Logger) ([]finding, error) {
	source, err := connectors.Types()[p.Source.Type].New(p, connectors.Deps{Log: log})
	if err != nil {
		return nil, err
	}
	problems, err := source.Preflight(ctx)
	if err != nil {
		return nil, environmentError{fmt.Errorf("check the source of %s: %w", p.Name, err)}
	}
	for _, s := range p.Sinks {
		sink, err := sinks.New(s.Type, s.Config, sinks.Deps{FS: vfs.OS(), Log: log})
		if err != nil {
			return findings(problems), err
		}
		found, err := sink.Preflight(ctx)
		if err = errors.Join(err, sink.Close()); err != nil {
			return findings(problems), environmentError{fmt.Errorf("check the sink %s of %s: %w", s.Name, p.Name, err)}
		}
		problems = append(problems, found...)
	}
	if !slices.ContainsFunc(problems, func(p pipeline.Problem) bool { return p.Fatal }) {
		more, err := sharedTargets(ctx, p)
		if err != nil {
			return findings(problems), environmentError{fmt.Errorf("list the tables of %s: %w", p.Name, err)}
		}
		problems = append(problems, more...)
	}
	fatal := 0
	for _, p := range problems {
		if p.Fatal {
			fatal++
		}
	}
	if fatal > 0 {
		return findings(problems), environmentError{fmt.Errorf("pipeline %s can't run: %d setting(s) to change, named above", p.Name, fatal)}
	}
	return findings(problems), nil
}

func findings(problems []pipeline.Problem) []finding {
	var out []finding
	for _, p := range problems {
		out = append(out, finding{p.Fatal, p.Thing, p.Found, p.Wanted, p.Remedy})
	}
	return out
}
