// Package seeded holds known bugs, so that the fault suites can prove that they would
// find them. Without the build tag "seeded" On is the constant false and the compiler
// removes every trace; with it, the environment variable MILLRACE_SEEDED_BUG names the
// one bug that is switched on. Production code asks On at the place where a rule of the
// delivery protocol is kept; nothing else may depend on it.
package seeded
