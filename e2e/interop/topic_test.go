package interop

import (
	"context"
	"testing"
	"time"

	rmqadmin "github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
)

func (c *cluster) createTopic(t *testing.T, name string, queues int) {
	t.Helper()
	a, err := admin.New(client.WithNameServers(c.names.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer a.Close(ctx)
	waitFor(t, "the broker's registration", func() bool {
		return a.CreateTopic(ctx, admin.TopicConfig{Name: name, Queues: queues}, "") == nil
	})
}

// committed is the offset of a group in queue 0 of a topic.
func (c *cluster) committed(t *testing.T, group, topic string) int64 {
	t.Helper()
	a, err := admin.New(client.WithNameServers(c.names.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer a.Close(ctx)
	all, err := a.ConsumerOffsets(ctx, group, topic)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	return all[0].Committed
}

// TestGoClientSendsToATopicItHasJustMade: the answer to a creation promises that the name
// server knows the topic. A client that asks too early takes the default topic's route and
// sends to queues that are not there.
func TestGoClientSendsToATopicItHasJustMade(t *testing.T) {
	c := startCluster(t, nil)
	c.createTopic(t, "another", 1) // so that the broker is registered
	p := startProducer(t, c)
	a, err := rmqadmin.NewAdmin(rmqadmin.WithResolver(c.resolver()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	for n := range 40 {
		topic := text("fresh", n)
		err := a.CreateTopic(t.Context(), rmqadmin.WithTopicCreate(topic), rmqadmin.WithBrokerAddrCreate(c.broker.Addr()),
			rmqadmin.WithReadQueueNums(1), rmqadmin.WithWriteQueueNums(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.SendSync(t.Context(), primitive.NewMessage(topic, []byte("x"))); err != nil {
			t.Errorf("the first message to %s: %v", topic, err)
		}
	}
}
