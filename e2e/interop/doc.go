// Package interop holds tests that drive Millrace with clients of Apache RocketMQ's own
// making, in one process and over loopback TCP. They prove what the protocol tests
// cannot: that the client's idea of the protocol is ours. It has no code but tests.
//
// Java's clients and mqadmin, which need a JDK, are in package javainterop.
package interop
