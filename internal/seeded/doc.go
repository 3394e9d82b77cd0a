// Package seeded holds known bugs, so that the fault suites can prove that they would
// find them. Without the build tag "seeded" On is the constant false and the compiler
// removes every trace; with it, the environment variable MILLRACE_SEEDED_BUG names the
// bug that is switched on, or several with commas.
//
// Production code asks On at the place where a rule of docs/delivery.md is kept; nothing
// else in it may exist for a bug: no field, no function, no name. [List] says of each bug
// which rule it breaks. e2e/rules holds the three together, and e2e/seeded.sh has each bug
// looked for.
package seeded
