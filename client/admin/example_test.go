package admin_test

import (
	"context"
	"fmt"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
)

func ExampleClient_CreateTopic() {
	ctx := context.Background()
	c, err := admin.New(client.WithNameServers("127.0.0.1:9876"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := c.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(ctx)

	err = c.CreateTopic(ctx, admin.TopicConfig{
		Name: "shop.orders", Queues: 4,
		Attributes: map[string]string{admin.AttributeWriter: "pipeline-7"}, // owned by one writer
	}, "broker-a")
	fmt.Println(err)
}
