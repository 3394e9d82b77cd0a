package store

import "errors"

// Errors that steer. Those of a put come in PutResult.Err; all can be wrapped.
var (
	// ErrDiskFull refuses a write while the disk is full. It passes by itself when there
	// is space again.
	ErrDiskFull = errors.New("the disk is full")
	// ErrFlushTimeout says that the bytes were not durable in time. They may become so
	// yet: the outcome is unknown.
	ErrFlushTimeout = errors.New("the flush took too long; whether the message is stored is unknown")
	// ErrMessageTooLarge refuses a message that is larger than the configured limit, or
	// than what the format can say.
	ErrMessageTooLarge = errors.New("the message is too large")
	// ErrNotWritable refuses a write while the broker does not take any: it stops, or is
	// a slave.
	ErrNotWritable = errors.New("the store does not take writes now")
	// ErrFailed says that a write or sync of the log has failed. Nothing is acknowledged
	// until the process has started again and read back what is there.
	ErrFailed = errors.New("the store has failed and must be opened again")
	// ErrBadRecord refuses a record that cannot be stored: a name that is no topic's, a
	// queue below 0.
	ErrBadRecord = errors.New("the record cannot be stored")
	// ErrNotFound says that there is no message at the place: deleted, not yet readable,
	// or never written.
	ErrNotFound = errors.New("no message there")
	// ErrCorrupt says that bytes which were durable are damaged. The text names file and
	// offset. Nothing is ever cut off because of it.
	ErrCorrupt = errors.New("the store is damaged")
	// ErrLostTail says at Open that the log ends before what its checkpoints know to
	// have been durable: it was cut or restored from an older copy.
	ErrLostTail = errors.New("the commit log has lost its tail")
)
