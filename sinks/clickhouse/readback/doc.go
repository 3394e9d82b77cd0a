// Package readback reads the sink's views for verification, as a user of the server sees
// them. It shares nothing with the sink but the ledger's table in the target, in which it
// finds which source table each view shows: it asks the server what columns there are and
// has it write the values.
package readback
