package store

import (
	"encoding/binary"

	"github.com/millrace/millrace/message"
)

// GetStatus says what a Get met. The values are in the order of RocketMQ's GetMessageStatus.
type GetStatus int

const (
	// Found: there are messages.
	Found GetStatus = iota
	// NoMatchedMessage: the filter took none; go on at NextOffset.
	NoMatchedMessage
	// MessageWasRemoving: retention took the messages between lookup and read.
	MessageWasRemoving
	// OffsetFoundNull: the queue has a hole there; go on at NextOffset.
	OffsetFoundNull
	// OffsetOverflowBadly: the offset is above the maximum.
	OffsetOverflowBadly
	// OffsetOverflowOne: the offset is the maximum; there is nothing new.
	OffsetOverflowOne
	// OffsetTooSmall: the offset is below the minimum.
	OffsetTooSmall
	// NoMatchedLogicQueue: there is no such queue.
	NoMatchedLogicQueue
	// NoMessageInQueue: the queue has never had a message.
	NoMessageInQueue
)

// GetOptions limit and filter a Get. The zero value takes one message.
type GetOptions struct {
	MaxMsgs  int
	MaxBytes int // at least one message is returned whatever its size
	// Filter is asked with what the consume queue keeps of a message's tag; nil takes all.
	Filter func(tagsCode int64) bool
	// MessageFilter is asked with each record that Filter took; nil takes all. The record
	// is valid during the call.
	MessageFilter func(*message.Record) bool
	// Alloc gives memory for a result of about n bytes, which GetResult.Buf then is,
	// unless it proves too small; nil, or an answer that is smaller, has it made.
	Alloc func(n int) []byte
}

// GetResult is what a Get found.
type GetResult struct {
	Status GetStatus
	// Buf holds the stored records one behind the other, as a pull answer carries them.
	// It belongs to the caller.
	Buf   []byte
	Count int
	// NextOffset is where to go on. Min and Max are the queue's bounds at that moment.
	NextOffset, Min, Max int64
	// LastPhysical is the place of the last message returned, for hints about how far
	// behind the reader is. -1 without one.
	LastPhysical int64
}

// Messages cuts Buf into records.
func (r *GetResult) Messages() [][]byte {
	out := make([][]byte, 0, r.Count)
	for b := r.Buf; len(b) > 0; {
		size, _, err := message.ParseHead(b)
		if err != nil || size > len(b) {
			panic("BUG: a Get returned bytes that are no records")
		}
		out = append(out, b[:size:size])
		b = b[size:]
	}
	return out
}

// Boundary chooses between the offsets around a time.
type Boundary int

const (
	// Lower is the first message stored at or after the time; the maximum without one.
	Lower Boundary = iota
	// Upper is the last message stored at or before the time; the minimum without one.
	Upper
)

// QueryResult is what a query by key found, newest first.
type QueryResult struct {
	Messages [][]byte
	// LastUpdateTimestamp and LastUpdatePhysical say how far the index reaches.
	LastUpdateTimestamp int64
	LastUpdatePhysical  int64
}

// QueueID names a queue of this store.
type QueueID struct {
	Topic string
	ID    int32
}

// isRecordOf tells that head begins the record of a queue's offset, standing at phys. It
// is at least as long as the fields that it looks at.
func isRecordOf(head []byte, queueID int32, offset, phys int64) bool {
	be := binary.BigEndian
	_, magic, err := message.ParseHead(head)
	return err == nil && magic != message.MagicBlank &&
		int32(be.Uint32(head[message.QueueIDAt:])) == queueID &&
		int64(be.Uint64(head[message.QueueOffsetAt:])) == offset &&
		int64(be.Uint64(head[message.PhysicalOffsetAt:])) == phys
}
