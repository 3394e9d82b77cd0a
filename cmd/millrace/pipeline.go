package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/connectors"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/spec"
	"github.com/millrace/millrace/sinks"
)

const defaultDaemon = "127.0.0.1:8083"

func kinds() spec.Kinds {
	return spec.Kinds{Sources: connectors.Kinds(), Sinks: sinks.Kinds()}
}

func newPipeline() *cobra.Command {
	c := &cobra.Command{
		Use: "pipeline", Short: "Check, watch and steer pipelines", Args: noArgs,
		Example: "  millrace pipeline validate pipelines/\n  millrace pipeline status --json",
	}
	c.AddCommand(newValidate(), newStatus(), newVerify(),
		newVerb(httpapi.Pause, "Stop a pipeline or a table where it is, with a durable position",
			"  millrace pipeline pause orders shop.payments"),
		newVerb(httpapi.Resume, "Go on after a pause", "  millrace pipeline resume orders"),
		newVerb(httpapi.Snapshot, "Read tables anew beside the stream", "  millrace pipeline snapshot orders shop.orders"),
		newVerb(httpapi.Reset, "Forget the target's position and fill it anew from a snapshot", "  millrace pipeline reset orders shop.orders"),
		newDelete(), newLetters(),
	)
	return c
}

func newDelete() *cobra.Command {
	c := &cobra.Command{
		Use: "delete PIPELINE", Short: "End a pipeline and remove what is left of it",
		Long: `Stops the pipeline and renames its file to FILE.deleted. Its topics, the offsets of its
sinks and its targets stay, unless they are asked to go; what stays is said.`,
		Example: "  millrace pipeline delete orders --yes\n  millrace pipeline delete orders --purge-topics --purge-target --yes",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes a pipeline", c.CommandPath())}
			}
			return nil
		},
	}
	daemon := daemonFlag(c)
	var o httpapi.DeleteOptions
	c.Flags().BoolVar(&o.PurgeTopics, "purge-topics", false, "delete its topics, with what its sinks have read of them")
	c.Flags().BoolVar(&o.PurgeTarget, "purge-target", false, "delete what its sinks hold")
	yes := c.Flags().Bool("yes", false, "do it")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		if !*yes {
			return usageError{fmt.Errorf("pipeline %s would be deleted: say --yes", args[0])}
		}
		ctx, cancel := context.WithTimeout(c.Context(), 10*time.Minute)
		defer cancel()
		done, err := httpapi.NewClient(*daemon).Delete(ctx, args[0], o)
		if err != nil {
			return asEnvironment(err)
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), done)
		}
		fmt.Fprintf(c.OutOrStdout(), "pipeline %s is deleted\n", done.Name)
		for _, what := range done.Removed {
			fmt.Fprintf(c.OutOrStdout(), "  removed: %s\n", what)
		}
		for _, what := range done.Kept {
			fmt.Fprintf(c.OutOrStdout(), "  kept:    %s\n", what)
		}
		return nil
	}
	return c
}

func newVerb(verb, short, example string) *cobra.Command {
	c := &cobra.Command{
		Use: verb + " PIPELINE [DB.TABLE]", Short: short, Example: example,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError{fmt.Errorf("%s takes a pipeline and, if wanted, one of its tables", c.CommandPath())}
			}
			return nil
		},
	}
	daemon := daemonFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute) // a pipeline that stops makes durable what it holds
		defer cancel()
		table := ""
		if len(args) == 2 {
			table = args[1]
		}
		now, err := httpapi.NewClient(*daemon).Do(ctx, args[0], table, verb)
		if err != nil {
			return asEnvironment(err)
		}
		return printAnswer(c.OutOrStdout(), verb, &now, *asJSON)
	}
	return c
}

// printAnswer prints what became of a verb. That something could not be done of a table ends
// the command with 1, whatever was done of the others.
func printAnswer(out io.Writer, verb string, now *httpapi.Answer, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(out, now)
	} else {
		for _, o := range now.Outcomes {
			fmt.Fprintf(out, "%s %s: %s\n", verb, o.Table, strings.TrimSuffix(fmt.Sprintf("%s: %s", o.Result, o.Reason), ": "))
		}
		err = printStatus(out, []pipeline.Status{now.Status}, false)
	}
	if err == nil && !now.Whole() {
		return silentError{}
	}
	return err
}
