package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
)

func newLetters() *cobra.Command {
	c := &cobra.Command{
		Use: "letters", Short: "List, replay or drop the changes that a target can't hold",
		Long: `Dead letters are changes of rows that a column of the target can't hold, and that on_error:
dead_letter has put aside so that their tables flow on. The target shows such a row as it was
before the change, or not at all.

replay gives them to the target again, which helps once its settings or its columns are others;
what it still can't hold stays. drop gives them up. A newer change of a row that the target can
hold ends the letter of that row by itself, and so do its deletion and a new snapshot.`,
		Example: "  millrace pipeline letters list orders --table shop.orders --json\n  millrace pipeline letters replay orders\n" +
			"  millrace pipeline letters drop orders --seq 281474976711234 --yes",
		Args: noArgs,
	}
	c.AddCommand(newLettersList(), newLettersVerb(httpapi.Replay, "Give letters to the target again"),
		newLettersVerb(httpapi.Drop, "Give letters up: the target lacks them for good"))
	return c
}

// newLettersList lists letters.
func newLettersList() *cobra.Command {
	c := &cobra.Command{
		Use: "list PIPELINE", Short: "List the changes that are put aside", Args: exactArgs("PIPELINE"),
		Example: "  millrace pipeline letters list orders --table shop.orders --json",
	}
	which := letterFlags(c)
	daemon := daemonFlag(c)
	c.Flags().IntVar(&which.Limit, "limit", httpapi.DefaultLetters, "how many of each target table are listed")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
		defer cancel()
		all, err := httpapi.NewClient(*daemon).Letters(ctx, args[0], *which)
		if err != nil {
			return asEnvironment(err)
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), all)
		}
		return printLetters(c.OutOrStdout(), all)
	}
	return c
}

// letterFlags are those that choose letters.
func letterFlags(c *cobra.Command) *httpapi.LetterChoice {
	var which httpapi.LetterChoice
	c.Flags().StringVar(&which.Sink, "sink", "", "of this sink only")
	c.Flags().StringVar(&which.Table, "table", "", "of this table only (db.table)")
	return &which
}

func newLettersVerb(verb, short string) *cobra.Command {
	c := &cobra.Command{Use: verb + " PIPELINE", Short: short, Args: exactArgs("PIPELINE"),
		Example: "  millrace pipeline letters " + verb + " orders --table shop.orders"}
	which := letterFlags(c)
	seqs := c.Flags().UintSlice("seq", nil, "the letter with this number only; repeat for more")
	daemon := daemonFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	yes := new(bool)
	if verb == httpapi.Drop {
		c.Example += " --yes"
		yes = c.Flags().Bool("yes", false, "do it")
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if verb == httpapi.Drop && !*yes {
			return usageError{fmt.Errorf("letters of pipeline %s would be given up: say --yes", args[0])}
		}
		for _, s := range *seqs {
			which.Seqs = append(which.Seqs, event.Seq(s))
		}
		ctx, cancel := context.WithTimeout(c.Context(), httpapi.LettersTime)
		defer cancel()
		done, err := httpapi.NewClient(*daemon).WorkLetters(ctx, args[0], verb, *which)
		if err != nil {
			return asEnvironment(err)
		}
		return printLettersDone(c.OutOrStdout(), verb, done, *asJSON)
	}
	return c
}

// printLetters prints what is put aside, a line each.
func printLetters(out io.Writer, all []httpapi.Letters) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(out, "nothing is put aside")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SINK\tTABLE\tNUMBER\tCOMMITTED\tOP\tROW\tCOLUMN\tREASON")
	for i := range all {
		one := &all[i]
		for k := range one.Letters {
			l := &one.Letters[k]
			reason := l.Reason
			if l.Unsure {
				reason += " (can't be replayed: a newer change of the row may have come before)"
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", one.Sink, one.Table, l.Seq, l.Committed.UTC().Format("2006-01-02 15:04:05Z"), l.Op,
				shorten(rowText(l.Row), shortReason), l.Column, shorten(strings.Join(strings.Fields(reason), " "), 2*shortReason))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range all {
		if one := &all[i]; len(one.Letters) < one.Rows {
			fmt.Fprintf(out, "%s of sink %s: %d more (--limit)\n", one.Table, one.Sink, one.Rows-len(one.Letters))
		}
	}
	return nil
}

// rowText names a letter's row.
func rowText(cells []pipeline.LetterCell) string {
	var parts []string
	for _, c := range cells {
		value := "NULL"
		if c.Value != nil {
			value = *c.Value
		}
		parts = append(parts, c.Column+"="+value)
	}
	return strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
}

// printLettersDone prints what became of letters. What stays, or could not be done, ends the
// command with 1.
func printLettersDone(out io.Writer, verb string, done []httpapi.LettersOutcome, asJSON bool) error {
	whole := true
	for i := range done {
		whole = whole && done[i].Stay == 0 && done[i].Error == ""
	}
	if asJSON {
		if err := printJSON(out, done); err != nil {
			return err
		}
	} else {
		for i := range done {
			d := &done[i]
			line := fmt.Sprintf("%s %s in %s: %d done, %d stay", verb, d.Table, d.Sink, d.Gone, d.Stay)
			for _, more := range []string{d.Why, d.Error} {
				if more != "" {
					line += ": " + more
				}
			}
			fmt.Fprintln(out, line)
		}
		if len(done) == 0 {
			fmt.Fprintln(out, "nothing is put aside")
		}
	}
	if !whole {
		return silentError{}
	}
	return nil
}
