package message

import "strings"

// Message is what a producer builds. The zero value with a topic and a body
// can be sent.
type Message struct {
	Topic string
	Flag  int32 // the application's own, carried unchanged
	// SysFlag is OR-ed into the record's: a body that is compressed already.
	SysFlag    int32
	Body       []byte
	Properties map[string]string
}

// New makes a message.
func New(topic string, body []byte) *Message { return &Message{Topic: topic, Body: body} }

// Property returns a property, "" when it is not set.
func (m *Message) Property(key string) string { return m.Properties[key] }

// SetProperty sets a property; an empty value removes it.
func (m *Message) SetProperty(key, value string) {
	if value == "" {
		delete(m.Properties, key)
		return
	}
	if m.Properties == nil {
		m.Properties = make(map[string]string)
	}
	m.Properties[key] = value
}

// SetTags sets the tag that consumers filter by.
func (m *Message) SetTags(tag string) { m.SetProperty(PropertyTags, tag) }

// SetKeys sets the keys that the index finds the message by.
func (m *Message) SetKeys(keys ...string) {
	m.SetProperty(PropertyKeys, strings.Join(keys, KeySeparator))
}

// Queue names one queue of a topic on one broker.
type Queue struct {
	Topic      string `json:"topic"`
	BrokerName string `json:"brokerName"`
	QueueID    int32  `json:"queueId"`
}
