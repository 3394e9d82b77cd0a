package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

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
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var silent silentError
	if !errors.As(err, &silent) {
		fmt.Fprintln(os.Stderr, "millrace: "+err.Error())
	}
	return exitCode(err)
}

// usageError marks mistakes of the command line.
type usageError struct{ error }

// environmentError marks what the machine lacks: a port, a directory, a server.
type environmentError struct{ error }

func (e environmentError) Unwrap() error { return e.error }

// silentError ends with status 1 after the command has said everything itself.
type silentError struct{}

func (silentError) Error() string { return "what is wrong was said" }

func exitCode(err error) int {
	var (
		issues      config.Issues
		usage       usageError
		environment environmentError
	)
	switch {
	case errors.As(err, &issues), errors.As(err, &usage):
		return exitConfiguration
	case errors.As(err, &environment):
		return exitEnvironment
	default:
		return exitRuntime
	}
}
