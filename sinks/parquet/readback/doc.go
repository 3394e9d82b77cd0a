// Package readback reads the current/ tables of a lake for verification. It shares
// nothing with the sink: it finds the live files of a Delta log by itself and reads
// them row by row.
package readback
