package processor

import (
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/topics"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// sendCall is one send on its way through the store. It lives in one piece, so that a
// message costs few allocations.
type sendCall struct {
	call
	p *Processor

	header protocol.SendHeader
	topic  *topics.Config
	unique string
	rec    message.Record
	put    store.PutRequest
	count  int
	bytes  int
	// created says that this send made its topic; its answer goes by way of the name servers.
	created bool
	answer  chan *remoting.Command
}

// sendMessage answers 10, 310 and 320.
func (p *Processor) sendMessage(x call) (*remoting.Command, error) {
	c := &sendCall{call: x, p: p}
	if err := c.prepare(); err != nil {
		return c.refused(err), nil
	}
	if c.isTransaction() {
		c.announce()
		c.startTransaction()
		return nil, nil
	}
	if err := c.admitOwned(); err != nil {
		return c.refused(err), nil
	}
	c.announce()
	c.put.Done = c.done
	p.Store.Put(&c.put)
	return nil, nil
}

// announce makes the answer of a send that created its topic wait for the name servers.
// From here on the call ends with end.
func (c *sendCall) announce() {
	if !c.created {
		return
	}
	c.answer = make(chan *remoting.Command, 1)
	c.p.resumed.Go(func() { c.p.finishAnnounced(&c.call, c.answer) })
}

// end gives the answer.
func (c *sendCall) end(ans *remoting.Command) {
	if c.answer != nil {
		c.answer <- ans
		return
	}
	c.finish(ans)
}

// prepare checks the request in RocketMQ's order and makes the record.
func (c *sendCall) prepare() error {
	h, req := &c.header, c.Request()
	if err := h.Decode(req); err != nil {
		return refuse(protocol.SystemError, "%v", err)
	}
	h.Batch = h.Batch || req.Code == protocol.SendBatchMessage
	if message.IsForbiddenToSend(h.Topic) {
		return refuse(protocol.SystemError, "sending message to topic[%s] is forbidden: it is the broker's own", h.Topic)
	}
	topic, err := c.findTopic()
	if err != nil {
		return err
	}
	if c.topic = topic; !topic.Writable() {
		return refuse(protocol.NoPermission, "the topic[%s] of broker %s cannot be written to, its perm is %d", h.Topic,
			c.p.cfg.BrokerName, topic.Perm)
	}
	if h.QueueID < 0 {
		h.QueueID = rand.Int32N(max(topic.WriteQueueNums, 1))
	}
	if h.QueueID >= topic.Queues() {
		return refuse(protocol.InvalidParameter, "request queueId[%d] is illegal, topic %s has %d queues", h.QueueID, h.Topic, topic.Queues())
	}
	if int32(len(req.Body)) > c.p.cfg.MaxMessageSize {
		code := protocol.MessageIllegal
		if h.Batch {
			code = protocol.SystemError
		}
		return refuse(code, "message body size exceeded: %d bytes, the limit is %d (maxMessageSize)", len(req.Body), c.p.cfg.MaxMessageSize)
	}
	if len(h.Properties) > message.MaxPropertiesLen {
		return refuse(protocol.MessageIllegal, "the properties have %d bytes, the limit is %d", len(h.Properties), message.MaxPropertiesLen)
	}
	return c.makeRecord(req)
}

// findTopic finds the topic of a send, or makes it. A writer's topics are made by
// declaration alone: one that is made on the way would belong to nobody, and take what is
// out of order.
func (c *sendCall) findTopic() (*topics.Config, error) {
	h := &c.header
	if topic, ok := c.p.Topics.Get(h.Topic); ok {
		return topic, nil
	}
	if name := c.writer(); name != "" {
		return nil, refuse(protocol.TopicNotExist, "topic %.300s does not exist, and a message of writer %.150s does not create it: "+
			"its topics are declared with attribute %s", h.Topic, name, topics.WriterAttribute)
	}
	topic, created, err := c.p.Topics.EnsureSend(h.Topic, h.DefaultTopic, h.DefaultTopicQueueNums)
	c.created = created
	return topic, err
}

// writer is the name that the request's messages carry as their writer's; "" without one.
func (c *sendCall) writer() string {
	name, _ := message.Property([]byte(c.header.Properties), message.PropertyWriter)
	if !c.header.Batch {
		return name
	}
	for items := message.IterateBatch(c.Request().Body); name == "" && items.Next(); {
		name, _ = message.Property(items.Item.Properties, message.PropertyWriter)
	}
	return name
}

func (c *sendCall) makeRecord(req *remoting.Command) error {
	h := &c.header
	c.rec = message.Record{
		QueueID:        h.QueueID,
		Flag:           h.Flag,
		SysFlag:        message.WithTransactionState(h.SysFlag, message.TransactionNone),
		BornTimestamp:  h.BornTimestamp,
		BornHost:       c.Conn().RemoteAddrPort(),
		ReconsumeTimes: h.ReconsumeTimes,
		Topic:          c.topic.TopicName,
		Body:           req.Body,
	}
	c.count, c.bytes = 1, len(req.Body)
	if h.Batch {
		return c.makeBatch(req.Body)
	}
	props := []byte(h.Properties)
	if err := refuseDelayed(props); err != nil {
		return err
	}
	unique, ok := message.Property(props, message.PropertyUniqueKey)
	if !ok {
		unique = c.p.ids.Next(c.began)
		props = message.SetProperty(props, message.PropertyUniqueKey, unique)
	}
	c.unique, c.rec.Properties, c.put.Record = unique, props, &c.rec
	return nil
}

// makeBatch explodes a batch into records of its queue.
func (c *sendCall) makeBatch(body []byte) error {
	h := &c.header
	if h.Topic != "" && message.IsRetryTopic(h.Topic) {
		return refuse(protocol.MessageIllegal, "batch request does not support retry group %s", h.Topic)
	}
	n, err := message.BatchLen(body)
	if err != nil || n == 0 {
		return refuse(protocol.MessageIllegal, "the batch body cannot be read: %v", err)
	}
	records := make([]message.Record, 0, n)
	items := message.IterateBatch(body)
	for items.Next() {
		rec := c.rec
		rec.Flag, rec.Body, rec.Properties = items.Item.Flag, items.Item.Body, items.Item.Properties
		if err := refuseDelayed(rec.Properties); err != nil {
			return err
		}
		records = append(records, rec)
	}
	if err := items.Err(); err != nil {
		return refuse(protocol.MessageIllegal, "the batch body cannot be read: %v", err)
	}
	c.put.Batch, c.count = records, len(records)
	c.unique, _ = message.Property([]byte(h.Properties), message.PropertyUniqueKey)
	return nil
}

// refuseDelayed refuses what would have to wait: it is not there yet, and delivering it
// at once would be wrong.
func refuseDelayed(props []byte) error {
	for _, key := range [...]string{message.PropertyDelay, message.PropertyTimerDeliverMs, message.PropertyTimerDelaySec,
		message.PropertyTimerDelayMs} {
		if v, ok := message.Property(props, key); ok && !(key == message.PropertyDelay && v == "0") {
			return refuse(protocol.MessageIllegal, "the property %s=%.20s asks for a delayed message; delay levels and timers are "+
				"not supported yet", key, v)
		}
	}
	return nil
}

func (c *sendCall) isTransaction() bool {
	if c.header.Batch {
		return message.TransactionState(c.header.SysFlag) == message.TransactionPrepared
	}
	if message.TransactionState(c.header.SysFlag) == message.TransactionPrepared {
		return true
	}
	v, ok := message.Property(c.rec.Properties, message.PropertyTransactionPrepared)
	return ok && strings.EqualFold(v, "true")
}

// startTransaction stores a half message.
func (c *sendCall) startTransaction() {
	switch {
	case c.header.Batch:
		c.end(c.refused(refuse(protocol.MessageIllegal, "a batch cannot be part of a transaction")))
	case c.p.cfg.RejectTransaction:
		c.end(c.refused(refuse(protocol.NoPermission,
			"the broker %s does not take transactional messages (rejectTransactionMessage)", c.p.cfg.BrokerName)))
	default:
		c.rec.SysFlag = c.header.SysFlag
		c.p.putHalf(c)
	}
}

// admitOwned finds the gate of an owned queue.
func (c *sendCall) admitOwned() error {
	owner := c.topic.Writer()
	if owner == "" {
		return nil
	}
	if c.header.Batch {
		return refuse(protocol.MessageIllegal, "the queues of topic %s are owned by writer %s: batches are refused", c.header.Topic, owner)
	}
	gate, err := c.p.gateFor(&c.rec)
	c.put.Gate, c.put.MustBeDurable = gate, true
	return err
}

func (c *sendCall) refused(err error) *remoting.Command {
	ans := refusal(err)
	markSend(ans, &c.p.cfg)
	return ans
}

// done is the store's callback.
func (c *sendCall) done(r store.PutResult) {
	if r.Err != nil {
		c.p.Metrics.PutErrors.Add(1)
		c.end(c.refused(c.storeError(r.Err)))
		return
	}
	c.p.Metrics.stored(c.rec.Topic, c.count, c.bytes)
	c.end(c.p.sendResponse(c.unique, c.rec.QueueID, r))
}

// storeError is what a refused append means. Of an owned queue the rule book knows.
func (c *sendCall) storeError(err error) error {
	if c.put.Gate != nil {
		return c.p.gateError(err)
	}
	return err
}

// sendResponse is the answer of a message that is stored.
func (p *Processor) sendResponse(unique string, queueID int32, r store.PutResult) *remoting.Command {
	ans := remoting.NewResponse(protocol.Success, "")
	h := protocol.SendResponseHeader{
		MsgID: r.MsgID(), QueueID: queueID, QueueOffset: r.QueueOffset, TransactionID: unique,
		MsgRegion: p.cfg.RegionID, TraceOff: !p.cfg.TraceOn,
	}
	h.Encode(ans)
	return ans
}

// markSend adds what Java clients read from every answer to a send without asking
// whether it is there.
func markSend(ans *remoting.Command, cfg *Config) {
	ans.Ext.Set("MSG_REGION", cfg.RegionID)
	ans.Ext.Set("TRACE_ON", strconv.FormatBool(cfg.TraceOn))
}
