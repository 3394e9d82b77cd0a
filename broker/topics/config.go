package topics

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

// WriterAttribute declares that a topic's queues are owned by one writer, whose name is
// its value.
const WriterAttribute = "millrace.writer"

// Errors that refuse a topic; all are wrapped with its name.
var (
	ErrName    = errors.New("not a topic's name")
	ErrSystem  = errors.New("a system topic cannot be created, changed or deleted")
	ErrInvalid = errors.New("not a topic's configuration")
	ErrOwned   = errors.New("the topic's queues are owned by a writer")
	ErrTooMany = errors.New("too many topics or queues on this broker")
	ErrUnknown = errors.New("no such topic")
)

// Config is one topic. Attributes must not be changed once the Config is registered.
type Config protocol.TopicConfig

// Writer is the name of the writer that owns the topic's queues, "" for an ordinary
// topic.
func (c *Config) Writer() string { return c.Attributes[WriterAttribute] }

// Readable and Writable tell what perm allows.
func (c *Config) Readable() bool { return c.Perm&protocol.PermRead != 0 }

// Writable is Readable's other half.
func (c *Config) Writable() bool { return c.Perm&protocol.PermWrite != 0 }

// Queues is the number of queues that exist, for reading or writing.
func (c *Config) Queues() int32 { return max(c.ReadQueueNums, c.WriteQueueNums) }

func (c *Config) equal(o *Config) bool {
	return c.ReadQueueNums == o.ReadQueueNums && c.WriteQueueNums == o.WriteQueueNums && c.Perm == o.Perm &&
		c.TopicFilterType == o.TopicFilterType && c.TopicSysFlag == o.TopicSysFlag && c.Order == o.Order &&
		maps.Equal(c.Attributes, o.Attributes)
}

// validate checks what a client asked for.
func (c *Config) validate(maxQueues int32) error {
	if err := message.CheckTopic(c.TopicName); err != nil {
		return fmt.Errorf("%w: %w", ErrName, err)
	}
	if message.IsSystemTopic(c.TopicName) {
		return fmt.Errorf("topic %s: %w", c.TopicName, ErrSystem)
	}
	if c.ReadQueueNums < 0 || c.WriteQueueNums < 0 || c.Queues() < 1 || c.Queues() > maxQueues {
		return fmt.Errorf("topic %s has %d read and %d write queues, 1 to %d are possible: %w",
			c.TopicName, c.ReadQueueNums, c.WriteQueueNums, maxQueues, ErrInvalid)
	}
	if c.Perm < 0 || c.Perm > protocol.PermRead|protocol.PermWrite|protocol.PermInherit {
		return fmt.Errorf("topic %s: perm %d is no sum of 4 (read), 2 (write) and 1 (inherit): %w", c.TopicName, c.Perm, ErrInvalid)
	}
	if w, ok := c.Attributes[WriterAttribute]; ok && !writerName.MatchString(w) {
		return fmt.Errorf("topic %s: attribute %s is %q, not a writer's name: %w", c.TopicName, WriterAttribute, w, ErrInvalid)
	}
	for _, a := range missing {
		if strings.EqualFold(c.Attributes[a.key], a.value) {
			return fmt.Errorf("topic %s: attribute %s=%s: %s, which this broker does not do yet: %w", c.TopicName, a.key,
				a.value, a.means, ErrInvalid)
		}
	}
	return nil
}

// missing are attributes of RocketMQ's that would be a promise which nobody keeps.
var missing = []struct{ key, value, means string }{
	{"cleanup.policy", "COMPACTION", "the newest message of each key stays for ever"},
	{"queue.type", "BatchCQ", "batches are kept as one message"},
}

var writerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

const (
	maxAttributes   = 64
	maxAttributeLen = 1024
)

// ChangeAttributes applies RocketMQ's notation "+key=value,-key" to old. A new topic can
// only be given attributes, not taken.
func ChangeAttributes(old map[string]string, change string) (map[string]string, error) {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]string{}
	}
	for item := range strings.SplitSeq(change, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		key, value, hasValue := strings.Cut(item[1:], "=")
		switch {
		case item[0] == '+' && hasValue && key != "":
			if len(key)+len(value) > maxAttributeLen || len(out) >= maxAttributes {
				return nil, fmt.Errorf("attribute %.40q: more than %d attributes or %d bytes: %w", key, maxAttributes, maxAttributeLen, ErrInvalid)
			}
			out[key] = value
		case item[0] == '-' && !hasValue && key != "":
			delete(out, key)
		default:
			return nil, fmt.Errorf("attribute %.40q is neither +key=value nor -key: %w", item, ErrInvalid)
		}
	}
	return out, nil
}
