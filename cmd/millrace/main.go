package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/internal/config"
)

// Exit codes.
const (
	exitOK            = 0
	exitRuntime       = 1
	exitConfiguration = 2
	exitEnvironment   = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	root := newRoot()
	err := dispatch(ctx, root, args)
	if err == nil {
		return exitOK
	}
	var silent silentError
	var told saidError
	switch {
	case errors.As(err, &silent), errors.As(err, &told):
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "millrace: stopped before the end")
		return exitRuntime
	default:
		fmt.Fprintln(os.Stderr, "millrace: "+err.Error())
	}
	return exitCode(err)
}

// dispatch runs a command line. Help is asked of commands that there are.
func dispatch(ctx context.Context, root *cobra.Command, args []string) error {
	root.SetArgs(args)
	if c, rest, err := root.Find(args); err == nil && c.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") &&
		(slices.Contains(rest, "--help") || slices.Contains(rest, "-h")) {
		return unknownCommand(c, rest[0])
	}
	return root.ExecuteContext(ctx)
}

// usageError marks mistakes of the command line.
type usageError struct{ error }

// environmentError marks what the machine lacks: a port, a directory, a server.
type environmentError struct{ error }

func (e environmentError) Unwrap() error { return e.error }

// saidError is one that was printed already, in another form.
type saidError struct{ error }

func (e saidError) Unwrap() error { return e.error }

func said(err error) error {
	if err == nil {
		return nil
	}
	return saidError{err}
}

// silentError ends with status 1 after the command has said everything itself.
type silentError struct{}

func (silentError) Error() string { return "what is wrong was said" }

func exitCode(err error) int {
	var (
		issues      config.Issues
		usage       usageError
		environment environmentError
		path        *fs.PathError
	)
	switch {
	case errors.As(err, &issues), errors.As(err, &usage):
		return exitConfiguration
	case errors.As(err, &environment), errors.As(err, &path):
		return exitEnvironment
	default:
		return exitRuntime
	}
}
