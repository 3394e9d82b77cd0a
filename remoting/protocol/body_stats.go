package protocol

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/millrace/millrace/message"
)

// TopicOffset is the range of one queue.
type TopicOffset struct {
	MinOffset           int64 `json:"minOffset"`
	MaxOffset           int64 `json:"maxOffset"`
	LastUpdateTimestamp int64 `json:"lastUpdateTimestamp"`
}

// TopicStatsTable answers GetTopicStatsInfo (202). Its map is written with
// objects for keys, which is not JSON but the only form that mqadmin reads.
type TopicStatsTable struct {
	TopicPutTps float64
	OffsetTable map[message.Queue]TopicOffset
}

func (t *TopicStatsTable) encodeBody() ([]byte, error) {
	b, err := appendQueueMap([]byte(`{"offsetTable":`), t.OffsetTable)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(b, `,"topicPutTps":%s}`, formatRate(t.TopicPutTps)), nil
}

func (t *TopicStatsTable) decodeBody(b []byte) (err error) {
	var raw struct {
		TopicPutTps float64                `json:"topicPutTps"`
		OffsetTable map[string]TopicOffset `json:"offsetTable"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	t.TopicPutTps = raw.TopicPutTps
	t.OffsetTable, err = queueMap(raw.OffsetTable)
	return err
}

// OffsetWrapper is how far a group is in one queue.
type OffsetWrapper struct {
	BrokerOffset   int64 `json:"brokerOffset"`
	ConsumerOffset int64 `json:"consumerOffset"`
	PullOffset     int64 `json:"pullOffset"`
	LastTimestamp  int64 `json:"lastTimestamp"`
}

// ConsumeStats answers GetConsumeStats (208), in the form of TopicStatsTable.
type ConsumeStats struct {
	ConsumeTps  float64
	OffsetTable map[message.Queue]OffsetWrapper
}

func (s *ConsumeStats) encodeBody() ([]byte, error) {
	b := fmt.Appendf(nil, `{"consumeTps":%s,"offsetTable":`, formatRate(s.ConsumeTps))
	b, err := appendQueueMap(b, s.OffsetTable)
	return append(b, '}'), err
}

func (s *ConsumeStats) decodeBody(b []byte) (err error) {
	var raw struct {
		ConsumeTps  float64                  `json:"consumeTps"`
		OffsetTable map[string]OffsetWrapper `json:"offsetTable"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	s.ConsumeTps = raw.ConsumeTps
	s.OffsetTable, err = queueMap(raw.OffsetTable)
	return err
}

// appendQueueMap writes {{"brokerName":…,"queueId":…,"topic":…}:value,…} in
// the order of the queues.
func appendQueueMap[V any](dst []byte, m map[message.Queue]V) ([]byte, error) {
	queues := make([]message.Queue, 0, len(m))
	for q := range m {
		queues = append(queues, q)
	}
	slices.SortFunc(queues, func(a, b message.Queue) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.BrokerName, b.BrokerName), cmp.Compare(a.QueueID, b.QueueID))
	})
	dst = append(dst, '{')
	for i, q := range queues {
		if i > 0 {
			dst = append(dst, ',')
		}
		key, err := marshal(struct {
			BrokerName string `json:"brokerName"`
			QueueID    int32  `json:"queueId"`
			Topic      string `json:"topic"`
		}{q.BrokerName, q.QueueID, q.Topic})
		if err != nil {
			return nil, err
		}
		value, err := marshal(m[q])
		if err != nil {
			return nil, err
		}
		dst = append(append(append(dst, key...), ':'), value...)
	}
	return append(dst, '}'), nil
}

// queueMap reads the keys that quoteKeys made text.
func queueMap[V any](raw map[string]V) (map[message.Queue]V, error) {
	m := make(map[message.Queue]V, len(raw))
	for k, v := range raw {
		var q message.Queue
		if err := json.Unmarshal([]byte(k), &q); err != nil {
			return nil, fmt.Errorf("key %q is no message queue: %w", k[:min(len(k), 64)], err)
		}
		m[q] = v
	}
	return m, nil
}

// formatRate writes a rate the way Java writes a double.
func formatRate(f float64) string {
	b, err := json.Marshal(f)
	if err != nil { // not a number, or infinite: an idle counter divided by no time
		return "0.0"
	}
	if f == float64(int64(f)) && len(b) < 16 {
		return string(b) + ".0"
	}
	return string(b)
}
