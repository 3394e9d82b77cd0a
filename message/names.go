package message

import (
	"fmt"
	"strings"
)

// Longest names. A retry or dead-letter topic holds a group's name behind its
// prefix.
const (
	MaxTopicLen      = 127
	MaxGroupTopicLen = 255
	MaxGroupLen      = 120
)

// Prefixes of topics that belong to a consumer group.
const (
	RetryTopicPrefix = "%RETRY%"
	DLQTopicPrefix   = "%DLQ%"
)

// Topics that brokers keep for themselves.
const (
	TopicAutoCreate           = "TBW102"
	TopicSelfTest             = "SELF_TEST_TOPIC"
	TopicBenchmark            = "BenchmarkTest"
	TopicOffsetMoved          = "OFFSET_MOVED_EVENT"
	TopicSchedule             = "SCHEDULE_TOPIC_XXXX"
	TopicTrace                = "RMQ_SYS_TRACE_TOPIC"
	TopicTransactionHalf      = "RMQ_SYS_TRANS_HALF_TOPIC"
	TopicTransactionOp        = "RMQ_SYS_TRANS_OP_HALF_TOPIC"
	TopicTransactionCheckMax  = "TRANS_CHECK_MAX_TIME_TOPIC"
	TopicTimer                = "rmq_sys_wheel_timer"
	TopicCheckpoint           = "CHECKPOINT_TOPIC"
	SystemTopicPrefix         = "rmq_sys_"
	GroupTransactionCheck     = "CID_RMQ_SYS_TRANS"
	GroupTools                = "TOOLS_CONSUMER"
	GroupDefaultProducer      = "DEFAULT_PRODUCER"
	GroupClientInnerProducer  = "CLIENT_INNER_PRODUCER"
	GroupSchedule             = "SCHEDULE_CONSUMER"
	GroupSystemConsumerPrefix = "CID_RMQ_SYS_"
)

// RetryTopic is where a group's failed messages wait for their next attempt.
func RetryTopic(group string) string { return RetryTopicPrefix + group }

// DLQTopic is where a group's messages go that failed too often.
func DLQTopic(group string) string { return DLQTopicPrefix + group }

// IsRetryTopic tells topics of RetryTopic.
func IsRetryTopic(topic string) bool { return strings.HasPrefix(topic, RetryTopicPrefix) }

// IsDLQTopic tells topics of DLQTopic.
func IsDLQTopic(topic string) bool { return strings.HasPrefix(topic, DLQTopicPrefix) }

// IsSystemTopic tells topics that every broker has and nobody may create or
// delete.
func IsSystemTopic(topic string) bool {
	switch topic {
	case TopicAutoCreate, TopicSelfTest, TopicBenchmark, TopicOffsetMoved, TopicSchedule, TopicTrace,
		TopicTransactionHalf, TopicTransactionOp, TopicTransactionCheckMax, TopicCheckpoint:
		return true
	}
	return strings.HasPrefix(topic, SystemTopicPrefix)
}

// IsForbiddenToSend tells topics that only the broker itself may write to.
func IsForbiddenToSend(topic string) bool {
	switch topic {
	case TopicSchedule, TopicTransactionHalf, TopicTransactionOp, TopicTransactionCheckMax,
		TopicSelfTest, TopicOffsetMoved, TopicTimer, TopicCheckpoint:
		return true
	}
	return false
}

// CheckTopic says why a topic cannot have this name. A name that passes is
// also safe as the name of a directory.
func CheckTopic(name string) error {
	limit := MaxTopicLen
	if IsRetryTopic(name) || IsDLQTopic(name) {
		limit = MaxGroupTopicLen
	}
	return checkName("topic", name, limit)
}

// CheckGroup says why a producer or consumer group cannot have this name.
func CheckGroup(name string) error { return checkName("group", name, MaxGroupLen) }

func checkName(what, name string, limit int) error {
	if name == "" {
		return fmt.Errorf("the %s's name is empty", what)
	}
	if len(name) > limit {
		return fmt.Errorf("the %s's name has %d bytes, the limit is %d", what, len(name), limit)
	}
	for i := 0; i < len(name); i++ {
		if !nameByte(name[i]) {
			return fmt.Errorf("the %s's name %q has a character at %d that is none of a-z A-Z 0-9 _ - %% |", what, name, i)
		}
	}
	return nil
}

func nameByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '_' || c == '-' || c == '%' || c == '|'
}
