// Package admin creates and inspects what a cluster holds: topics, routes, offsets,
// brokers. It is for tools (`millrace admin`, the console) and for programs that make
// their own topics; it is a client like any other and needs no privilege of its own.
//
// The invariant: a change is reported as done when every broker that it was meant for
// said so; otherwise the error names those that did not.
package admin
