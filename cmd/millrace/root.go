package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/millrace/millrace/internal/version"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "millrace",
		Short: "Order data from MySQL to ClickHouse or Parquet, exactly once, in one binary",
		Long: `Millrace carries the changes of MySQL databases to the people who analyse them:
a message broker that speaks the Apache RocketMQ protocol, a binlog source, and sinks,
in one binary.

Commands end with 0 when what was asked for is so, 1 when it is not, 2 for a mistake in
the command line or in a file, and 3 when the machine lacks something: a file, a port, a
server that answers.`,
		Example: `  millrace standalone --data ./data --pipelines ./pipelines
  millrace pipeline validate pipelines/orders.yaml
  millrace pipeline status`,
		Version:       version.Get().String(),
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			_, err := logger(c) // a wrong value is one for every command
			return err
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.PersistentFlags().String("log-level", "info", "debug, info, warn or error")
	root.PersistentFlags().String("log-format", "", "text or json (default: text on a terminal, json elsewhere)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see %s --help)", err, c.CommandPath())}
	})
	root.AddCommand(newStandalone(), newNamesrv(), newBroker(), newConnect(), newPipeline(), newAdmin(), newStore(), newBench(), newVersion())
	root.SetHelpCommand(newHelp(root))
	refuseUnknown(root)
	return root
}

// refuseUnknown makes a misspelt command a mistake of the command line; without it, groups
// of commands would print their help and end with status 0.
func refuseUnknown(c *cobra.Command) {
	for _, child := range c.Commands() {
		refuseUnknown(child)
	}
	if !c.HasSubCommands() || c.Runnable() {
		return
	}
	c.SuggestionsMinimumDistance = 2
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return unknownCommand(c, args[0])
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}

func unknownCommand(c *cobra.Command, name string) error {
	hint := fmt.Sprintf("see %s --help", c.CommandPath())
	if like := c.SuggestionsFor(name); len(like) > 0 {
		hint = fmt.Sprintf("did you mean %q?", like[0])
	}
	return usageError{fmt.Errorf("%s has no command %q; %s", c.CommandPath(), name, hint)}
}

func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about a command", Example: "  millrace help pipeline verify",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = unknownCommand(c, rest[0])
			}
			if err != nil {
				return err
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

func newVersion() *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		Example: "  millrace version --json",
	}
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *asJSON {
			return printJSON(c.OutOrStdout(), version.Get())
		}
		fmt.Fprintln(c.OutOrStdout(), version.Get())
		return nil
	}
	return c
}

// noArgs refuses arguments with the status of a configuration mistake.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, but got %q", c.CommandPath(), args[0])}
	}
	return nil
}

// exactArgs asks for n arguments, named for the message.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("%s takes %v (see %s --help)", c.CommandPath(), names, c.CommandPath())}
		}
		return nil
	}
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// logger is what a command logs with, as the flags say.
func logger(c *cobra.Command) (*slog.Logger, error) {
	name, _ := c.Flags().GetString("log-level")
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q is not debug, info, warn or error", name)}
	}
	options := &slog.HandlerOptions{Level: level}
	format, _ := c.Flags().GetString("log-format")
	if format == "" {
		format = "json"
		if term.IsTerminal(int(os.Stderr.Fd())) {
			format = "text"
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	default:
		return nil, usageError{fmt.Errorf("--log-format %q is not text or json", format)}
	}
}

func lookupEnv(name string) (string, bool) { return os.LookupEnv(name) }
