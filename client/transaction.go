package client

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/client/internal/session"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// TransactionState is what became of a local transaction.
type TransactionState int

// A transaction that is TransactionUnknown is asked for again later by the broker.
const (
	TransactionUnknown TransactionState = iota
	TransactionCommit
	TransactionRollback
)

// wire is the state as END_TRANSACTION carries it.
func (s TransactionState) wire() int32 {
	switch s {
	case TransactionCommit:
		return message.TransactionCommit
	case TransactionRollback:
		return message.TransactionRollback
	}
	return message.TransactionNone
}

// TransactionChecker tells a broker what became of the local transaction of a half
// message, possibly one that another process of the group sent. It runs on a goroutine
// of its own.
type TransactionChecker func(ctx context.Context, half *ReceivedMessage) TransactionState

// TransactionResult is a half message and what was decided about it.
type TransactionResult struct {
	SendResult
	State TransactionState
}

// SendInTransaction stores m invisibly, runs local, and makes m visible if local says
// commit, or discards it. With TransactionUnknown, and when the decision may not have
// arrived (ErrUncertain, with the result filled in), the broker asks the group's
// TransactionChecker later. local does not run when m could not be stored safely.
func (p *Producer) SendInTransaction(ctx context.Context, m *message.Message,
	local func(context.Context, *message.Message) TransactionState) (TransactionResult, error) {
	half := *m
	half.SysFlag = message.WithTransactionState(m.SysFlag, message.TransactionPrepared)
	o, err := p.prepare(&half,
		remoting.Field{Key: message.PropertyTransactionPrepared, Value: "true"},
		remoting.Field{Key: message.PropertyProducerGroup, Value: p.cfg.group})
	if err != nil {
		return TransactionResult{}, err
	}
	a := newAwait[SendResult]()
	p.launch(ctx, o, p.anyQueue, a.done)
	sent, err := a.wait(ctx)
	if err != nil {
		return TransactionResult{}, err
	}
	res := TransactionResult{SendResult: sent}
	if sent.Status != SendOK {
		res.State = TransactionRollback
		return res, p.endHalf(ctx, &res)
	}
	res.State = local(ctx, m)
	return res, p.endHalf(ctx, &res)
}

// endHalf tells the broker the decision about a half that was just sent.
func (p *Producer) endHalf(ctx context.Context, r *TransactionResult) error {
	if r.State == TransactionUnknown {
		return nil
	}
	_, phys, err := message.ParseOffsetMsgID(r.OffsetMsgID)
	if err != nil {
		return fmt.Errorf("%w: the answer to a half names no place: %w", ErrUncertain, err)
	}
	e := protocol.EndTransactionHeader{
		Topic: r.Queue.Topic, ProducerGroup: p.cfg.group, TranStateTableOffset: r.QueueOffset, CommitLogOffset: phys,
		CommitOrRollback: r.State.wire(), MsgID: r.MsgID, TransactionID: r.TransactionID, BrokerName: r.Queue.BrokerName,
	}
	_, err = p.s.Call(ctx, e.BrokerName, func() *remoting.Command { return session.Request(protocol.EndTransaction, &e) })
	if err != nil {
		return fmt.Errorf("%w: end transaction %s at broker %s: %w", ErrUncertain, e.TransactionID, e.BrokerName, err)
	}
	return nil
}

// serve takes check-backs. It runs on a connection's reader.
func (p *Producer) serve(req *remoting.Command) bool {
	if req.Code != protocol.CheckTransactionState {
		return false
	}
	if p.cfg.check == nil {
		return true
	}
	half, e, err := parseCheck(req, p.cfg.group)
	if err != nil {
		p.s.Log().Warn("check-back cannot be read", "error", err)
		return true
	}
	select {
	case p.checks <- struct{}{}:
	default: // the broker asks again
		return true
	}
	if !p.s.Go(func() { defer func() { <-p.checks }(); p.answerCheck(half, e) }) {
		<-p.checks
	}
	return true
}

// parseCheck reads a check-back into memory of its own.
func parseCheck(req *remoting.Command, group string) (*ReceivedMessage, *protocol.EndTransactionHeader, error) {
	var h protocol.CheckTransactionStateHeader
	r, _, err := message.ParseRecord(bytes.Clone(req.Body))
	if err = errors.Join(err, h.Decode(req)); err != nil {
		return nil, nil, err
	}
	if r.Body, err = message.Decompress(r.Body, r.SysFlag); err != nil {
		return nil, nil, err
	}
	id, ok := r.Property(message.PropertyUniqueKey)
	if !ok {
		id = h.MsgID
	}
	return &ReceivedMessage{Record: r, BrokerName: h.BrokerName}, &protocol.EndTransactionHeader{
		Topic: r.Topic, ProducerGroup: group, TranStateTableOffset: h.TranStateTableOffset, CommitLogOffset: h.CommitLogOffset,
		FromTransactionCheck: true, MsgID: id, TransactionID: cmp.Or(h.TransactionID, id), BrokerName: h.BrokerName,
	}, nil
}

// answerCheck asks the application and sends its answer to the half's broker.
func (p *Producer) answerCheck(half *ReceivedMessage, e *protocol.EndTransactionHeader) {
	ctx := p.s.Context()
	e.CommitOrRollback = p.cfg.check(ctx, half).wire()
	addr := half.StoreHost.String()
	if e.BrokerName != "" {
		a, err := p.s.Master(ctx, e.BrokerName)
		if err != nil {
			return // the broker asks again
		}
		addr = a
	}
	if err := p.s.Oneway(ctx, addr, session.Request(protocol.EndTransaction, e)); err != nil && ctx.Err() == nil {
		p.s.Log().Warn("answer to a check-back cannot be sent", "broker", addr, "error", err)
	}
}
