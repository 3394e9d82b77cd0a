package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/millrace/millrace/message"
)

// Report is what Verify found.
type Report struct {
	Records  int64    `json:"records"`
	Bytes    int64    `json:"bytes"`
	MinPhys  int64    `json:"min_offset"`
	MaxPhys  int64    `json:"max_offset"`
	Queues   int      `json:"queues"`
	Units    int64    `json:"units"`
	Behind   int64    `json:"not_in_queues"` // records that the consume queues do not have yet: rebuilt at the next start
	Problems []string `json:"problems"`
}

const maxProblems = 100

func (r *Report) problem(format string, args ...any) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

type queueKey struct {
	topic string
	id    int32
}

type place struct {
	phys   int64
	size   int32
	offset int64
}

// Verify reads the whole log and every consume queue: checksums, offsets that are dense in
// each queue, and units that point at the record that has their place. Memory is some 30
// bytes a record.
func (s Store) Verify() (Report, error) {
	var r Report
	r.MinPhys = -1
	records := map[queueKey]*[]place{}
	err := s.Walk(0, func(m *message.Record, phys int64, size int) error {
		if r.MinPhys < 0 {
			r.MinPhys = phys
		}
		r.Records++
		r.Bytes += int64(size)
		r.MaxPhys = phys + int64(size)
		if err := m.CheckCRC(); err != nil {
			r.problem("commit log offset %d, %s/%d: %v", phys, m.Topic, m.QueueID, err)
		}
		key := queueKey{m.Topic, m.QueueID}
		known := records[key]
		if known == nil {
			// The record's memory is used again. An assignment to a key that is there
			// would put the new string in its place, hence the pointer.
			key.topic, known = strings.Clone(key.topic), new([]place)
			records[key] = known
		}
		switch n := len(*known); {
		case n > 0 && m.QueueOffset == 0:
			*known = (*known)[:0] // the topic was deleted and made again
		case n > 0 && (*known)[n-1].offset+1 != m.QueueOffset:
			r.problem("commit log offset %d: %s/%d goes from queue offset %d to %d", phys, m.Topic, m.QueueID, (*known)[n-1].offset, m.QueueOffset)
		}
		*known = append(*known, place{phys, int32(size), m.QueueOffset})
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if err != nil {
		r.problem("%v", err)
	}
	queues, err := s.Queues()
	if err != nil {
		return r, err
	}
	for _, q := range queues {
		key := queueKey{q.Topic, int32(q.ID)}
		var places []place
		if known := records[key]; known != nil {
			places = *known
		}
		if err := r.queue(q, places); err != nil {
			return r, err
		}
		delete(records, key)
	}
	for _, rest := range records {
		r.Behind += int64(len(*rest))
	}
	return r, nil
}

// queue holds a consume queue's units against the records of the log.
func (r *Report) queue(q Queue, records []place) error {
	r.Queues++
	next, seen := 0, 0
	err := q.Walk(func(offset int64, u Unit) error {
		r.Units++
		for next < len(records) && records[next].offset < offset {
			next++
		}
		switch {
		case u.Phys < r.MinPhys: // the log's file went by retention; the queue's follows
		case next == len(records) || records[next].offset != offset:
			r.problem("consume queue %s/%d offset %d points at %d, where the log has no record of it", q.Topic, q.ID, offset, u.Phys)
		case records[next].phys != u.Phys || records[next].size != u.Size:
			r.problem("consume queue %s/%d offset %d points at %d (%d bytes), its record stands at %d (%d bytes)",
				q.Topic, q.ID, offset, u.Phys, u.Size, records[next].phys, records[next].size)
		default:
			seen++
		}
		return nil
	})
	r.Behind += int64(len(records) - seen)
	return err
}
