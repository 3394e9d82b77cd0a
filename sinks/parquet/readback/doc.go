// Package readback reads the tables of a lake for verification. It shares nothing with the
// sink but the store: it finds the live files of a Delta log by itself and reads them row by
// row.
package readback
