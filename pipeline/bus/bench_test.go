package bus

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/event"
)

// sieve is a writer that takes everything and keeps nothing.
type sieve struct{ n int64 }

func (s *sieve) Open(_ context.Context, _ string, term uint64, _ string) (client.WriterState, error) {
	return client.WriterState{Term: term, BaseOffset: -1}, nil
}

func (s *sieve) Send(context.Context, message.Queue, *message.Message, client.Link) (client.SendResult, error) {
	return client.SendResult{QueueOffset: -1}, nil
}

func (s *sieve) SendHalfAsync(_ message.Queue, _ *message.Message, _ client.Link, done func(client.HalfRef, error)) {
	done(client.HalfRef{ID: "AC1100010000000000000000000000@123456789", TransactionID: "AC1100010000000000000000000000"}, nil)
}

func (s *sieve) Resolve(_ context.Context, _ string, commit, _ []client.HalfRef) ([]client.ResolveResult, error) {
	out := make([]client.ResolveResult, len(commit))
	for i := range out {
		out[i].Code = client.ResolveCommitted
	}
	return out, nil
}

// BenchmarkAdd is what a row of 160 bytes costs from an item to its encoded slice, in
// transactions of 1 and of 1000 rows, over 4 queues.
func BenchmarkAdd(b *testing.B) {
	for name, rows := range map[string]int{"rows/tx=1": 1, "rows/tx=1000": 1000} {
		b.Run(name, func(b *testing.B) { benchmarkAdd(b, rows) })
	}
}

func benchmarkAdd(b *testing.B, rows int) {
	t := event.TableName{DB: "shop", Table: "orders"}
	p, err := newPublisher(PublisherConfig{Pipeline: "p", Broker: "b"}, slog.New(slog.DiscardHandler),
		func(context.Context) (publisherDeps, error) {
			tw := newTwin()
			return publisherDeps{writer: &sieve{}, reader: tw, topics: tw}, nil
		})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := p.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	schema := scriptSchema(t, 0)
	table := &event.Table{Name: t, Schema: schema, KeyColumns: []int{0}, Queues: 4}
	var images []event.Image
	for k := range 64 {
		images = append(images, scriptImage(schema, int64(k*7919), strings.Repeat("x", 155)))
	}
	seq := event.MakeSeq(1, 2)
	items := make([]event.Item, 0, rows+1)
	commit := &event.Position{File: "log"}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		items = items[:0]
		tx := &event.Tx{ID: "0-1-1234567", CommitTime: time.Unix(1700000000, 0)}
		for i := range rows {
			items = append(items, event.Item{Kind: event.KindRow, Op: event.OpCreate, Index: uint64(i), Seq: seq, Table: table, Tx: tx, After: images[i&63]})
			seq += 2
		}
		items = append(items, event.Item{Kind: event.KindCommit, Seq: seq, Tx: tx, Commit: commit})
		seq += 2
		if err := p.Add(ctx, items); err != nil {
			b.Fatal(err)
		}
		n += rows
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
	cancel()
	<-ran
}
