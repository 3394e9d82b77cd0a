package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/pipeline/event"
)

// PurgeTopics deletes every topic of a pipeline that nobody runs any more, and with them
// what its sinks have read. It returns those that it deleted, with an error as well; asking
// again deletes what is left.
func (e *Endpoint) PurgeTopics(ctx context.Context, pipelineName string) (removed []string, err error) {
	opts := []client.Option{client.WithNameServers(e.cfg.NameServers), client.WithLogger(e.log)}
	a, err := admin.New(append(opts, e.cfg.Options...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	defer func() { err = errors.Join(err, a.Close(context.WithoutCancel(ctx))) }()
	if err := a.Start(ctx); err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	topics, err := a.Topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the topics: %w", err)
	}
	for _, topic := range topics {
		if !strings.HasPrefix(topic, event.TopicPrefix(pipelineName)) {
			continue
		}
		if err := a.ForceDeleteTopic(ctx, topic, ""); err != nil && !errors.Is(err, admin.ErrNoTopic) {
			return removed, fmt.Errorf("delete topic %s: %w", topic, err)
		}
		removed = append(removed, topic)
	}
	return removed, nil
}
