// Package charset turns text of every character set of MySQL and MariaDB into UTF-8,
// and says which set a collation's number belongs to. Packages of the source call it;
// it knows nothing of rows or columns.
//
// Invariant: what comes out is UTF-8, and is what the server's own CONVERT(… USING
// utf8mb4) gives, character by character; both kinds of server agree on every
// character. Bytes that are no character of their set become U+FFFD, where the servers
// give a question mark that nobody can tell from a real one, and are counted. A
// sequence that has the form of a character is one U+FFFD, any other byte one each.
//
// The sets made of tables are in tables/, one file each, written by TestServers with
// -write from what the servers answer and compared with them on every run; their format
// is described in table.go. A table is unpacked when its set is first used and never
// changes. The Unicode encodings and the regular part of gb18030 are code.
package charset
