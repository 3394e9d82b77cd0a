// Package projection keeps columns and rows from leaving their source: a pipeline.Source around
// another one, whose tables, rows and definitions come without the rows that do not meet a
// condition (package where) and the columns that are excluded,
// and with a constant or a keyed hash where the values of others were. Reader does the same
// to what verification reads, so that both sides are compared as they were asked for.
//
// It is for package connectors, which puts it around every type of source. Numbers and
// identities are minted before it and pass through, so that it can't shift them (delivery
// S10); what it makes of a table goes with the table's schema (Schema.Source and
// Schema.Projection), so that each row says under which configuration it was produced (S13).
//
// Where it is not certain that nothing leaves, the table pauses with the code "columns".
package projection
