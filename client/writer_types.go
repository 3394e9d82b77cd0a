package client

import "github.com/millrace/millrace/message"

// Link places a message in its queue: it covers the numbers Lo to Hi and stands right
// behind the message whose last number is Prev.
type Link struct {
	Lo, Hi, Prev uint64
	From, To     string
}

// HalfRef names a half message for Resolve. Both parts must match at the broker.
type HalfRef struct {
	ID            string
	TransactionID string
}

// Half is an undecided half message as the broker tells it.
type Half struct {
	ID, TransactionID string
	Queue             message.Queue
	Lo, Hi, Prev      uint64
	Term              uint64
	Size              int64
}

// Ref names the half for Resolve.
func (h Half) Ref() HalfRef { return HalfRef{ID: h.ID, TransactionID: h.TransactionID} }

// WriterQueue is what the broker let into one owned queue last.
type WriterQueue struct {
	Queue  message.Queue
	Hi     uint64 // mr_hi of the last message; 0 = none
	To     string // mr_to of the last message
	Offset int64  // its queue offset
	Max    int64  // offset that the next message will get; exact, unlike Reader.Max
}

// WriterState is a broker's answer to an opening: what is true there now that every
// lower term is closed.
type WriterState struct {
	Term       uint64
	Queues     []WriterQueue
	Halves     []Half
	BaseOffset int64 // offset of the newest message with property mr_base; -1 = none
	BaseTopic  string
}

// ResolveCode is what became of one half.
type ResolveCode int

// The outcomes of a resolution.
const (
	ResolveFailed     ResolveCode = iota // the broker could not do it now; Err says why
	ResolveCommitted                     // it is visible at Offset
	ResolveRolledBack                    // it will never be visible
	ResolveDuplicate                     // its numbers are in the queue already; Last
	ResolveGap                           // it does not follow the queue's last message; Last
	ResolveGone                          // the broker does not know it
	ResolveFenced                        // a higher term holds the writer
)

// ResolveResult is the outcome for one half, in request order (commits, then rollbacks).
type ResolveResult struct {
	ID     string
	Code   ResolveCode // what became of it, now or earlier
	Offset int64       // of the final message, with ResolveCommitted
	Last   uint64      // mr_hi of the queue's last message, with Duplicate and Gap
	// Err is nil when the half came to what was asked for. Otherwise it is the typed
	// error of Code; an *AnswerError where a half was already decided the other way.
	Err error
}
