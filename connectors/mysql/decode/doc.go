// Package decode turns a server's rows into images: rows of the binary log by way of
// the log's TABLE_MAP, and rows of a SELECT by their text. It decodes straight into an
// image's bytes; nothing is boxed in between.
//
// Invariant: the same row read either way gives the same bytes, on MariaDB and on
// MySQL, for every type and every value that the server can hold. What cannot be
// decoded exactly is an error; nothing is rounded, cut or replaced.
//
// The image's format is event.Image, in docs/format/event.md.
package decode
