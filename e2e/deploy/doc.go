// Package deploy holds the tests of deploy/: the units' commands run and stop, and the
// binary needs nothing beside itself. It has no code of its own.
package deploy
