// Package message is the one record layout that disk and wire share: what a
// producer sends, a commit log stores, a pull answers and an offset id names.
//
// Everybody may import it; it imports nothing of ours, opens nothing, has no
// clock and starts nothing. The invariant: a decoder checks each length
// against what is left before it uses it, allocates nothing in proportion to
// an unchecked length, and returns an error (never a partial value) for every
// truncated prefix of a valid input.
//
// Records, batches and properties are documented byte by byte in
// docs/format/message.md; the figures there are compared with bytes recorded
// from Apache RocketMQ 5.5.0 by the tests.
//
// Not here yet: the optional __CRC32# property, and inner batches of BatchCQ
// topics (they are stored and served as opaque bodies).
package message
