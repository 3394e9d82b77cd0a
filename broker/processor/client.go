package processor

import (
	"errors"

	"github.com/millrace/millrace/broker/groups"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// heartBeat answers 34. What it creates (a group, its retry topic) is durable before
// the answer; a mistake in one group does not keep the others out.
func (p *Processor) heartBeat(x *rpc.Exchange) {
	var beat protocol.HeartbeatData
	if !p.decodedBody(x, &beat) {
		return
	}
	if beat.ClientID == "" || len(beat.ClientID) > maxClientID {
		p.replyError(x, refuse(protocol.InvalidParameter, "a heartbeat needs a clientID of at most %d bytes", maxClientID))
		return
	}
	if n := max(len(beat.ConsumerDataSet), len(beat.ProducerDataSet)); n > maxGroupsOfClient {
		p.replyError(x, refuse(protocol.InvalidParameter, "the heartbeat names %d groups, the limit is %d", n, maxGroupsOfClient))
		return
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
		p.replyError(x, err)
		return
	}
	p.replyOK(x)
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
func (p *Processor) unregisterClient(x *rpc.Exchange) {
	var h protocol.UnregisterClientHeader
	if !p.decoded(x, &h) {
		return
	}
	p.Groups.Leave(h.ClientID, h.ProducerGroup, h.ConsumerGroup)
	p.replyOK(x)
}

// consumerList answers 38.
func (p *Processor) consumerList(x *rpc.Exchange) {
	var h protocol.ConsumerGroupHeader
	if !p.decoded(x, &h) {
		return
	}
	ids := p.Groups.MemberIDs(h.ConsumerGroup)
	if len(ids) == 0 {
		p.replyError(x, refuse(protocol.SystemError, "no consumer for this group, %.150s", h.ConsumerGroup))
		return
	}
	p.replyBody(x, &protocol.ConsumerList{ConsumerIDList: ids})
}

// consumerConnections answers 203.
func (p *Processor) consumerConnections(x *rpc.Exchange) {
	var h protocol.ConsumerGroupHeader
	if !p.decoded(x, &h) {
		return
	}
	views := p.Groups.Consumers(h.ConsumerGroup)
	if len(views) == 0 {
		p.replyError(x, refuse(protocol.ConsumerNotOnline, "the consumer group[%.150s] not online", h.ConsumerGroup))
		return
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
	p.replyBody(x, &ans)
}

// producerConnections answers 204.
func (p *Processor) producerConnections(x *rpc.Exchange) {
	var h protocol.ProducerGroupHeader
	if !p.decoded(x, &h) {
		return
	}
	clients := p.Groups.Producers(h.ProducerGroup)
	if len(clients) == 0 {
		p.replyError(x, refuse(protocol.SystemError, "the producer group[%.150s] not exist", h.ProducerGroup))
		return
	}
	p.replyBody(x, &protocol.ProducerConnection{ConnectionSet: connections(clients)})
}

func connections(clients []groups.Client) []protocol.Connection {
	list := make([]protocol.Connection, 0, len(clients))
	for _, c := range clients {
		list = append(list, protocol.Connection{ClientID: c.ID, ClientAddr: c.Channel.RemoteAddr().String(), Language: c.Language.String(), Version: c.Version})
	}
	return list
}

// putGroup answers 200.
func (p *Processor) putGroup(x *rpc.Exchange) {
	var config groups.Config
	if !p.decodedBody(x, &config) {
		return
	}
	if config.RetryQueueNums < 0 || config.RetryMaxTimes < -1 {
		p.replyError(x, refuse(protocol.InvalidParameter, "group %.150s: retryQueueNums %d or retryMaxTimes %d cannot be negative", config.GroupName, config.RetryQueueNums, config.RetryMaxTimes))
		return
	}
	if err := p.GroupConfigs.Put(config); err != nil {
		p.replyError(x, err)
		return
	}
	p.replyOK(x)
}

// allGroups answers 201.
func (p *Processor) allGroups(x *rpc.Exchange) {
	b, err := p.GroupConfigs.Encode()
	if err != nil {
		p.replyError(x, err)
		return
	}
	p.replyBytes(x, b)
}
