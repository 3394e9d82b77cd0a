package interop

import (
	"context"
	"testing"
	"time"

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
