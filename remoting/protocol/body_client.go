package protocol

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/message"
)

// HeartbeatData is the body of HeartBeat (34).
type HeartbeatData struct {
	ClientID             string         `json:"clientID"`
	ProducerDataSet      []ProducerData `json:"producerDataSet"`
	ConsumerDataSet      []ConsumerData `json:"consumerDataSet"`
	HeartbeatFingerprint int32          `json:"heartbeatFingerprint"`
	WithoutSub           bool           `json:"withoutSub"`
}

// ProducerData names a producer group.
type ProducerData struct {
	GroupName string `json:"groupName"`
}

// ConsumerData says how a consumer group consumes.
type ConsumerData struct {
	GroupName           string             `json:"groupName"`
	ConsumeType         string             `json:"consumeType"`
	MessageModel        string             `json:"messageModel"`
	ConsumeFromWhere    string             `json:"consumeFromWhere"`
	SubscriptionDataSet []SubscriptionData `json:"subscriptionDataSet"`
	UnitMode            bool               `json:"unitMode"`
}

// SubscriptionData is what a group reads of a topic.
type SubscriptionData struct {
	ClassFilterMode bool     `json:"classFilterMode"`
	Topic           string   `json:"topic"`
	SubString       string   `json:"subString"`
	TagsSet         []string `json:"tagsSet,omitempty"`
	CodeSet         CodeSet  `json:"codeSet,omitempty"`
	SubVersion      int64    `json:"subVersion"`
	ExpressionType  string   `json:"expressionType"`
}

// CodeSet are the hashes of tags. The Go client writes them as text.
type CodeSet []int32

// UnmarshalJSON reads numbers and numbers in quotes.
func (s *CodeSet) UnmarshalJSON(b []byte) error {
	var raw []json.Number
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*s = nil
	for _, r := range raw {
		n, err := strconv.ParseInt(string(r), 10, 32)
		if err != nil {
			return fmt.Errorf("codeSet: %w", err)
		}
		*s = append(*s, int32(n))
	}
	return nil
}

func (h *HeartbeatData) encodeBody() ([]byte, error) {
	c := *h
	c.ProducerDataSet = orEmpty(c.ProducerDataSet)
	c.ConsumerDataSet = orEmpty(c.ConsumerDataSet)
	return marshal(c)
}

// ConsumerList answers GetConsumerListByGroup (38).
type ConsumerList struct {
	ConsumerIDList []string `json:"consumerIdList"`
}

func (l *ConsumerList) encodeBody() ([]byte, error) {
	return marshal(ConsumerList{orEmpty(l.ConsumerIDList)})
}

// LockBatch is the body of LockBatchMQ (41) and UnlockBatchMQ (42).
type LockBatch struct {
	ConsumerGroup  string          `json:"consumerGroup"`
	ClientID       string          `json:"clientId"`
	OnlyThisBroker bool            `json:"onlyThisBroker"`
	MQSet          []message.Queue `json:"mqSet"`
}

func (l *LockBatch) encodeBody() ([]byte, error) {
	c := *l
	c.MQSet = orEmpty(c.MQSet)
	return marshal(c)
}

// LockBatchResponse answers LockBatchMQ.
type LockBatchResponse struct {
	LockOKMQSet []message.Queue `json:"lockOKMQSet"`
}

func (l *LockBatchResponse) encodeBody() ([]byte, error) {
	return marshal(LockBatchResponse{orEmpty(l.LockOKMQSet)})
}

// CheckClient is the body of CheckClientConfig (46).
type CheckClient struct {
	ClientID         string           `json:"clientId"`
	Group            string           `json:"group"`
	SubscriptionData SubscriptionData `json:"subscriptionData"`
	Namespace        string           `json:"namespace,omitempty"`
}

// Connection is a client as tools see it.
type Connection struct {
	ClientID   string `json:"clientId"`
	ClientAddr string `json:"clientAddr"`
	Language   string `json:"language"`
	Version    int    `json:"version"`
}

// ConsumerConnection answers GetConsumerConnectionList (203).
type ConsumerConnection struct {
	ConnectionSet     []Connection                `json:"connectionSet"`
	SubscriptionTable map[string]SubscriptionData `json:"subscriptionTable"`
	ConsumeType       string                      `json:"consumeType"`
	MessageModel      string                      `json:"messageModel"`
	ConsumeFromWhere  string                      `json:"consumeFromWhere"`
}

func (c *ConsumerConnection) encodeBody() ([]byte, error) {
	d := *c
	d.ConnectionSet = orEmpty(d.ConnectionSet)
	if d.SubscriptionTable == nil {
		d.SubscriptionTable = map[string]SubscriptionData{}
	}
	return marshal(d)
}

// ProducerConnection answers GetProducerConnectionList (204).
type ProducerConnection struct {
	ConnectionSet []Connection `json:"connectionSet"`
}

func (c *ProducerConnection) encodeBody() ([]byte, error) {
	return marshal(ProducerConnection{orEmpty(c.ConnectionSet)})
}

// orEmpty makes a list that Java can iterate over: null would be null there.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
