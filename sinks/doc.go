// Package sinks is the table of sinks: which types a pipeline file may name, how each is
// configured, and how it is made. It composes its children and is imported by commands
// only.
package sinks
