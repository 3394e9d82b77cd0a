package processor

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/millrace/millrace/broker/groups"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/topics"
	"github.com/millrace/millrace/remoting/protocol"
)

func TestEachErrorHasItsCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{store.ErrDiskFull, protocol.ServiceNotAvailable},
		{syscall.ENOSPC, protocol.ServiceNotAvailable},
		{store.ErrNotWritable, protocol.ServiceNotAvailable},
		{store.ErrFlushTimeout, protocol.FlushDiskTimeout},
		{store.ErrMessageTooLarge, protocol.MessageIllegal},
		{store.ErrBadRecord, protocol.MessageIllegal},
		{store.ErrFailed, protocol.SystemError},
		{topics.ErrUnknown, protocol.TopicNotExist},
		{topics.ErrName, protocol.InvalidParameter},
		{topics.ErrOwned, protocol.InvalidParameter},
		{groups.ErrTooMany, protocol.SystemError},
		{refuse(protocol.Gap, "x"), protocol.Gap},
		{errors.New("anything"), protocol.SystemError},
	} {
		if got, _ := refusalOf(fmt.Errorf("wrapped: %w", c.err)); got != c.want {
			t.Errorf("%v is answered %d, want %d", c.err, got, c.want)
		}
	}
}

func TestAnOffsetBelowTheMinimumIsCounted(t *testing.T) {
	p := New(Config{}, Deps{Metrics: NewMetrics(nil)})
	c := &pullCall{p: p, header: protocol.PullHeader{Topic: "orders", ConsumerGroup: "g", QueueOffset: 3}}
	code, remark := c.judge(&store.GetResult{Status: store.OffsetTooSmall, Min: 10, Max: 20, NextOffset: 10})
	if code != protocol.PullOffsetMoved || remark != "OFFSET_TOO_SMALL" || p.Metrics.BelowMin.Load() != 1 ||
		p.Metrics.flow("orders", "g").belowMin.Load() != 1 {
		t.Fatalf("%d %s, counted %d", code, remark, p.Metrics.BelowMin.Load())
	}
}

func TestFlowsAreBounded(t *testing.T) {
	m := NewMetrics(nil)
	for i := range maxFlows + 10 {
		m.delivered("orders", fmt.Sprint("g", i), 1, 1)
	}
	if n := m.outCount.Load(); n != maxFlows || m.Gets.Load() != maxFlows+10 {
		t.Fatalf("%d flows, %d messages", n, m.Gets.Load())
	}
	m.forget("orders")
	if n := m.outCount.Load(); n != 0 {
		t.Fatalf("%d flows of a deleted topic", n)
	}
}
