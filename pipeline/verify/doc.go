// Package verify compares the rows of a source with the rows of a target, while both change.
// It sees only pipeline.Reader and what a reader may be besides, and knows no connector and
// no sink. Commands, tests and pipeline/selfcheck call it.
//
// # How
//
// The source can be read in the order of its key, the target cannot: a lake's files are in
// no order at all. Reading the target once for every range of the source would cost rows
// times rows; a hash table of one side is memory that grows with the table; several passes
// over parts of the keys would read the source several times, which is the side that must
// be spared. So both sides are read once and written to a file each, as hashes in 64 parts
// by the key's hash (24 bytes a row and the key), and the parts are compared one after
// another; a part that is too large is split again. Memory is a buffer a part and one part's
// keys: less than 40 MiB whatever the table's size. Disk is two files that are gone
// afterwards.
//
// The source is read range by range, each in a statement of its own, and the target after
// it, so that rows which were touched meanwhile seem to differ. They, and only they, are
// looked at again: the source by key, then, when the target says that it has everything up
// to that place, the target. A key is settled when both agree, or when the target shows a value
// that the source had since the look began, for rows that change all the time are watched. One that did not change on
// either side over two such looks differs. One that kept changing to the end is neither:
// it is counted as unsettled, and a target that did not get as far as the source is said to
// be behind.
//
// A table without a key is a multiset: its rows are their own keys and what is compared is
// how often each is there. It is read in one statement, a consistent view of one moment,
// and everything above holds for it as well; rows that come after that moment are of the
// next comparison.
//
// A sample is a part of both sides: ranges of the source's key from random places, of which
// the target may lack rows, and keys of the target chosen by their hash, which the source may
// not have. It agrees or differs; it is never equal.
//
// # What a target's reader must provide
//
// pipeline.Reader, and of that only: Read gives each row once, as a user of the target sees it
// at one moment of the call's (rows that were replaced or deleted are not among them), in any
// order; columns bear the source's names and values the text that pipeline.Cell says; a target
// that lacks the table answers pipeline.ErrNoTable. When a reading fails it is begun again, up
// to three times, so that a target may take away what is being read. Besides, as a target can:
// pipeline.DatedReader says up to which commit time of the source all is there; without it,
// and without Options.Reached, what differs can't be told from what is on its way, and the
// outcome is behind. pipeline.LevelReader belongs to targets whose table follows a log of
// theirs, pipeline.HistoryReader to those that keep that log, pipeline.LetterReader to those
// that put aside what they can't hold: such a row is said to be put aside and not to differ. Nothing is asked about files,
// keys or an order.
//
// Invariant: equal is said only when every key of either side, as both were at some moment
// behind the beginning, was seen to agree.
package verify
