// Package imports holds the test that keeps the picture of docs/architecture.md true:
// which package may import which. It has no code of its own.
package imports
