package client

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/millrace/millrace/message"
)

// BenchmarkProducer64InFlight is the client's own cost of a send: the broker is a fake in
// the same process, whose allocations are counted with it.
func BenchmarkProducer64InFlight(b *testing.B) {
	c := newFakeCluster(b, "a")
	c.broker["a"].quiet = true
	c.topic("T", 8)
	p := newTestProducer(b, c, WithMaxInFlight(64, 64<<20))
	benchmarkSends(b, p)
}

// BenchmarkProducer64InFlightBroker is the same against the real broker, with the store
// on disk and every answer after a flush.
func BenchmarkProducer64InFlightBroker(b *testing.B) {
	c := newCluster(b, 1, nil)
	c.topic("T", 8, "")
	benchmarkSends(b, c.producer(WithMaxInFlight(64, 64<<20)))
}

func benchmarkSends(b *testing.B, p *Producer) {
	b.Helper()
	body := bytes.Repeat([]byte("x"), 1024)
	ctx := b.Context()
	failed := make(chan error, 1)
	done := func(_ SendResult, err error) {
		if err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}
	if _, err := p.Send(ctx, message.New("T", body)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	m := message.New("T", body)
	for b.Loop() {
		p.SendAsync(ctx, m, done)
	}
	b.StopTimer()
	if err := p.Close(within(b)); err != nil {
		b.Fatal(err)
	}
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
}

// BenchmarkSendRequest is the part before the socket: properties, header, command.
func BenchmarkSendRequest(b *testing.B) {
	c := defaultSendConfig()
	m := message.New("T", bytes.Repeat([]byte("x"), 1024))
	q := message.Queue{Topic: "T", BrokerName: "a", QueueID: 3}
	b.ReportAllocs()
	for b.Loop() {
		o, err := c.prepare(m, "group", "7F0000010539000000000000000A0001", nil)
		if err != nil {
			b.Fatal(err)
		}
		o.request(q)
	}
}

// BenchmarkPullAnswer decodes an answer of 512 messages, with and without room that is used
// again.
func BenchmarkPullAnswer(b *testing.B) {
	rec := message.Record{Topic: "T", Body: bytes.Repeat([]byte("x"), 1024), StoreHost: storeHost, BornHost: storeHost}
	var body []byte
	for i := range int64(512) {
		rec.QueueOffset = i
		var err error
		if body, err = message.AppendRecord(body, &rec); err != nil {
			b.Fatal(err)
		}
	}
	for _, reuse := range []bool{false, true} {
		b.Run(fmt.Sprintf("reuse=%t", reuse), func(b *testing.B) {
			var room []ReceivedMessage
			b.ReportAllocs()
			for b.Loop() {
				got, err := parseMessages(body, "a", true, room)
				if err != nil || len(got) != 512 {
					b.Fatal(len(got), err)
				}
				if reuse {
					room = got
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(512*b.N), "ns/message")
		})
	}
}
