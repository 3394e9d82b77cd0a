package protocol

// OpenWriterState answers OpenWriter (31001): what the writer's queues hold,
// and what is undecided. Sequence numbers are decimal text, which no JSON
// reader rounds.
type OpenWriterState struct {
	Queues []WriterQueue `json:"queues"`
	Halves []WriterHalf  `json:"halves"`
	// Base is the offset of the checkpoint queue's newest message with
	// property mr_base; -1 for none.
	Base      int64  `json:"base"`
	BaseTopic string `json:"baseTopic,omitempty"`
}

// WriterQueue is an owned queue and its last message.
type WriterQueue struct {
	Topic   string `json:"topic"`
	QueueID int32  `json:"queueId"`
	Hi      uint64 `json:"hi,string"`
	To      string `json:"to"`
	Offset  int64  `json:"offset"`
	Max     int64  `json:"max"`
}

// WriterHalf is a half message that is not decided.
type WriterHalf struct {
	ID            string `json:"id"`
	TransactionID string `json:"transactionId"`
	Topic         string `json:"topic"`
	QueueID       int32  `json:"queueId"`
	Lo            uint64 `json:"lo,string"`
	Hi            uint64 `json:"hi,string"`
	Prev          uint64 `json:"prev,string"`
	Term          uint64 `json:"term,string"`
	Size          int64  `json:"size"`
}

func (s *OpenWriterState) encodeBody() ([]byte, error) {
	c := *s
	c.Queues, c.Halves = orEmpty(c.Queues), orEmpty(c.Halves)
	return marshal(c)
}

// HalfRef names a half message.
type HalfRef struct {
	ID            string `json:"id"`
	TransactionID string `json:"transactionId"`
}

// ResolveRequest is the body of Resolve (31002).
type ResolveRequest struct {
	Commit   []HalfRef `json:"commit"`
	Rollback []HalfRef `json:"rollback"`
}

func (r *ResolveRequest) encodeBody() ([]byte, error) {
	return marshal(ResolveRequest{orEmpty(r.Commit), orEmpty(r.Rollback)})
}

// ResolveResult is what became of one half. Last goes with Duplicate and Gap.
type ResolveResult struct {
	ID     string `json:"id"`
	Code   int    `json:"code"`
	Offset int64  `json:"offset"`
	Last   uint64 `json:"last,string"`
}

// ResolveResponse answers Resolve, in the order of the request: the commits,
// then the rollbacks.
type ResolveResponse struct {
	Results []ResolveResult `json:"results"`
}

func (r *ResolveResponse) encodeBody() ([]byte, error) {
	return marshal(ResolveResponse{orEmpty(r.Results)})
}
