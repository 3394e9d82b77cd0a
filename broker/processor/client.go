package processor

import (
	"errors"

	"github.com/millrace/millrace/broker/groups"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// heartBeat answers 34. What it creates (a group, its retry topic) is durable before
// the answer; a mistake in one group does not keep the others out.
func (p *Processor) heartBeat(x call) (*remoting.Command, error) {
	var beat protocol.HeartbeatData
	if err := decodeBody(x, &beat); err != nil {
		return nil, err
	}
	if beat.ClientID == "" || len(beat.ClientID) > maxClientID {
		return nil, refuse(protocol.InvalidParameter, "a heartbeat needs a clientID of at most %d bytes", maxClientID)
	}
	if n := max(len(beat.ConsumerDataSet), len(beat.ProducerDataSet)); n > maxGroupsOfClient {
		return nil, refuse(protocol.InvalidParameter, "the heartbeat names %d groups, the limit is %d", n, maxGroupsOfClient)
	}
	req := x.Request()
	c := groups.Client{ID: beat.ClientID, Channel: x.Conn(), Language: req.Language, Version: req.Version}
	var errs []error
	for i := range beat.ConsumerDataSet {
		errs = append(errs, p.beatConsumer(c, &beat.ConsumerDataSet[i]))
	}
	for _, d := range beat.ProducerDataSet {
		err := message.CheckGroup(d.GroupName)
		if err == nil {
			err = p.Groups.BeatProducer(p.Now(), d.GroupName, c)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return answerOK(), nil
}

const maxClientID = 512

// maxGroupsOfClient bounds one heartbeat: each group that is new costs two durable writes
// of the tables of groups and topics, and there is room for 20,000 names in a megabyte.
const maxGroupsOfClient = 1024

func (p *Processor) beatConsumer(c groups.Client, d *protocol.ConsumerData) error {
	if err := message.CheckGroup(d.GroupName); err != nil {
		return err
	}
	config, err := p.group(d.GroupName)
	if err != nil {
		return err
	}
	// At once, since clients look for its route every 30 seconds only. A group can do
	// without for a while.
	_, retryErr := p.Topics.EnsureRetry(d.GroupName, max(config.RetryQueueNums, 1))
	info := groups.Consumer{Type: d.ConsumeType, Model: d.MessageModel, FromWhere: d.ConsumeFromWhere}
	for _, s := range d.SubscriptionDataSet {
		if len(s.SubString) > groups.MaxExpression || len(s.Topic) > message.MaxGroupTopicLen {
			return refuse(protocol.SubscriptionParseFailed, "group %s: a subscription has at most %d bytes", d.GroupName, groups.MaxExpression)
		}
		sub := groups.ParseTags(s.Topic, s.SubString, s.SubVersion)
		if s.ExpressionType != "" {
			sub.Type = s.ExpressionType
		}
		info.Subscriptions = append(info.Subscriptions, sub)
	}
	return errors.Join(p.Groups.BeatConsumer(p.Now(), d.GroupName, c, info), retryErr)
}

// NotifyMembers tells the members of a group that it changed; it is what the registry of
// groups calls.
func NotifyMembers(group string, members []groups.Channel) {
	for _, m := range members {
		req := remoting.NewRequest(protocol.NotifyConsumerIDsChanged)
		(&protocol.ConsumerGroupHeader{ConsumerGroup: group}).Encode(req)
		// A member that cannot be told looks for itself every 20 seconds.
		_ = m.Oneway(req)
	}
}

// unregisterClient answers 35.
func (p *Processor) unregisterClient(x call) (*remoting.Command, error) {
	var h protocol.UnregisterClientHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	p.Groups.Leave(x.Conn(), h.ClientID, h.ProducerGroup, h.ConsumerGroup)
	return answerOK(), nil
}

// consumerList answers 38.
func (p *Processor) consumerList(x call) (*remoting.Command, error) {
	var h protocol.ConsumerGroupHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	ids := p.Groups.MemberIDs(h.ConsumerGroup)
	if len(ids) == 0 {
		return nil, refuse(protocol.SystemError, "no consumer for this group, %.150s", h.ConsumerGroup)
	}
	return answerBody(&protocol.ConsumerList{ConsumerIDList: ids})
}

// consumerConnections answers 203.
func (p *Processor) consumerConnections(x call) (*remoting.Command, error) {
	var h protocol.ConsumerGroupHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	views := p.Groups.Consumers(h.ConsumerGroup)
	if len(views) == 0 {
		return nil, refuse(protocol.ConsumerNotOnline, "the consumer group[%.150s] not online", h.ConsumerGroup)
	}
	v := views[0]
	ans := protocol.ConsumerConnection{
		ConnectionSet: connections(v.Members), ConsumeType: v.Consumer.Type, MessageModel: v.Consumer.Model,
		ConsumeFromWhere: v.Consumer.FromWhere, SubscriptionTable: map[string]protocol.SubscriptionData{},
	}
	for _, s := range v.Subscriptions {
		ans.SubscriptionTable[s.Topic] = protocol.SubscriptionData{
			Topic: s.Topic, SubString: s.Expression, TagsSet: s.Tags, SubVersion: s.Version, ExpressionType: s.Type,
		}
	}
	return answerBody(&ans)
}

// producerConnections answers 204.
func (p *Processor) producerConnections(x call) (*remoting.Command, error) {
	var h protocol.ProducerGroupHeader
	if err := decode(x, &h); err != nil {
		return nil, err
	}
	clients := p.Groups.Producers(h.ProducerGroup)
	if len(clients) == 0 {
		return nil, refuse(protocol.SystemError, "the producer group[%.150s] not exist", h.ProducerGroup)
	}
	return answerBody(&protocol.ProducerConnection{ConnectionSet: connections(clients)})
}

func connections(clients []groups.Client) []protocol.Connection {
	list := make([]protocol.Connection, 0, len(clients))
	for _, c := range clients {
		list = append(list, protocol.Connection{ClientID: c.ID, ClientAddr: c.Channel.RemoteAddr().String(),
			Language: c.Language.String(), Version: c.Version})
	}
	return list
}

// putGroup answers 200.
func (p *Processor) putGroup(x call) (*remoting.Command, error) {
	var config groups.Config
	if err := decodeBody(x, &config); err != nil {
		return nil, err
	}
	if config.RetryQueueNums < 0 || config.RetryMaxTimes < -1 {
		return nil, refuse(protocol.InvalidParameter, "group %.150s: retryQueueNums %d or retryMaxTimes %d cannot be negative",
			config.GroupName, config.RetryQueueNums, config.RetryMaxTimes)
	}
	if err := p.GroupConfigs.Put(config); err != nil {
		return nil, err
	}
	return answerOK(), nil
}

// allGroups answers 201.
func (p *Processor) allGroups(x call) (*remoting.Command, error) {
	b, err := p.GroupConfigs.Encode()
	if err != nil {
		return nil, err
	}
	return answerBytes(b), nil
}
