package groups

import (
	"strings"

	"github.com/millrace/millrace/message"
)

// Everything is the expression that subscribes to all messages.
const Everything = "*"

// MaxExpression is the longest expression that callers should let in.
const MaxExpression = 16 << 10

// Subscription is what a group wants of one topic. It is immutable once registered.
type Subscription struct {
	Topic      string
	Expression string // "*" or tags joined by "||"
	Type       string // TAG or SQL92; empty means TAG
	Version    int64
	Tags       []string
	codes      map[int32]struct{} // nil wants everything
}

// ParseTags builds a subscription from a tag expression. Its errors are none: an
// expression without a tag means everything, as in RocketMQ.
func ParseTags(topic, expression string, version int64) *Subscription {
	s := &Subscription{Topic: topic, Expression: expression, Type: "TAG", Version: version}
	trimmed := strings.TrimSpace(expression)
	if trimmed == "" || trimmed == Everything {
		return s
	}
	for tag := range strings.SplitSeq(trimmed, "||") {
		if tag = strings.TrimSpace(tag); tag != "" {
			s.Tags = append(s.Tags, tag)
		}
	}
	if len(s.Tags) == 0 {
		return s
	}
	s.codes = make(map[int32]struct{}, len(s.Tags))
	for _, tag := range s.Tags {
		s.codes[message.JavaHash(tag)] = struct{}{}
	}
	return s
}

// Filter returns what Wants tests, nil when everything is wanted.
func (s *Subscription) Filter() func(tagsCode int64) bool {
	if s == nil || s.codes == nil {
		return nil
	}
	codes := s.codes // all that a parked pull needs to keep of s
	return func(tagsCode int64) bool {
		_, ok := codes[int32(tagsCode)]
		return ok
	}
}

// Wants tells whether a message with this tags code may be one that is wanted. Hashes
// collide: the client compares the tag itself.
func (s *Subscription) Wants(tagsCode int64) bool {
	if s.codes == nil {
		return true
	}
	_, ok := s.codes[int32(tagsCode)]
	return ok
}
