package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/connectors"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
	"github.com/millrace/millrace/sinks"
)

func newVerify() *cobra.Command {
	c := &cobra.Command{
		Use: "verify FILE", Short: "Compare source and target row by row",
		Long: `Reads every row of each captured table from the source and from the target of each sink,
with readers that share nothing with the pipeline, and compares them. Rows that are on
their way count as differences, so let the sinks catch up first. Exit status 1 when
anything differs.`,
		Example: "  millrace pipeline verify configs/demo/orders.yaml --table shop.orders",
		Args:    exactArgs("FILE"),
	}
	only := c.Flags().StringSlice("table", nil, "compare these tables only (db.table)")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := spec.ReadFile(args[0], kinds(), lookupEnv)
		if err != nil {
			return err
		}
		var all []sinkResult
		for _, s := range p.Sinks {
			tables, err := verifySink(c.Context(), p, s, *only)
			if err != nil {
				return err
			}
			all = append(all, sinkResult{Sink: s.Name, Tables: tables})
		}
		if *asJSON {
			err = printJSON(c.OutOrStdout(), all)
		} else {
			printResults(c.OutOrStdout(), all)
		}
		if err != nil {
			return err
		}
		for _, s := range all {
			for _, t := range s.Tables {
				if !t.Equal() {
					return silentError{}
				}
			}
		}
		return nil
	}
	return c
}

type sinkResult struct {
	Sink   string         `json:"sink"`
	Tables []verify.Table `json:"tables"`
}

func verifySink(ctx context.Context, p *spec.Pipeline, s spec.Sink, only []string) (results []verify.Table, err error) {
	source, err := connectors.Types()[p.Source.Type].Readback(p)
	if err != nil {
		return nil, err
	}
	target, err := sinks.Readback(p, s)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	defer func() { err = errors.Join(err, source.Close(), target.Close()) }()
	tables, err := source.Tables(ctx)
	if err != nil {
		return nil, environmentError{err}
	}
	for _, name := range tables {
		if len(only) > 0 && !slices.Contains(only, name.String()) {
			continue
		}
		one, err := verify.Compare(ctx, source, target, name)
		if err != nil {
			return nil, err
		}
		results = append(results, one)
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("pipeline %s captures no table that exists", p.Name)
	}
	return results, nil
}

func printResults(w io.Writer, all []sinkResult) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintln(t, "SINK\tTABLE\tSOURCE ROWS\tTARGET ROWS\tSOURCE SUM\tTARGET SUM\tMISSING\tEXTRA\tDIFFERENT\tRESULT")
	for _, s := range all {
		for _, r := range s.Tables {
			result := "equal"
			if !r.Equal() {
				result = "DIFFERENT " + r.Problem
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%d\t%d\t%d\t%s\n", s.Sink, r.Name, r.SourceRows, r.TargetRows,
				r.SourceChecksum, r.TargetChecksum, r.Missing, r.Extra, r.Different, result)
			for _, example := range r.Examples {
				fmt.Fprintf(t, "\t  %s\n", example)
			}
		}
	}
}

// preflight checks a pipeline's source and targets and prints what it found; the error
// says that something fatal was among it.
func preflight(ctx context.Context, p *spec.Pipeline, log *slog.Logger, w io.Writer) error {
	source, err := connectors.Types()[p.Source.Type].New(p, connectors.Deps{Log: log})
	if err != nil {
		return err
	}
	problems, err := source.Preflight(ctx)
	if err != nil {
		return environmentError{fmt.Errorf("check the source of %s: %w", p.Name, err)}
	}
	for _, s := range p.Sinks {
		sink, err := sinks.New(s.Type, s.Config, sinks.Deps{FS: vfs.OS(), Log: log})
		if err != nil {
			return err
		}
		found, err := sink.Preflight(ctx)
		if err = errors.Join(err, sink.Close()); err != nil {
			return environmentError{fmt.Errorf("check the sink %s of %s: %w", s.Name, p.Name, err)}
		}
		problems = append(problems, found...)
	}
	return reportProblems(w, p.Name, problems)
}

func reportProblems(w io.Writer, name string, problems []pipeline.Problem) error {
	fatal := 0
	for _, p := range problems {
		level := "warning"
		if p.Fatal {
			level, fatal = "error", fatal+1
		}
		fmt.Fprintf(w, "%s: %s: %s is %s, wanted %s; %s\n", name, level, p.Thing, p.Found, p.Wanted, p.Remedy)
	}
	if fatal > 0 {
		return environmentError{fmt.Errorf("pipeline %s can't run: %d setting(s) to change, named above", name, fatal)}
	}
	return nil
}
