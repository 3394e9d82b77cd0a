package txn

import (
	"bytes"
	"strconv"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/message"
)

const (
	// opTag marks the operation records that take halves away.
	opTag = "d"
	// maxOpBody is where RocketMQ ends a batch of operation records.
	maxOpBody = 4096
	// opBatch is how many offsets fit into one for certain.
	opBatch = maxOpBody / 21
)

// opRecord says, in RocketMQ's way, that the halves at these half-queue offsets are done
// with. One offset stands alone, as 4.9 writes and reads it; several are joined by commas.
func opRecord(queues []int64) *message.Record {
	body := make([]byte, 0, 20*len(queues))
	for i, q := range queues {
		if i > 0 {
			body = append(body, ',')
		}
		body = strconv.AppendInt(body, q, 10)
	}
	return &message.Record{
		Topic:      message.TopicTransactionOp,
		Body:       body,
		Properties: message.AppendProperty(nil, message.PropertyTags, opTag),
	}
}

// parseOp reads the offsets of an operation record; what is no number is passed over.
func parseOp(body []byte) []int64 {
	var queues []int64
	for _, part := range bytes.Split(body, []byte{','}) {
		if q, err := strconv.ParseInt(string(bytes.TrimSpace(part)), 10, 64); err == nil {
			queues = append(queues, q)
		}
	}
	return queues
}

// queueOp notes that a committed half needs its operation record. Nothing of ours depends
// on it; RocketMQ's own tools and brokers do.
func (s *Service) queueOp(h *half) {
	s.mu.Lock()
	s.ops = append(s.ops, h.queue)
	due := len(s.ops) >= opBatch
	s.mu.Unlock()
	if due {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// flushOps writes the operation records that are due. Those of a failed write are lost:
// the final messages stand, and a restart writes them again.
func (s *Service) flushOps() {
	s.mu.Lock()
	ops := s.ops
	s.ops = nil
	s.mu.Unlock()
	for len(ops) > 0 {
		n := min(len(ops), opBatch)
		s.log.Put(&store.PutRequest{Record: opRecord(ops[:n]), Done: func(r store.PutResult) {
			if r.Err != nil {
				s.metrics.opLost.Inc()
			}
		}})
		ops = ops[n:]
	}
}
