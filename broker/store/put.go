package store

import (
	"net/netip"
	"strings"

	"github.com/millrace/millrace/message"
)

// Gate lets an append in or refuses it, at the moment that decides the order of a queue.
// Both methods run inside the append lock: they must be quick, must not block and must
// not call the store.
type Gate interface {
	// Admit is told the queue offset that the message would get. After an error nothing
	// is appended and Done gets that error.
	Admit(queueOffset int64) error
	// Appended says that the message has its place. It may still be lost with the
	// process: Done tells when it is safe. Of a batch the first message is named.
	Appended(queueOffset, physOffset int64)
}

// PutRequest is one append. It belongs to the store from Put until Done.
type PutRequest struct {
	// Record has everything but its offsets, store timestamp and store host, which the
	// store gives. Its bytes are copied before Put returns.
	Record *message.Record
	// Batch, when it is not empty, stands in place of Record: all of one topic and
	// queue, stored with consecutive offsets, all or none.
	Batch []message.Record
	// Gate may be nil.
	Gate Gate
	// MustBeDurable waits for the sync under FlushAsync as well.
	MustBeDurable bool
	// WhenFull lets the put in while the disk is above its ratio: for what retention has
	// to carry forward before it can make space. Without any space it waits like others.
	WhenFull bool
	// Done is called exactly once, on a goroutine of the store or on the caller's. It
	// must not block.
	Done func(PutResult)
}

// PutResult is where a message went. Of a batch it names the first one.
type PutResult struct {
	QueueOffset    int64
	PhysicalOffset int64
	StoreTimestamp int64 // milliseconds
	StoreHost      netip.AddrPort
	// Physicals are the places of all messages of a batch; nil for a single one.
	Physicals []int64
	// Err says that the message is not stored, or (ErrFlushTimeout, ErrFailed) that it
	// is not known to be.
	Err error
}

// MsgID is the offset message id, of a batch all of them with commas between.
func (r PutResult) MsgID() string {
	if r.Physicals == nil {
		return message.OffsetMsgID(r.StoreHost, r.PhysicalOffset)
	}
	var b strings.Builder
	for i, p := range r.Physicals {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(message.OffsetMsgID(r.StoreHost, p))
	}
	return b.String()
}
