// Package rules holds nothing but a test: the rules of docs/delivery.md, the comments that
// cite them and the bugs of internal/seeded belong together.
package rules
