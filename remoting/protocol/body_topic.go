package protocol

import (
	"fmt"
	"strconv"
	"strings"
)

// TopicConfig is a topic as a broker keeps it.
type TopicConfig struct {
	TopicName       string            `json:"topicName"`
	ReadQueueNums   int32             `json:"readQueueNums"`
	WriteQueueNums  int32             `json:"writeQueueNums"`
	Perm            int32             `json:"perm"`
	TopicFilterType string            `json:"topicFilterType"`
	TopicSysFlag    int32             `json:"topicSysFlag"`
	Order           bool              `json:"order"`
	Attributes      map[string]string `json:"attributes,omitempty"`
}

// text is the one-line form in a compressed registration: name, read queues,
// write queues, perm, filter type, attributes in JSON.
func (t *TopicConfig) text() (string, error) {
	attributes := []byte("{}")
	if len(t.Attributes) > 0 {
		var err error
		if attributes, err = marshal(t.Attributes); err != nil {
			return "", err
		}
	}
	filter := t.TopicFilterType
	if filter == "" {
		filter = FilterSingleTag
	}
	return fmt.Sprintf("%s %d %d %d %s %s", t.TopicName, t.ReadQueueNums, t.WriteQueueNums, t.Perm, filter, attributes), nil
}

func (t *TopicConfig) parseText(s string) error {
	f := strings.SplitN(s, " ", 6)
	if len(f) < 5 {
		return fmt.Errorf("topic %q has %d fields, the least is 5", s[:min(len(s), 64)], len(f))
	}
	*t = TopicConfig{TopicName: f[0], TopicFilterType: f[4]}
	for i, p := range []*int32{&t.ReadQueueNums, &t.WriteQueueNums, &t.Perm} {
		n, err := strconv.ParseInt(f[i+1], 10, 32)
		if err != nil {
			return fmt.Errorf("topic %q: field %d: %w", f[0], i+1, err)
		}
		*p = int32(n)
	}
	if len(f) == 6 && f[5] != "" {
		return DecodeBody([]byte(f[5]), &t.Attributes)
	}
	return nil
}

// TopicConfigTable answers GetAllTopicConfig (21) and is a part of a
// registration.
type TopicConfigTable struct {
	TopicConfigTable map[string]TopicConfig `json:"topicConfigTable"`
	DataVersion      DataVersion            `json:"dataVersion"`
}

func (t *TopicConfigTable) encodeBody() ([]byte, error) {
	c := *t
	if c.TopicConfigTable == nil {
		c.TopicConfigTable = map[string]TopicConfig{}
	}
	return marshal(c)
}

// SubscriptionGroupConfig is a consumer group as a broker keeps it; the body
// of UpdateAndCreateSubscriptionGroup (200).
type SubscriptionGroupConfig struct {
	GroupName                      string            `json:"groupName"`
	ConsumeEnable                  bool              `json:"consumeEnable"`
	ConsumeFromMinEnable           bool              `json:"consumeFromMinEnable"`
	ConsumeBroadcastEnable         bool              `json:"consumeBroadcastEnable"`
	ConsumeMessageOrderly          bool              `json:"consumeMessageOrderly"`
	RetryQueueNums                 int32             `json:"retryQueueNums"`
	RetryMaxTimes                  int32             `json:"retryMaxTimes"`
	BrokerID                       int64             `json:"brokerId"`
	WhichBrokerWhenConsumeSlowly   int64             `json:"whichBrokerWhenConsumeSlowly"`
	NotifyConsumerIDsChangedEnable bool              `json:"notifyConsumerIdsChangedEnable"`
	GroupSysFlag                   int32             `json:"groupSysFlag"`
	ConsumeTimeoutMinute           int32             `json:"consumeTimeoutMinute"`
	Attributes                     map[string]string `json:"attributes,omitempty"`
}

// DefaultSubscriptionGroup is a new group. Decode over it: what a request
// leaves out keeps its default.
func DefaultSubscriptionGroup(name string) SubscriptionGroupConfig {
	return SubscriptionGroupConfig{
		GroupName:                      name,
		ConsumeEnable:                  true,
		ConsumeFromMinEnable:           true,
		ConsumeBroadcastEnable:         true,
		RetryQueueNums:                 1,
		RetryMaxTimes:                  16,
		WhichBrokerWhenConsumeSlowly:   1,
		NotifyConsumerIDsChangedEnable: true,
		ConsumeTimeoutMinute:           15,
	}
}

// SubscriptionGroupTable answers GetAllSubscriptionGroupConfig (201).
type SubscriptionGroupTable struct {
	SubscriptionGroupTable map[string]SubscriptionGroupConfig `json:"subscriptionGroupTable"`
	ForbiddenTable         map[string]map[string]int32        `json:"forbiddenTable"`
	DataVersion            DataVersion                        `json:"dataVersion"`
}

func (t *SubscriptionGroupTable) encodeBody() ([]byte, error) {
	c := *t
	if c.SubscriptionGroupTable == nil {
		c.SubscriptionGroupTable = map[string]SubscriptionGroupConfig{}
	}
	if c.ForbiddenTable == nil {
		c.ForbiddenTable = map[string]map[string]int32{}
	}
	return marshal(c)
}
