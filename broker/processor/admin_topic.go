package processor

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/broker/topics"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// createTopic answers 17. The topic is durable before the answer, and the name servers
// know it.
func (p *Processor) createTopic(x call) (*remoting.Command, error) {
	var h protocol.CreateTopicHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	var old map[string]string
	if t, ok := p.Topics.Get(h.Topic); ok {
		old = t.Attributes
	}
	attributes, err := topics.ChangeAttributes(old, h.Attributes)
	if err == nil {
		_, err = p.Topics.Put(topics.Config{
			TopicName: h.Topic, ReadQueueNums: h.ReadQueueNums, WriteQueueNums: h.WriteQueueNums, Perm: h.Perm,
			TopicFilterType: h.TopicFilterType, TopicSysFlag: h.TopicSysFlag, Order: h.Order, Attributes: attributes,
		})
	}
	if err != nil {
		return nil, err
	}
	return p.announced(x, answerOK())
}

// deleteTopic answers 215: the topic, its messages, and what groups have read of it. A
// topic that is not there any more may have left something behind: that goes as well. One
// that belongs to a writer is refused without force.
func (p *Processor) deleteTopic(x call) (*remoting.Command, error) {
	var h protocol.DeleteTopicHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	if err := message.CheckTopic(h.Topic); err != nil {
		return nil, refuse(protocol.InvalidParameter, "%v", err)
	}
	existed, err := p.Topics.Delete(h.Topic, h.Force)
	if errors.Is(err, topics.ErrOwned) {
		return nil, refuse(protocol.NoPermission, "%v", err)
	}
	if err != nil {
		return nil, err
	}
	if err := p.Store.DeleteTopic(h.Topic); err != nil {
		return nil, fmt.Errorf("topic %s is deleted, its messages are not: %w; delete it again", h.Topic, err)
	}
	p.Writers.Forget(h.Topic)
	p.Offsets.DropTopic(h.Topic)
	p.Metrics.forget(h.Topic)
	// Before anybody can make a topic of that name: its queues begin anew.
	if err := p.Writers.Settle(); err != nil {
		return nil, fmt.Errorf("topic %s is deleted, but a power cut could bring back what its writer is told of it: %w; delete it again",
			h.Topic, err)
	}
	ans := answerOK()
	if !existed {
		(&protocol.DeleteTopicResponseHeader{Missing: true}).Encode(ans)
		ans.Remark = "there was no such topic"
	}
	return p.announced(x, ans)
}

// allTopics answers 21.
func (p *Processor) allTopics(x call) (*remoting.Command, error) {
	list, version := p.Topics.All()
	table := protocol.TopicConfigTable{DataVersion: version, TopicConfigTable: make(map[string]protocol.TopicConfig, len(list))}
	for _, t := range list {
		table.TopicConfigTable[t.TopicName] = protocol.TopicConfig(*t)
	}
	return answerBody(&table)
}

// topicConfig answers 351.
func (p *Processor) topicConfig(x call) (*remoting.Command, error) {
	var h protocol.TopicHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	t, ok := p.Topics.Get(h.Topic)
	if !ok {
		return nil, refuse(protocol.TopicNotExist, "No topic in this broker. topic: %.300s", h.Topic)
	}
	config := protocol.TopicConfig(*t)
	return answerBody(&config)
}

// topicStats answers 202.
func (p *Processor) topicStats(x call) (*remoting.Command, error) {
	var h protocol.TopicHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	t, ok := p.Topics.Get(h.Topic)
	if !ok {
		return nil, refuse(protocol.TopicNotExist, "topic[%.300s] not exist", h.Topic)
	}
	stats := protocol.TopicStatsTable{OffsetTable: map[message.Queue]protocol.TopicOffset{}}
	for id := range t.Queues() {
		lowest, end, _ := p.Store.QueueRange(h.Topic, id)
		o := protocol.TopicOffset{MinOffset: lowest, MaxOffset: end}
		if end > lowest {
			if at, err := p.Store.MessageStoreTime(h.Topic, id, end-1); err == nil {
				o.LastUpdateTimestamp = at
			}
		}
		stats.OffsetTable[p.queueName(h.Topic, id)] = o
	}
	return answerBody(&stats)
}

func (p *Processor) queueName(topic string, id int32) message.Queue {
	return message.Queue{Topic: topic, BrokerName: p.cfg.BrokerName, QueueID: id}
}

// consumeStats answers 208. Nothing is smoothed over: an offset beyond the end shows a
// consumerOffset above the brokerOffset.
func (p *Processor) consumeStats(x call) (*remoting.Command, error) {
	var h protocol.GetConsumeStatsHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	stats := protocol.ConsumeStats{OffsetTable: map[message.Queue]protocol.OffsetWrapper{}}
	for _, k := range p.Offsets.Keys() {
		if k.Group == h.ConsumerGroup && (h.Topic == "" || k.Topic == h.Topic) {
			p.consumeStatsOf(k, stats.OffsetTable)
		}
	}
	elapsed := p.Now().Sub(p.started) / time.Second
	if t := p.Metrics.flow(h.Topic, h.ConsumerGroup); t != nil && elapsed > 0 && h.Topic != "" {
		stats.ConsumeTps = float64(t.messages.Load()) / float64(elapsed)
	}
	return answerBody(&stats)
}

func (p *Processor) consumeStatsOf(k offsets.Key, into map[message.Queue]protocol.OffsetWrapper) {
	t, ok := p.Topics.Get(k.Topic)
	if !ok {
		return
	}
	for id := range t.ReadQueueNums {
		_, end, _ := p.Store.QueueRange(k.Topic, id)
		o := protocol.OffsetWrapper{BrokerOffset: end}
		o.ConsumerOffset, _ = p.Offsets.Get(k, id)
		o.PullOffset = o.ConsumerOffset
		if o.ConsumerOffset > 0 {
			if at, err := p.Store.MessageStoreTime(k.Topic, id, o.ConsumerOffset-1); err == nil {
				o.LastTimestamp = at
			}
		}
		into[p.queueName(k.Topic, id)] = o
	}
}
