// Package testenv finds, fetches, starts and stops the programs that tests, benchmarks
// and the demonstration stand on. Nothing of it may be assumed on a machine: what is
// missing is unpacked once into a cache outside the source tree, with the machine's own
// package tools and settings, without installing anything or starting a service.
//
// The cache is $MILLRACE_CACHE, else the user's cache directory. Every server is
// started by its own process on a free port of the loopback address in a directory of
// its caller, and is stopped by its process id.
//
// A missing program fails the test that needs it, with what to do about it, unless
// MILLRACE_SKIP (names separated by commas) says that it may be missing. Each skip is
// written to standard error, and to the file that MILLRACE_SKIP_LIST names.
//
// Only tests, benchmarks and the demonstration may import it.
package testenv
