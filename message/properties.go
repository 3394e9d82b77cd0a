package message

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Properties that brokers and clients give a meaning to.
const (
	PropertyKeys                      = "KEYS"
	PropertyTags                      = "TAGS"
	PropertyWait                      = "WAIT"
	PropertyDelay                     = "DELAY"
	PropertyRetryTopic                = "RETRY_TOPIC"
	PropertyRealTopic                 = "REAL_TOPIC"
	PropertyRealQueueID               = "REAL_QID"
	PropertyTransactionPrepared       = "TRAN_MSG"
	PropertyProducerGroup             = "PGROUP"
	PropertyMinOffset                 = "MIN_OFFSET"
	PropertyMaxOffset                 = "MAX_OFFSET"
	PropertyOriginMessageID           = "ORIGIN_MESSAGE_ID"
	PropertyReconsumeTime             = "RECONSUME_TIME"
	PropertyMaxReconsumeTimes         = "MAX_RECONSUME_TIMES"
	PropertyMsgRegion                 = "MSG_REGION"
	PropertyTraceSwitch               = "TRACE_ON"
	PropertyUniqueKey                 = "UNIQ_KEY"
	PropertyExtendUniqInfo            = "EXTEND_UNIQ_INFO"
	PropertyConsumeStartTime          = "CONSUME_START_TIME"
	PropertyInnerNum                  = "INNER_NUM"
	PropertyInnerBase                 = "INNER_BASE"
	PropertyCheckImmunityTime         = "CHECK_IMMUNITY_TIME_IN_SECONDS"
	PropertyTransactionPreparedOffset = "TRAN_PREPARED_QUEUE_OFFSET"
	PropertyTransactionID             = "__transactionId__"
	PropertyTransactionCheckTimes     = "TRANSACTION_CHECK_TIMES"
	PropertyInstanceID                = "INSTANCE_ID"
	PropertyCorrelationID             = "CORRELATION_ID"
	PropertyReplyToClient             = "REPLY_TO_CLIENT"
	PropertyTTL                       = "TTL"
	PropertyArriveTime                = "ARRIVE_TIME"
	PropertyPushReplyTime             = "PUSH_REPLY_TIME"
	PropertyCluster                   = "CLUSTER"
	PropertyMessageType               = "MSG_TYPE"
	PropertyPopCheckpoint             = "POP_CK"
	PropertyPopCheckpointOffset       = "POP_CK_OFFSET"
	PropertyFirstPopTime              = "1ST_POP_TIME"
	PropertyShardingKey               = "__SHARDINGKEY"
	PropertyInnerMultiDispatch        = "INNER_MULTI_DISPATCH"
	PropertyInnerMultiQueueOffset     = "INNER_MULTI_QUEUE_OFFSET"
	PropertyTraceContext              = "TRACE_CONTEXT"
	PropertyTimerDelaySec             = "TIMER_DELAY_SEC"
	PropertyTimerDelayMs              = "TIMER_DELAY_MS"
	PropertyTimerDeliverMs            = "TIMER_DELIVER_MS"
	PropertyTimerEnqueueMs            = "TIMER_ENQUEUE_MS"
	PropertyTimerDequeueMs            = "TIMER_DEQUEUE_MS"
	PropertyTimerOutMs                = "TIMER_OUT_MS"
	PropertyTimerRollTimes            = "TIMER_ROLL_TIMES"
	PropertyTimerDeleteUniqueKey      = "TIMER_DEL_UNIQKEY"
	PropertyBornHost                  = "__BORNHOST"
	PropertyDLQOriginTopic            = "DLQ_ORIGIN_TOPIC"
	PropertyDLQOriginMessageID        = "DLQ_ORIGIN_MESSAGE_ID"
	PropertyCRC32                     = "__CRC32#"
)

// Properties of owned queues: which writer, in which term, covers which
// numbers, behind which message (delivery's link).
const (
	PropertyWriter     = "mr_p"
	PropertyWriterTerm = "mr_term"
	PropertyLo         = "mr_lo"
	PropertyHi         = "mr_hi"
	PropertyPrev       = "mr_prev"
	PropertyFrom       = "mr_from"
	PropertyTo         = "mr_to"
	PropertyBase       = "mr_base"
)

// KeySeparator stands between the keys of PropertyKeys.
const KeySeparator = " "

const (
	nameValueSeparator = 0x01
	propertySeparator  = 0x02
)

// CheckProperty says why a property cannot be carried: Java readers skip an
// empty key or value, and the two separators cannot be escaped.
func CheckProperty(key, value string) error {
	switch {
	case key == "":
		return fmt.Errorf("message: a property without a name")
	case value == "":
		return fmt.Errorf("message: property %q is empty; readers would not see it, leave it out", key)
	case strings.ContainsAny(key, "\x01\x02"), strings.ContainsAny(value, "\x01\x02"):
		return fmt.Errorf("message: property %q holds byte 0x01 or 0x02, which separate properties", key)
	}
	return nil
}

// AppendProperty writes one property with its trailing separator.
func AppendProperty(dst []byte, key, value string) []byte {
	dst = append(dst, key...)
	dst = append(dst, nameValueSeparator)
	dst = append(dst, value...)
	return append(dst, propertySeparator)
}

// AppendProperties writes m in the order of its keys, so that equal maps give
// equal bytes. Callers check names and values with CheckProperty first.
func AppendProperties(dst []byte, m map[string]string) []byte {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		dst = AppendProperty(dst, k, m[k])
	}
	return dst
}

// ParseProperties reads raw properties into a map of its own memory. As Java
// does, it skips an entry without a separator, a name or a value, and lets
// the last of two equal names win. The one error is an input that no record
// can hold.
func ParseProperties(b []byte) (map[string]string, error) {
	if len(b) > MaxPropertiesLen {
		return nil, fmt.Errorf("message: properties of %d bytes: a record takes %d", len(b), MaxPropertiesLen)
	}
	m := make(map[string]string, bytes.Count(b, []byte{propertySeparator})+1)
	rest := string(b)
	for rest != "" {
		var entry string
		entry, rest, _ = strings.Cut(rest, "\x02")
		if k, v, ok := strings.Cut(entry, "\x01"); ok && k != "" && v != "" {
			m[k] = v
		}
	}
	return m, nil
}

// Property finds one property in raw bytes without allocating; the value
// shares b's memory. It agrees with ParseProperties.
func Property(b []byte, key string) (string, bool) {
	var found []byte
	for len(b) > 0 {
		entry := b
		if i := bytes.IndexByte(b, propertySeparator); i >= 0 {
			entry, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		n := len(key)
		if n > 0 && len(entry) > n+1 && entry[n] == nameValueSeparator && string(entry[:n]) == key {
			found = entry[n+1:]
		}
	}
	return aliasString(found), found != nil
}

// DeleteProperty appends to dst the properties in b except those named key.
// dst may be b[:0].
func DeleteProperty(dst, b []byte, key string) []byte {
	for len(b) > 0 {
		entry := b
		if i := bytes.IndexByte(b, propertySeparator); i >= 0 {
			entry, b = b[:i+1], b[i+1:]
		} else {
			b = nil
		}
		n := len(key)
		if len(entry) > n && entry[n] == nameValueSeparator && string(entry[:n]) == key {
			continue
		}
		dst = append(dst, entry...)
	}
	return dst
}

// SetProperty returns properties that hold key once, with value, in memory
// of their own.
func SetProperty(b []byte, key, value string) []byte {
	dst := DeleteProperty(make([]byte, 0, len(b)+len(key)+len(value)+3), b, key)
	if n := len(dst); n > 0 && dst[n-1] != propertySeparator {
		dst = append(dst, propertySeparator)
	}
	return AppendProperty(dst, key, value)
}
