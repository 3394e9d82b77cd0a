package store

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/broker/store/commitlog"
	"github.com/millrace/millrace/message"
)

// put is one append on its way: it is the log's Entry. It is used again after Done.
type put struct {
	s       *Store
	req     *PutRequest
	q       *queue
	buf     []byte
	queueID int32
	topic   string // the request's, valid until Put returns
	counted bool   // the record takes a queue offset
	res     PutResult
}

// largestKept is the largest encoding buffer that is kept for the next put.
const largestKept = 256 << 10

// Put appends. It blocks only while too much waits to be written. The outcome comes to
// req.Done.
func (s *Store) Put(req *PutRequest) {
	p, _ := s.puts.Get().(*put)
	if p == nil {
		p = &put{s: s}
	}
	p.req = req
	p.res = PutResult{StoreHost: s.cfg.StoreHost, QueueOffset: -1, PhysicalOffset: -1}
	if err := p.encode(); err != nil {
		p.Done(err)
		return
	}
	s.clog.Append(p, p.buf, req.MustBeDurable)
}

func (p *put) encode() error {
	p.buf = p.buf[:0]
	if len(p.req.Batch) > 0 {
		return p.encodeBatch()
	}
	rec := p.req.Record
	if err := p.target(rec); err != nil {
		return err
	}
	return p.appendRecord(rec)
}

func (p *put) encodeBatch() error {
	batch := p.req.Batch
	if err := p.target(&batch[0]); err != nil {
		return err
	}
	total := 0
	for i := range batch {
		r := &batch[i]
		if r.Topic != p.topic || r.QueueID != p.queueID || message.TransactionState(r.SysFlag) != message.TransactionNone {
			return fmt.Errorf("%w: a batch is of one topic and queue, and no transaction", ErrBadRecord)
		}
		if err := p.appendRecord(r); err != nil {
			return err
		}
		if total += len(r.Body); total > int(p.s.cfg.MaxMessageSize) {
			return fmt.Errorf("%w: a batch with more than %d bytes of bodies", ErrMessageTooLarge, p.s.cfg.MaxMessageSize)
		}
	}
	p.res.Physicals = make([]int64, 0, len(batch))
	return nil
}

func (p *put) target(r *message.Record) (err error) {
	p.topic, p.queueID = r.Topic, r.QueueID
	state := message.TransactionState(r.SysFlag)
	p.counted = state == message.TransactionNone || state == message.TransactionCommit
	p.q, err = p.s.ensureQueue(r.Topic, r.QueueID)
	return err
}

func (p *put) appendRecord(r *message.Record) (err error) {
	if len(r.Body) > int(p.s.cfg.MaxMessageSize) {
		return fmt.Errorf("%w: body of %d bytes, the limit is %d", ErrMessageTooLarge, len(r.Body), p.s.cfg.MaxMessageSize)
	}
	if commitlog.LooksLost(r.Properties) {
		return fmt.Errorf("%w: properties are text; these begin or end with a zero byte, or hold a sector of them, which is how a "+
			"disk loses them", ErrBadRecord)
	}
	rec := *r
	rec.QueueOffset, rec.PhysicalOffset, rec.StoreTimestamp = 0, 0, 0
	rec.StoreHost = p.s.cfg.StoreHost
	if p.buf, err = message.AppendRecord(p.buf, &rec); err != nil {
		return fmt.Errorf("%w: %w", ErrMessageTooLarge, err)
	}
	return nil
}

// Admit runs under the append lock.
func (p *put) Admit() (err error) {
	if err := p.s.refuse(); err != nil && !(p.req.WhenFull && errors.Is(err, ErrDiskFull)) {
		return err
	}
	if p.q.gone {
		if p.q, err = p.s.ensureQueue(p.topic, p.queueID); err != nil {
			return err
		}
	}
	if p.req.Gate != nil {
		return p.req.Gate.Admit(p.q.next)
	}
	return nil
}

// Place runs under the append lock: here queue offsets are given out.
func (p *put) Place(b []byte, phys, storeTimestamp int64) {
	offset := int64(0)
	if p.counted {
		offset = p.q.next
	}
	p.res.QueueOffset, p.res.PhysicalOffset, p.res.StoreTimestamp = offset, phys, storeTimestamp
	for at := int64(0); len(b) > 0; {
		size, _, err := message.ParseHead(b)
		if err != nil {
			panic("BUG: the store encoded what is no record: " + err.Error())
		}
		message.PatchStored(b[:size], offset, phys+at, storeTimestamp)
		if p.res.Physicals != nil {
			p.res.Physicals = append(p.res.Physicals, phys+at)
		}
		if p.counted {
			offset++
		}
		b, at = b[size:], at+int64(size)
	}
	if p.counted {
		p.q.next = offset
	}
	if p.req.Gate != nil {
		p.req.Gate.Appended(p.res.QueueOffset, phys)
	}
}

// Done answers the request and keeps p for the next one.
func (p *put) Done(err error) {
	req, res, s := p.req, p.res, p.s
	if err != nil {
		res.Err = mapError(err)
		s.metrics.refused.Add(1)
	} else {
		s.metrics.appended.Add(1)
		s.metrics.appendedBytes.Add(int64(len(p.buf)))
	}
	if cap(p.buf) > largestKept {
		p.buf = nil
	}
	*p = put{s: s, buf: p.buf}
	s.puts.Put(p)
	req.Done(res)
}
