package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/verify"
)

// daemonFlag is the address of the daemon that a command asks.
func daemonFlag(c *cobra.Command) *string {
	address := defaultDaemon
	if env, ok := lookupEnv("MILLRACE_DAEMON"); ok && env != "" {
		address = env
	}
	return c.Flags().String("daemon", address, "address of the daemon (default $MILLRACE_DAEMON, else "+defaultDaemon+")")
}

func newStatus() *cobra.Command {
	c := &cobra.Command{
		Use: "status [PIPELINE]", Short: "Show what pipelines do, table by table",
		Long: `Shows each pipeline with its tables: what the table does at its source and in each target,
and how old what a reader of the target sees may be, for readers of changes/ and of
current/. Reasons are cut; with a pipeline's name they are told in full. docs/states.md
lists the states.`,
		Example: "  millrace pipeline status\n  millrace pipeline status orders --watch\n  millrace pipeline status --json",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s takes the name of one pipeline, or none for all (see %s --help)", c.CommandPath(), c.CommandPath())}
			}
			return nil
		},
	}
	daemon := daemonFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	watch := c.Flags().Bool("watch", false, "show it again every two seconds, until Ctrl-C")
	c.RunE = func(c *cobra.Command, args []string) error {
		name := ""
		if len(args) == 1 {
			name = args[0]
		}
		for {
			all, err := fetchStatus(c.Context(), *daemon, name)
			if err != nil {
				return err
			}
			if *watch && term.IsTerminal(int(os.Stdout.Fd())) {
				fmt.Fprint(c.OutOrStdout(), "\x1b[H\x1b[2J")
			}
			if *asJSON {
				err = printJSON(c.OutOrStdout(), all)
			} else {
				err = printStatus(c.OutOrStdout(), all, name != "")
			}
			if err != nil || !*watch {
				return err
			}
			if pause.For(c.Context(), watchStatus) != nil {
				return nil
			}
		}
	}
	return c
}

const watchStatus = 2 * time.Second

func fetchStatus(ctx context.Context, daemon, name string) ([]pipeline.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := httpapi.NewClient(daemon)
	if name != "" {
		one, err := client.Pipeline(ctx, name)
		return []pipeline.Status{one}, asEnvironment(err)
	}
	all, err := client.Pipelines(ctx)
	return all, asEnvironment(err)
}

// asEnvironment tells a daemon that is not there from one that refuses.
func asEnvironment(err error) error {
	if errors.Is(err, httpapi.ErrAway) {
		return environmentError{err}
	}
	if errors.Is(err, httpapi.ErrAddress) {
		return usageError{err}
	}
	return err
}

// shortReason is how much of a reason stands in a table.
const shortReason = 60

// printStatus prints statuses; whole says that reasons are not cut but follow the table.
func printStatus(out io.Writer, all []pipeline.Status, whole bool) error {
	if len(all) == 0 {
		fmt.Fprintln(out, "the daemon runs no pipeline: there is no file in its directory of pipelines")
	}
	for i := range all {
		printPipeline(out, &all[i], whole)
	}
	return nil
}

func printPipeline(out io.Writer, p *pipeline.Status, whole bool) {
	fmt.Fprintf(out, "%s  %s  lag: source %s, broker %s, changes %s, current %s%s\n", p.Name, stateText(p.State, string(p.Code)),
		p.Lag.Source, p.Lag.Broker, p.Lag.Target, p.Lag.Current, placeText(p.Position))
	var told []string
	tell := func(who, reason string) string {
		if reason = strings.Join(strings.Fields(reason), " "); reason == "" {
			return ""
		}
		short := shorten(reason, shortReason)
		if whole && short != reason {
			told = append(told, who+": "+reason)
		}
		return short
	}
	if p.Reason != "" && p.Code != event.PauseRequest { // the state says it
		fmt.Fprintf(out, "  %s\n", wholeOr(p.Reason, whole))
	}
	if len(p.Tables) > 0 {
		printTables(out, p, tell)
	}
	for _, line := range told {
		fmt.Fprintf(out, "  %s\n", line)
	}
}

func wholeOr(reason string, whole bool) string {
	reason = strings.Join(strings.Fields(reason), " ")
	if whole {
		return reason
	}
	return shorten(reason, 2*shortReason)
}

func printTables(out io.Writer, p *pipeline.Status, tell func(who, reason string) string) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "  TABLE\tAT SOURCE\tSNAPSHOT\tSINK\tIN TARGET\tROWS\tBUFFERED\tCHANGES LAG\tCURRENT LAG\tVERIFIED\tREASON")
	for _, t := range p.Tables {
		at := stateText(t.State, string(t.Code))
		if len(t.Sinks) == 0 {
			fmt.Fprintf(w, "  %s\t%s\t%s\t-\t-\t-\t-\t-\t-\t-\t%s\n", t.Name, at, percent(&t), tell(t.Name, t.Reason))
		}
		for _, s := range t.Sinks {
			reason := s.Reason
			if reason == "" {
				reason = t.Reason
			}
			if reason == "" {
				reason = verifiedReason(s.Verified)
			}
			if reason == "" && s.LagUnknown != "" && t.Snapshot == 100 { // else the state says it
				reason = "lag unknown: " + s.LagUnknown
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", t.Name, at, percent(&t), s.Sink, stateText(s.State, string(s.Code)),
				totalText(&s), s.Buffered, lagText(&t, s.Lag.Target, !s.CompleteTo.Target.IsZero()),
				lagText(&t, s.Lag.Current, !s.CompleteTo.Target.IsZero()), verifiedText(s.Verified), tell(t.Name+" in "+s.Sink, reason))
		}
	}
}

// verifiedText is up to when a target table was found right; what was found wrong comes first.
func verifiedText(v *pipeline.Verified) string {
	switch {
	case v == nil:
		return "off"
	case v.Differences > 0 || v.State == verify.Differs:
		return fmt.Sprintf("DIFFERS (%d)", v.Differences)
	case v.Through.IsZero():
		return "never"
	}
	return "to " + v.Through.UTC().Format("2006-01-02 15:04:05Z")
}

// verifiedReason is why a table is not found right; what a skipped one waits for is said
// elsewhere.
func verifiedReason(v *pipeline.Verified) string {
	if v == nil || v.State == "" || v.State == verify.Equal || v.State == pipeline.VerifiedSkipped {
		return ""
	}
	return "self-check: " + v.State + ": " + v.Reason
}

// stateText is a state with the code of a pause.
func stateText(state pipeline.State, code string) string {
	if state == pipeline.StatePaused && code != "" {
		return string(state) + " (" + code + ")"
	}
	return string(state)
}

// percent is how much of a table was read as a whole; nothing when no snapshot is to be had.
func percent(t *pipeline.TableStatus) string {
	if t.State == pipeline.StateDropped || t.State == pipeline.StateExcluded {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", t.Snapshot)
}

// lagText is a lag, or that there is nothing yet that could be old; there says that something
// is in the target.
func lagText(t *pipeline.TableStatus, lag pipeline.Seconds, there bool) string {
	if _, known := lag.Value(); !known && t.Snapshot < 100 && !there {
		return "no data yet"
	}
	return lag.String()
}

// totalText is how many rows the change log has.
func totalText(s *pipeline.SinkSummary) string {
	if s.Total == nil {
		return "unknown"
	}
	return fmt.Sprint(*s.Total)
}

func placeText(p pipeline.PositionStatus) string {
	if p.File == "" {
		return ""
	}
	return fmt.Sprintf("  at %s:%d", p.File, p.Pos)
}

// shorten cuts a text to at most n characters.
func shorten(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}
