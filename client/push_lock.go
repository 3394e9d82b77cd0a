package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// lock asks the queue's broker for its lock until it has it. A broker without locks is
// taken as it is: order then holds within this process.
func (w *worker) lock() (held, ok bool) {
	for {
		ok, err := w.tryLock()
		if ok {
			return true, true
		}
		if errors.Is(err, &AnswerError{Code: protocol.RequestCodeNotSupported}) {
			w.warn("this broker has no queue locks; while the group changes, two members may handle a queue", err)
			return false, true
		}
		if err != nil && w.ctx.Err() == nil {
			w.warn("queue cannot be locked", err)
		}
		if !w.pause(w.c.cfg.session.RetryBackoff) {
			return false, false
		}
	}
}

func (w *worker) lockBody() *protocol.LockBatch {
	return &protocol.LockBatch{ConsumerGroup: w.c.group, ClientID: w.c.s.ClientID(), MQSet: []message.Queue{w.q}}
}

func (w *worker) tryLock() (bool, error) {
	body, err := protocol.EncodeBody(w.lockBody())
	if err != nil {
		return false, err
	}
	ans, err := w.c.s.Call(w.ctx, w.q.BrokerName, func() *remoting.Command {
		req := remoting.NewRequest(protocol.LockBatchMQ)
		req.Body = body
		return req
	})
	var got protocol.LockBatchResponse
	if err == nil {
		err = protocol.DecodeBody(ans.Body, &got)
	}
	if err != nil {
		return false, err
	}
	return slices.Contains(got.LockOKMQSet, w.q), nil
}

// lockLease is how long a client may believe in a lock that it could not renew; brokers
// keep it twice as long.
const lockLease = 30 * time.Second

// keepLock renews the lock. When the broker refuses, or does not answer for as long as
// the lock counts, the queue is given up, and taken again by the next sharing.
func (w *worker) keepLock() {
	until := time.Now().Add(lockLease)
	for w.pause(w.c.cfg.relock) {
		ok, err := w.tryLock()
		switch {
		case ok:
			until = time.Now().Add(lockLease)
		case w.ctx.Err() != nil:
			return
		case err == nil || time.Now().After(until):
			w.warn("queue's lock is lost", err)
			w.cancel()
			return
		}
	}
}

// unlock gives the lock back, so that the next member need not wait for it.
func (w *worker) unlock() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), w.c.cfg.session.RequestTimeout)
	defer cancel()
	body, err := protocol.EncodeBody(w.lockBody())
	if err == nil {
		_, err = w.c.s.Call(ctx, w.q.BrokerName, func() *remoting.Command {
			req := remoting.NewRequest(protocol.UnlockBatchMQ)
			req.Body = body
			return req
		})
	}
	if err != nil {
		w.warn("queue's lock is not given back; it runs out by itself", err)
	}
}
