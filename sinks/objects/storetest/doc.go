// Package storetest is the suite that every objects.Store passes: a script of each method's
// promises, many callers at once, and random operations against a map. Only tests use it.
//
// The invariant it checks: what a store says is what is there. Where a write's outcome was
// unknown, what is there afterwards decides, and stays so.
//
// It has no format.
package storetest
