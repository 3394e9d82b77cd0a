package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/connectors"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/pipeline/verify"
	"github.com/millrace/millrace/sinks"
)

func newVerify() *cobra.Command {
	c := &cobra.Command{
		Use: "verify FILE", Short: "Compare source and target row by row",
		Long: `Reads every row of each captured table from the source and from the target of each sink,
with readers that share nothing with the pipeline, and compares them. Writers may go on
meanwhile: what seems to differ is looked at again until both sides agree, or it is found
to differ while the target is as far as the source was, or --wait is over. A table whose
target is not as far by then is behind, one whose rows kept changing unsettled, and one
that could not be read unreadable; none of them ends the comparison of the others.

With --sample 1% or --sample 100000 a part of each table is compared: ranges of the source's
key that begin at random places, and keys of the target chosen at random. A table in which
nothing differs then agrees, which says nothing of its other rows. One with no more rows than
wanted is compared as a whole; one whose key gives no ranges is skipped, by name.

The daemon (--daemon) is asked which server the pipeline reads: when the source's address leads
to another one by now, that is the answer, and nothing is compared. Without a daemon the server
at the address is taken, and that is said.

A table that the target has and the source does not, or no longer, is named as an orphan:
on_drop_table: keep leaves such tables, and so does a pattern that no longer takes one in.
Exit status 1 when any table is neither equal nor agrees nor an orphan.`,
		Example: "  millrace pipeline verify configs/demo/orders.yaml --table shop.orders --wait 1m\n" +
			"  millrace pipeline verify configs/demo/orders.yaml --sample 1%",
		Args: exactArgs("FILE"),
	}
	var o verifyOptions
	c.Flags().StringArrayVar(&o.only, "table", nil, "compare this table only (db.table); repeat for more")
	c.Flags().DurationVar(&o.wait, "wait", 10*time.Second, "how long rows that seem to differ are looked at again")
	c.Flags().StringVar(&o.work, "work", "", "directory for what is put aside (default the system's)")
	c.Flags().BoolVar(&o.history, "history", false, "compare each target's changes, replayed, with its table as it is, besides")
	sample := c.Flags().String("sample", "", `compare a part of each table: a number of rows ("100000") or a part ("1%")`)
	seed := c.Flags().Uint64("seed", 0, "chooses the sample: the one that an earlier answer named, 0 for a new one")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	daemon := daemonFlag(c)
	quiet := c.Flags().Bool("quiet", false, "do not say how far it is")
	c.RunE = func(c *cobra.Command, args []string) error {
		p, err := spec.ReadFile(args[0], kinds(), lookupEnv)
		if err != nil {
			return err
		}
		if o.wait < 0 {
			return usageError{errors.New("--wait must not be below zero")}
		}
		if err := o.setSample(*sample, *seed); err != nil {
			return usageError{err}
		}
		o.progress = func(string) {}
		if !*quiet {
			o.progress = func(line string) { fmt.Fprintln(c.ErrOrStderr(), line) }
		}
		if o.server = askServer(c.Context(), *daemon, p.Name); o.server.why != "" {
			fmt.Fprintf(c.ErrOrStderr(), "which server the pipeline reads is not known, so that the one at its address is taken: %s\n", o.server.why)
		}
		var all []sinkResult
		for _, s := range p.Sinks {
			tables, err := verifySink(c.Context(), p, s, &o)
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
				if state := t.Table.State(); state != verify.Equal && state != verify.Agrees && state != verify.Orphan {
					return silentError{}
				}
			}
		}
		return nil
	}
	return c
}

// verifyOptions are the flags.
type verifyOptions struct {
	only     []string
	wait     time.Duration
	work     string
	history  bool
	sample   *verify.Sample
	server   boundServer
	progress func(string)
}

func (o *verifyOptions) setSample(text string, seed uint64) error {
	if text == "" {
		if seed != 0 {
			return errors.New("--seed chooses a sample: it needs --sample")
		}
		return nil
	}
	if o.history {
		return errors.New("--history compares whole tables: run it without --sample")
	}
	s, err := verify.ParseSample(text)
	if err != nil {
		return fmt.Errorf("--sample %w", err)
	}
	for s.Seed = seed; s.Seed == 0; {
		s.Seed = rand.Uint64()
	}
	o.sample = &s
	return nil
}

type sinkResult struct {
	Sink   string         `json:"sink"`
	Tables []verifyResult `json:"tables"`
}

// verifyResult says the outcome in a word besides.
type verifyResult struct {
	State string `json:"state"`
	// History says that the log of changes stands for the source.
	History bool `json:"history,omitempty"`
	verify.Table
}

func verifySink(ctx context.Context, p *spec.Pipeline, s spec.Sink, o *verifyOptions) (results []verifyResult, err error) {
	source, err := connectors.Types()[p.Source.Type].Readback(p)
	if err != nil {
		return nil, err
	}
	target, err := sinks.Readback(p, s)
	if err != nil {
		return nil, errors.Join(err, source.Close())
	}
	defer func() { err = errors.Join(err, source.Close(), target.Close()) }()
	o.server.bind(source)
	// Before the source: a table that is made meanwhile is none that the source lost.
	have, unlisted := target.Tables(ctx)
	tables, err := source.Tables(ctx)
	if err != nil {
		return nil, environmentError{o.server.explain(err)}
	}
	named := map[string]bool{}
	for _, name := range tables {
		if len(o.only) > 0 && !slices.Contains(o.only, name.String()) {
			continue
		}
		named[name.String()] = true
		one, err := verifyTable(ctx, source, target, name, o)
		if err != nil {
			return nil, err
		}
		results = append(results, verifyResult{State: one.State(), Table: one})
		if o.history {
			one, err := verifyHistory(ctx, source, target, name, o)
			if err != nil {
				return nil, err
			}
			results = append(results, verifyResult{State: one.State(), History: true, Table: one})
		}
	}
	for _, one := range orphansOf(have, unlisted, tables, o) {
		named[one.Name] = true
		results = append(results, verifyResult{State: one.State(), Table: one})
	}
	for _, name := range o.only {
		if !named[name] {
			return nil, fmt.Errorf("pipeline %s captures no table %s that exists", p.Name, name)
		}
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("pipeline %s captures no table that exists", p.Name)
	}
	return results, nil
}

const orphaned = "the target has the table, and the source does not, or the pipeline does not capture it: nothing of it was compared; " +
	"remove it from the target when nobody needs it"

// orphansOf are the tables that a target has and the source does not.
func orphansOf(have []event.TableName, unlisted error, source []event.TableName, o *verifyOptions) (out []verify.Table) {
	if unlisted != nil {
		return []verify.Table{{Name: "*", Unreadable: "which tables the target has can't be told: " + unlisted.Error()}}
	}
	for _, name := range have {
		if slices.Contains(source, name) || len(o.only) > 0 && !slices.Contains(o.only, name.String()) {
			continue
		}
		out = append(out, verify.Table{Name: name.String(), Orphaned: orphaned})
	}
	slices.SortFunc(out, func(a, b verify.Table) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// sayEvery is how often a long comparison says how far it is.
const sayEvery = 5 * time.Second

// verifyTable compares one table. What can't be read is an outcome, unless somebody has
// interrupted it.
func verifyTable(ctx context.Context, source, target pipeline.Reader, name event.TableName, o *verifyOptions) (verify.Table, error) {
	what := map[string]string{
		"source": "reading the source", "target": "reading the target", "compare": "comparing", "again": "looking again at rows that differ",
	}
	said := time.Now()
	dir, remove, err := o.room()
	if err != nil {
		return verify.Table{}, err
	}
	defer remove()
	options := verify.Options{Dir: dir, Sample: o.sample, Wait: max(o.wait, time.Nanosecond), Progress: func(at verify.Progress) {
		if text := what[at.What]; text != "" && time.Since(said) > sayEvery {
			said = time.Now()
			o.progress(fmt.Sprintf("%s: %s: %d rows", name, text, at.Rows))
		}
	}}
	one, err := verify.Check(ctx, source, target, name, options)
	if errors.Is(err, verify.ErrChanged) { // a statement altered it: once more
		one, err = verify.Check(ctx, source, target, name, options)
	}
	if err != nil && ctx.Err() != nil {
		return one, err
	}
	if err != nil {
		one = verify.Table{Name: name.String(), Unreadable: err.Error()}
	}
	return one, nil
}

// verifyHistory compares a target's log of changes with its table.
func verifyHistory(ctx context.Context, source, target pipeline.Reader, name event.TableName, o *verifyOptions) (verify.Table, error) {
	dir, remove, err := o.room()
	if err != nil {
		return verify.Table{}, err
	}
	defer remove()
	one, err := verify.History(ctx, source, target, name, dir)
	if err != nil && !errors.Is(err, pipeline.ErrNoTable) && ctx.Err() == nil { // what was replaced meanwhile is gone: once more
		one, err = verify.History(ctx, source, target, name, dir)
	}
	if err != nil && ctx.Err() != nil {
		return one, err
	}
	if err != nil {
		one = verify.Table{Name: name.String(), Unreadable: err.Error()}
	}
	return one, nil
}

// room is a directory for what is put aside.
func (o *verifyOptions) room() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp(o.work, "millrace-verify-"); err != nil {
		return "", nil, environmentError{fmt.Errorf("room for the comparison: %w", err)}
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

func printResults(w io.Writer, all []sinkResult) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintln(t, "SINK\tTABLE\tSOURCE ROWS\tTARGET ROWS\tSOURCE SUM\tTARGET SUM\tMISSING\tEXTRA\tDIFFERENT\tUNSETTLED\tRESULT")
	for _, s := range all {
		for _, r := range s.Tables {
			table := r.Name
			if r.History {
				table += " (history)"
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", s.Sink, table, r.SourceRows, r.TargetRows,
				r.SourceChecksum, r.TargetChecksum, r.Missing, r.Extra, r.Different+r.Duplicates, r.Unsettled, verdict(r))
			for _, example := range r.Examples {
				fmt.Fprintf(t, "\t  %s\n", example)
			}
		}
	}
}

// verdict is the outcome with what there is to say about it.
func verdict(r verifyResult) string {
	words := []string{strings.ToUpper(r.State)}
	if r.State == verify.Equal || r.State == verify.Agrees || r.State == verify.Orphan {
		words[0] = r.State
	}
	if r.Sample != nil {
		words = append(words, r.Sample.String())
	}
	if r.Aside > 0 {
		words = append(words, fmt.Sprintf("%d rows are put aside, because the target can't hold them: millrace pipeline letters", r.Aside))
	}
	if len(r.Unchecked) > 0 {
		words = append(words, "not compared, because older rows have them in another form: "+strings.Join(r.Unchecked, ", "))
	}
	for _, more := range []string{r.Problem, r.Behind, r.Unreadable, r.Skipped, r.Orphaned} {
		if more != "" {
			words = append(words, more)
		}
	}
	return strings.Join(words, ": ")
}
