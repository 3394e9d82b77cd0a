package processor

import (
	"time"

	"github.com/millrace/millrace/broker/groups"
	"github.com/millrace/millrace/broker/longpoll"
	"github.com/millrace/millrace/broker/offsets"
	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// pullCall is one pull, perhaps parked for a while.
type pullCall struct {
	call
	p *Processor

	header       protocol.PullHeader
	filter       func(tagsCode int64) bool
	topicSysFlag int32
	groupSysFlag int32
}

// pullMessage answers 11 and 361.
func (p *Processor) pullMessage(x call) (*remoting.Command, error) {
	c := &pullCall{call: x, p: p}
	if err := c.prepare(); err != nil {
		return c.refused(err), nil
	}
	c.commitOffset()
	return c.read(c.mayPark()), nil
}

// prepare checks the request in RocketMQ's order.
func (c *pullCall) prepare() error {
	h := &c.header
	if err := h.Decode(c.Request()); err != nil {
		return refuse(protocol.SystemError, "%v", err)
	}
	if err := message.CheckGroup(h.ConsumerGroup); err != nil {
		return refuse(protocol.InvalidParameter, "%v", err)
	}
	group, err := c.p.group(h.ConsumerGroup)
	if err != nil {
		return err
	}
	if !group.ConsumeEnable {
		return refuse(protocol.NoPermission, "subscription group no permission, %s: consumeEnable is false", h.ConsumerGroup)
	}
	topic, ok := c.p.Topics.Get(h.Topic)
	if !ok {
		return refuse(protocol.TopicNotExist, "topic[%.300s] not exist, apply first please!", h.Topic)
	}
	if !topic.Readable() {
		return refuse(protocol.NoPermission, "the topic[%s] pulling message is forbidden: its perm is %d", h.Topic, topic.Perm)
	}
	if h.QueueID < 0 || h.QueueID >= topic.ReadQueueNums {
		return refuse(protocol.InvalidParameter, "queueId[%d] is illegal, topic %s has %d queues to read", h.QueueID,
			h.Topic, topic.ReadQueueNums)
	}
	if h.QueueOffset < 0 {
		return refuse(protocol.InvalidParameter, "queueOffset[%d] is below 0", h.QueueOffset)
	}
	h.Topic = topic.TopicName
	c.topicSysFlag, c.groupSysFlag = topic.TopicSysFlag, group.GroupSysFlag
	return c.subscribe(group)
}

// subscribe finds the filter: the request's own, or the group's from its heartbeats,
// which is what Go clients rely on.
func (c *pullCall) subscribe(group *groups.Config) error {
	h := &c.header
	if h.SysFlag&protocol.PullFlagSubscription != 0 {
		if err := supported(h.ExpressionType); err != nil {
			return err
		}
		if len(h.Subscription) > groups.MaxExpression {
			return refuse(protocol.SubscriptionParseFailed, "the subscription has %d bytes, the limit is %d",
				len(h.Subscription), groups.MaxExpression)
		}
		c.filter = groups.ParseTags(h.Topic, h.Subscription, h.SubVersion).Filter()
		return nil
	}
	s, known := c.p.Groups.Subscription(h.ConsumerGroup, h.Topic)
	switch {
	case !known:
		return refuse(protocol.SubscriptionNotExist, "the consumer's group info not exist: %s has no member that is alive", h.ConsumerGroup)
	case s == nil:
		return refuse(protocol.SubscriptionNotExist, "the consumer's subscription not exist: group %s did not subscribe to %s",
			h.ConsumerGroup, h.Topic)
	case s.Version < h.SubVersion:
		return refuse(protocol.SubscriptionNotLatest, "the consumer's subscription not latest: the broker has version %d, the pull %d",
			s.Version, h.SubVersion)
	}
	if !group.ConsumeBroadcastEnable && c.p.Groups.Model(h.ConsumerGroup) == protocol.ModelBroadcasting {
		return refuse(protocol.NoPermission, "the consumer group[%s] can not consume by broadcast way", h.ConsumerGroup)
	}
	if err := supported(s.Type); err != nil {
		return err
	}
	c.filter = s.Filter()
	return nil
}

func supported(expressionType string) error {
	if expressionType == "" || expressionType == protocol.ExpressionTag {
		return nil
	}
	return refuse(protocol.SystemError, "The broker does not support consumer to filter message by %.20s", expressionType)
}

// commitOffset takes the offset that comes with a pull.
func (c *pullCall) commitOffset() {
	h := &c.header
	if h.SysFlag&protocol.PullFlagCommitOffset == 0 || h.CommitOffset < 0 {
		return
	}
	if err := c.p.commit(h.ConsumerGroup, h.Topic, h.QueueID, h.CommitOffset); err != nil {
		c.p.Metrics.Rejects.Add(1) // the pull is good all the same; 15 will say why
	}
}

func (c *pullCall) mayPark() bool {
	return c.header.SysFlag&protocol.PullFlagSuspend != 0 && c.header.SuspendTimeoutMillis > 0
}

// read looks into the queue. It returns the answer, or nil where the pull is parked because
// it may be and nothing is there.
func (c *pullCall) read(mayPark bool) *remoting.Command {
	h, p := &c.header, c.p
	o := store.GetOptions{MaxMsgs: p.cfg.MaxPullMessages, MaxBytes: p.cfg.DefaultPullBytes, Filter: c.filter, Alloc: p.memory.take}
	if h.MaxMsgNums > 0 {
		o.MaxMsgs = min(o.MaxMsgs, int(h.MaxMsgNums))
	}
	if h.MaxMsgBytes > 0 {
		o.MaxBytes = min(p.cfg.MaxPullBytes, int(h.MaxMsgBytes))
	}
	r, err := p.Store.Get(h.Topic, h.QueueID, h.QueueOffset, o)
	if err != nil {
		return c.refused(err)
	}
	code, remark := c.judge(&r)
	if code == protocol.PullNotFound && mayPark && c.park(o, r.Max) {
		return nil
	}
	return c.answer(code, remark, &r)
}

// judge says what a result means to the client.
func (c *pullCall) judge(r *store.GetResult) (code int, remark string) {
	h := &c.header
	switch r.Status {
	case store.Found:
		return protocol.Success, "FOUND"
	case store.NoMatchedMessage:
		return protocol.PullRetryImmediately, "NO_MATCHED_MESSAGE"
	case store.MessageWasRemoving:
		return protocol.PullRetryImmediately, "MESSAGE_WAS_REMOVING"
	case store.OffsetFoundNull:
		return protocol.PullNotFound, "OFFSET_FOUND_NULL"
	case store.OffsetOverflowOne:
		return protocol.PullNotFound, "OFFSET_OVERFLOW_ONE"
	case store.OffsetTooSmall:
		return c.outOfRange("OFFSET_TOO_SMALL", false)
	}
	// Above the end as far as it can be read. What is appended already will be readable
	// in a moment: whoever was told its offset may ask for the next one.
	if h.QueueOffset <= c.p.Store.NextOffset(h.Topic, h.QueueID) {
		r.NextOffset = h.QueueOffset
		return protocol.PullNotFound, "OFFSET_OVERFLOW_ONE"
	}
	switch r.Status {
	case store.NoMatchedLogicQueue:
		return c.outOfRange("NO_MATCHED_LOGIC_QUEUE", true)
	case store.NoMessageInQueue:
		return c.outOfRange("NO_MESSAGE_IN_QUEUE", true)
	}
	return c.outOfRange("OFFSET_OVERFLOW_BADLY", true)
}

func (c *pullCall) outOfRange(remark string, above bool) (int, string) {
	c.p.Metrics.outOfRange(c.header.Topic, c.header.ConsumerGroup, above)
	return protocol.PullOffsetMoved, remark
}

// park holds the pull until something that it wants arrives. It returns false when there
// is no room.
func (c *pullCall) park(o store.GetOptions, seen int64) bool {
	h, p := &c.header, c.p
	wait := min(time.Duration(h.SuspendTimeoutMillis)*time.Millisecond, maxSuspend)
	if !p.cfg.LongPolling {
		wait = p.cfg.ShortPolling
	}
	c.parked = true
	p.resumed.Add(1)
	key := longpoll.Key{Topic: h.Topic, QueueID: h.QueueID}
	err := p.Holds.Park(key, &longpoll.Waiter{
		Owner: c.Conn(), Offset: h.QueueOffset, Wants: c.filter, Deadline: time.Now().Add(wait), Wake: c.wake, Dropped: p.resumed.Done,
		Bytes: parkedBytes(len(h.Subscription)),
	})
	if err != nil {
		p.resumed.Done()
		c.parked = false
		p.Metrics.HoldsRefused.Add(1)
		return false
	}
	p.Metrics.LongPolls.Add(1)
	// What arrived between the read and Park woke nobody.
	if _, end, ok := p.Store.QueueRange(h.Topic, h.QueueID); ok && end > max(seen, h.QueueOffset) {
		p.Holds.Advance(key, end)
	}
	return true
}

// parkedBytes is about what a parked pull keeps: its request, and of an expression of n
// bytes the text and the codes of its tags, of which each may be one letter long.
func parkedBytes(n int) int64 { return 2048 + 16*int64(n) }

// maxSuspend is the longest that a pull is held: clients give up after 30 seconds.
const maxSuspend = 60 * time.Second

// wake continues on a goroutine of its own: the one that woke it is the store's.
func (c *pullCall) wake(longpoll.Reason) {
	go func() {
		defer c.p.resumed.Done()
		c.finish(c.read(false))
	}()
}

// Dispatched is the store's word that a message became readable.
func (p *Processor) Dispatched(rec *message.Record, _ int64, _ int32) {
	if p.Holds.Len() == 0 {
		return
	}
	tag, _ := message.Property(rec.Properties, message.PropertyTags)
	p.Holds.Arrive(longpoll.Key{Topic: rec.Topic, QueueID: rec.QueueID}, rec.QueueOffset, message.TagsCode(tag))
}

// Join waits until the pulls that were woken are answered. Call it after the table of
// parked pulls was closed.
func (p *Processor) Join() { p.resumed.Wait() }

func (c *pullCall) answer(code int, remark string, r *store.GetResult) *remoting.Command {
	ans := remoting.NewResponse(code, remark)
	ans.Ext.Grow(6)
	h := protocol.PullResponseHeader{
		NextBeginOffset: r.NextOffset, MinOffset: r.Min, MaxOffset: r.Max,
		TopicSysFlag: c.topicSysFlag, GroupSysFlag: c.groupSysFlag,
	}
	h.Encode(ans)
	if code == protocol.Success {
		body := r.Buf
		ans.Body, ans.Release = body, func() { c.p.memory.give(body) }
		c.p.Metrics.delivered(c.header.Topic, c.header.ConsumerGroup, r.Count, len(r.Buf))
	} else {
		c.p.Metrics.GetsMissed.Add(1)
	}
	return ans
}

// refused answers with an error. Clients read the four offsets of every answer.
func (c *pullCall) refused(err error) *remoting.Command {
	ans := refusal(err)
	(&protocol.PullResponseHeader{NextBeginOffset: c.header.QueueOffset}).Encode(ans)
	return ans
}

// commit notes a group's progress, for a queue that exists.
func (p *Processor) commit(group, topic string, queue int32, offset int64) error {
	if err := message.CheckGroup(group); err != nil {
		return refuse(protocol.InvalidParameter, "%v", err)
	}
	t, ok := p.Topics.Get(topic)
	if !ok {
		return refuse(protocol.TopicNotExist, "Topic %.300s not exist!", topic)
	}
	if queue < 0 || queue >= t.Queues() || offset < 0 {
		return refuse(protocol.InvalidParameter, "offset %d of queue %d: topic %s has %d queues, and offsets begin at 0", offset,
			queue, topic, t.Queues())
	}
	return p.Offsets.Commit(offsets.Key{Topic: t.TopicName, Group: group}, queue, offset)
}

// group returns a group's configuration, entering a default one where that is allowed.
func (p *Processor) group(name string) (*groups.Config, error) {
	if g, ok := p.GroupConfigs.Get(name); ok {
		return g, nil
	}
	if !p.cfg.AutoCreateGroup {
		return nil, refuse(protocol.SubscriptionGroupNotExist,
			"subscription group [%.150s] does not exist; create it first (autoCreateSubscriptionGroup is off)", name)
	}
	g, err := p.GroupConfigs.Ensure(name)
	if err == nil {
		return g, nil
	}
	if code, _ := refusalOf(err); code == protocol.ServiceNotAvailable {
		// Reading does not depend on whether the disk has room for a group's defaults.
		d := groups.DefaultConfig(name)
		return &d, nil
	}
	return nil, err
}
