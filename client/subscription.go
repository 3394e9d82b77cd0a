package client

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

// subscription is what a consumer wants of one topic.
type subscription struct {
	topic      string
	expression string
	sql        bool
	tags       []string // nil: all
	version    int64
}

// parseSubscription reads "*" or "tag || tag", or keeps an SQL92 expression for brokers.
func parseSubscription(topic, expression string, sql bool, version int64) (subscription, error) {
	s := subscription{topic: topic, expression: expression, sql: sql, version: version}
	if err := message.CheckTopic(topic); err != nil {
		return s, fmt.Errorf("subscribe: %w", err)
	}
	if sql {
		if strings.TrimSpace(expression) == "" {
			return s, fmt.Errorf("subscribe to %s: the SQL expression is empty", topic)
		}
		return s, nil
	}
	if expression == "" || expression == protocol.SubscriptionAll {
		s.expression = protocol.SubscriptionAll
		return s, nil
	}
	for tag := range strings.SplitSeq(expression, "||") {
		if tag = strings.TrimSpace(tag); tag == "" {
			return s, fmt.Errorf("subscribe to %s: %q names an empty tag", topic, expression)
		}
		if tag == protocol.SubscriptionAll {
			return s, fmt.Errorf("subscribe to %s: %q mixes * with tags", topic, expression)
		}
		if !slices.Contains(s.tags, tag) {
			s.tags = append(s.tags, tag)
		}
	}
	return s, nil
}

// wants tells whether a message that the broker found is wanted: brokers compare only
// hashes of tags.
func (s *subscription) wants(m *ReceivedMessage) bool {
	return s.tags == nil || slices.Contains(s.tags, m.Tags())
}

// data is the subscription in a heartbeat.
func (s *subscription) data() protocol.SubscriptionData {
	d := protocol.SubscriptionData{Topic: s.topic, SubString: s.expression, SubVersion: s.version, ExpressionType: protocol.ExpressionTag}
	if s.sql {
		d.ExpressionType = protocol.ExpressionSQL92
	}
	for _, t := range s.tags {
		d.TagsSet = append(d.TagsSet, t)
		d.CodeSet = append(d.CodeSet, message.JavaHash(t))
	}
	return d
}
