// Package spec reads pipeline files: one pipeline a file, every mistake reported at once
// with file:line:col and a suggestion, and nothing that belongs to one kind of source or
// sink. What those are configured with is theirs: the tables of kinds that the caller
// hands in say which struct a "type" decodes into and how it is checked.
//
// The form is documented in docs/pipeline.md and shown in configs/pipelines/orders.yaml.
package spec
