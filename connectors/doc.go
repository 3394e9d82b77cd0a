// Package connectors is the table of source types: name → configuration and constructor.
// It is an assembly: it composes its children and only commands import it.
package connectors
