// Package link is the link rule (K3 of docs/delivery.md): whether a message is applied
// where it stands, cut, dropped, looked for further back, or not before the next BEGIN of
// its table. Each message names the one before it in its queue; the mark is the last one
// that the target holds.
//
// It is pure: who reads a queue (pipeline/bus) and who writes a target (sinks/ledger) ask it
// and do what it says. A Position is one goroutine's.
package link
