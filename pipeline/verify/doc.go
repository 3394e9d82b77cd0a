// Package verify compares the rows of a source with the rows of a target. It sees only
// pipeline.Reader and knows no connector and no sink. Memory is some 70 bytes a row of
// the larger table; tables are compared one after another.
package verify
