package txn

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/broker/store"
	"github.com/millrace/millrace/broker/writer"
	"github.com/millrace/millrace/message"
)

// Properties that this package adds to halves and their resolutions.
const (
	// propertyFirst is, in a half that was carried forward, the place of its first copy.
	// The queue offset of that copy is in RocketMQ's TRAN_PREPARED_QUEUE_OFFSET.
	propertyFirst = "mr_first"
	// propertyOurs marks halves that this program stored: each has one name for ever, and
	// a foreign broker's progress says nothing about it.
	propertyOurs = "mr_tx"
	// PropertyHalf is, in a resolution, the place of the half's first copy.
	PropertyHalf = "mr_half"
	// propertyEnd is, in an operation record, what it decides: only a rollback's does.
	propertyEnd = "mr_end"
	endRollback = "rollback"
	// reservedProperties is the room that a half must leave for them.
	reservedProperties = 160
)

type phase uint8

const (
	pending phase = iota
	committed
	rolledBack
)

// half is one half message. first, queueFirst, key, group, where it is bound for and its
// link never change; the rest is guarded by Service.mu.
type half struct {
	first      int64 // place of the first copy: its name, with key
	queueFirst int64 // half-queue offset of the first copy
	key        string
	group      string
	to         store.QueueID
	link       *writer.Link // nil for a half of an ordinary producer
	bytes      int64        // what it counts against limits
	stored     int64        // first copy, milliseconds
	immunity   int64        // milliseconds before the first check-back, -1 = the default

	phys   int64 // the newest copy
	queue  int64 // its half-queue offset
	size   int32
	checks int
	asked  int64 // last check-back, milliseconds

	phase phase
	// Once decided: where the resolution is. settled says that it is durable, as far as
	// the half's owner was promised; until then whoever asks waits.
	offset  int64 // queue offset of the final message
	resPhys int64
	settled bool
	waiting []func(Outcome)

	older, newer *half // neighbours in index.ring while pending
}

// owner is the writer that the half belongs to, "" for an ordinary producer.
func (h *half) owner() string {
	if h.link == nil {
		return ""
	}
	return h.link.Writer
}

// HalfID is a half's name on the wire: its unique key and the place of its first copy.
func HalfID(key string, first int64) string { return key + "@" + strconv.FormatInt(first, 10) }

// ParseHalfID is the inverse of HalfID.
func ParseHalfID(id string) (key string, first int64, err error) {
	i := strings.LastIndexByte(id, '@')
	if i < 0 {
		return "", 0, fmt.Errorf("half id %.80q has no @", id)
	}
	first, err = strconv.ParseInt(id[i+1:], 10, 64)
	if err != nil || first < 0 {
		return "", 0, fmt.Errorf("half id %.80q names no place", id)
	}
	return id[:i], first, nil
}

// parseHalf reads a record of the half topic. owner tells whom a topic belongs to.
func parseHalf(rec *message.Record, phys int64, size int32, owner func(topic string) string) (*half, error) {
	h := &half{first: phys, queueFirst: rec.QueueOffset, phys: phys, queue: rec.QueueOffset, size: size, bytes: int64(size),
		stored: rec.StoreTimestamp, immunity: -1}
	get := func(key string) string {
		v, _ := rec.Property(key)
		return strings.Clone(v)
	}
	h.key, h.group = get(message.PropertyUniqueKey), get(message.PropertyProducerGroup)
	h.to.Topic = get(message.PropertyRealTopic)
	q, err := strconv.ParseInt(get(message.PropertyRealQueueID), 10, 32)
	if err != nil || h.to.Topic == "" {
		return nil, fmt.Errorf("half message at %d: it does not say which queue it is bound for", phys)
	}
	h.to.ID = int32(q)
	if v := get(message.PropertyCheckImmunityTime); v != "" {
		if s, err := strconv.ParseInt(v, 10, 32); err == nil && s >= 0 {
			h.immunity = s * 1000
		}
	}
	if v := get(propertyFirst); v != "" {
		if h.first, err = strconv.ParseInt(v, 10, 64); err != nil {
			return nil, fmt.Errorf("half message at %d: property %s: %w", phys, propertyFirst, err)
		}
		if h.queueFirst, err = strconv.ParseInt(get(message.PropertyTransactionPreparedOffset), 10, 64); err != nil {
			return nil, fmt.Errorf("half message at %d: property %s: %w", phys, message.PropertyTransactionPreparedOffset, err)
		}
		h.stored = rec.BornTimestamp
	}
	if w := owner(h.to.Topic); w != "" {
		if l, err := writer.ParseLink(rec.Properties); err == nil && l.Writer == w {
			h.link = &l
		}
	}
	return h, nil
}

// halfRecord turns a record bound for a queue into the half that waits for its decision.
func halfRecord(rec *message.Record) (*message.Record, error) {
	if len(rec.Properties) > message.MaxPropertiesLen-reservedProperties-len(rec.Topic) {
		return nil, fmt.Errorf("a half message's properties may have %d bytes, these have %d: %w",
			message.MaxPropertiesLen-reservedProperties-len(rec.Topic), len(rec.Properties), store.ErrMessageTooLarge)
	}
	out := *rec
	out.Topic, out.QueueID = message.TopicTransactionHalf, 0
	out.SysFlag = message.WithTransactionState(rec.SysFlag, message.TransactionNone)
	p := stripped(rec.Properties, 3*len(rec.Topic), forHalf)
	p = message.AppendProperty(p, message.PropertyRealTopic, rec.Topic)
	p = message.AppendProperty(p, message.PropertyRealQueueID, strconv.Itoa(int(rec.QueueID)))
	p = message.AppendProperty(p, message.PropertyTransactionPrepared, "true")
	out.Properties = message.AppendProperty(p, propertyOurs, "1")
	return &out, nil
}

// finalRecord turns a half's copy into the message that its consumers see. term is the
// resolver's; 0 for an ordinary producer's half.
func finalRecord(into *message.Record, h *half, rec *message.Record, term uint64) {
	*into = *rec
	into.Topic, into.QueueID = h.to.Topic, h.to.ID
	into.SysFlag = message.WithTransactionState(rec.SysFlag, message.TransactionCommit)
	into.PreparedTransactionOffset = h.first
	p := stripped(rec.Properties, 64, forFinal)
	if h.link != nil {
		p = message.DeleteProperty(p[:0], p, message.PropertyWriterTerm)
		p = message.AppendProperty(p, message.PropertyWriterTerm, strconv.FormatUint(term, 10))
		p = message.AppendProperty(p, PropertyHalf, strconv.FormatInt(h.first, 10))
	}
	into.Properties = p
}

// carriedRecord is a half's copy as it is put again.
func carriedRecord(h *half, rec *message.Record) *message.Record {
	out := *rec
	p := stripped(rec.Properties, reservedProperties, forCarry)
	p = message.AppendProperty(p, propertyFirst, strconv.FormatInt(h.first, 10))
	out.Properties = message.AppendProperty(p, message.PropertyTransactionPreparedOffset, strconv.FormatInt(h.queueFirst, 10))
	return &out
}

// purpose says which properties are taken out.
type purpose uint8

const (
	forHalf  purpose = 1 << iota // what only we may say
	forFinal                     // what was said of the half only
	forCarry                     // what a new copy says itself
)

func (p purpose) drops(key string) bool {
	switch key {
	case propertyFirst, message.PropertyTransactionPreparedOffset:
		return true
	case message.PropertyRealTopic, message.PropertyRealQueueID, message.PropertyTransactionPrepared, PropertyHalf, propertyEnd, propertyOurs:
		return p != forCarry
	case message.PropertyTransactionCheckTimes:
		return p == forFinal
	}
	return false
}

// stripped copies raw properties without those that p drops, ending with a separator, with
// room for more.
func stripped(props []byte, room int, p purpose) []byte {
	out := make([]byte, 0, len(props)+room+96)
	for len(props) > 0 {
		entry := props
		end := bytes.IndexByte(props, 0x02)
		if end >= 0 {
			entry, props = props[:end], props[end+1:]
		} else {
			props = nil
		}
		k := bytes.IndexByte(entry, 0x01)
		if k < 0 || p.drops(string(entry[:k])) {
			continue
		}
		out = append(out, entry...)
		out = append(out, 0x02)
	}
	return out
}
