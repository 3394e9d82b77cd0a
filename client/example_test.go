package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
)

func ExampleProducer() {
	ctx := context.Background()
	p, err := client.NewProducer(client.WithNameServers("127.0.0.1:9876"), client.WithGroup("orders"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := p.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(ctx)

	m := message.New("orders", []byte(`{"id": 7}`))
	m.SetKeys("7")
	res, err := p.SendByKey(ctx, m, []byte("customer 12")) // keeps a customer's orders in order
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(res.Queue, res.QueueOffset)
}

func ExampleProducer_SendInTransaction() {
	ctx := context.Background()
	p, err := client.NewProducer(client.WithNameServers("127.0.0.1:9876"), client.WithGroup("orders"),
		client.WithTransactionChecker(func(_ context.Context, half *client.ReceivedMessage) client.TransactionState {
			// Look the order up: was its local transaction committed?
			return client.TransactionCommit
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := p.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close(ctx)

	_, err = p.SendInTransaction(ctx, message.New("orders", []byte("order 7")),
		func(context.Context, *message.Message) client.TransactionState {
			// Commit the order to the database here.
			return client.TransactionCommit
		})
	fmt.Println(err)
}

func ExamplePushConsumer() {
	ctx := context.Background()
	c, err := client.NewPushConsumer("billing",
		func(_ context.Context, msgs []*client.ReceivedMessage) error {
			for _, m := range msgs {
				fmt.Printf("%s %s\n", m.ID(), m.Body)
			}
			return nil // an error: the same messages again, after a back-off
		},
		client.WithNameServers("127.0.0.1:9876"),
		client.WithSubscription("orders", "new || changed"),
		client.WithStart(client.StartFirst()))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(ctx)
}

func ExampleReader() {
	ctx := context.Background()
	r, err := client.NewReader(client.WithNameServers("127.0.0.1:9876"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := r.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close(ctx)

	queue := message.Queue{Topic: "orders", BrokerName: "broker-a", QueueID: 0}
	offset, err := r.Min(ctx, queue)
	for err == nil {
		var res client.PullResult
		res, err = r.Pull(ctx, queue, offset, client.PullOptions{MaxMsgs: 256, Wait: 15 * time.Second})
		for _, m := range res.Messages {
			fmt.Println(m.QueueOffset, len(m.Body))
		}
		offset = res.Next
	}
	var below *client.OffsetBelowError
	if errors.As(err, &below) {
		fmt.Printf("messages %d to %d are gone\n", offset, below.Min-1)
	}
}

func ExampleWriter() {
	ctx := context.Background()
	w, err := client.NewWriter("pipeline-7", client.WithNameServers("127.0.0.1:9876"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := w.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close(ctx)

	// Take the writer above every term that is known, then see what is true.
	var (
		state  client.WriterState
		opener = rand.Text()
		stale  *client.StaleError
	)
	for term := uint64(1); ; term = stale.Known + 1 {
		if state, err = w.Open(ctx, "broker-a", term, opener); !errors.As(err, &stale) {
			break
		}
	}
	if err != nil || len(state.Queues) == 0 {
		fmt.Println(err)
		return
	}

	// A half behind the queue's last message, decided afterwards.
	last := state.Queues[0]
	half, err := w.SendHalf(ctx, last.Queue, message.New("", []byte("rows")),
		client.Link{Lo: last.Hi + 1, Hi: last.Hi + 10, Prev: last.Hi, From: "first", To: "last"})
	if err != nil {
		fmt.Println(err)
		return
	}
	results, err := w.Resolve(ctx, "broker-a", []client.HalfRef{half}, nil)
	switch {
	case errors.Is(err, client.ErrFenced):
		fmt.Println("somebody else is the writer now")
	case err == nil && results[0].Code == client.ResolveCommitted:
		fmt.Println("visible at", results[0].Offset)
	}
}
