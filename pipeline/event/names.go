package event

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// maxTopic is the longest topic name that RocketMQ's own tools accept.
const maxTopic = 127

// TopicName is the data topic of a table: <pipeline>--<db>--<table>. Bytes in
// [A-Za-z0-9_] stay, every other byte is -HH, so that the separators are unambiguous.
// A name longer than 127 bytes is cut and ended by -- and the 16 hex digits of the
// whole name's xxh64; two such names can collide, which the bus refuses.
func TopicName(pipeline string, t TableName) string {
	b := make([]byte, 0, 64)
	b = append(b, pipeline...)
	b = append(b, "--"...)
	b = appendEscaped(b, t.DB)
	b = append(b, "--"...)
	b = appendEscaped(b, t.Table)
	if len(b) <= maxTopic {
		return string(b)
	}
	sum := xxhash.Sum64(b)
	cut := maxTopic - 18
	for i := 1; i <= 2 && cut > 0; i++ { // not inside an escape
		if b[cut-i] == '-' {
			cut -= i
			break
		}
	}
	return fmt.Sprintf("%s--%016x", b[:cut], sum)
}

// CheckpointTopic, SchemaTopic and ControlTopic are a pipeline's own topics, one queue each.
func CheckpointTopic(pipeline string) string { return pipeline + "--checkpoint" }

// SchemaTopic holds the pipeline's schemas.
func SchemaTopic(pipeline string) string { return pipeline + "--schema" }

// ControlTopic holds the claims of the pipeline's sinks. It is also the name of the
// writer that owns it.
func ControlTopic(pipeline string) string { return pipeline + "--control" }

// TopicPrefix is what the names of all topics of a pipeline begin with. No other
// pipeline's do: a pipeline's name has no hyphen.
func TopicPrefix(pipeline string) string { return pipeline + "--" }

// SinkGroup is the consumer group of a sink.
func SinkGroup(pipeline, sink string) string { return pipeline + "--" + sink }

func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_':
			dst = append(dst, c)
		default:
			dst = append(dst, '-', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// Parts of identities that are not rows' (which have 0 and 1). A DDL, a TRUNCATE and
// the END of a transaction stand beside rows of their transaction, so they need a part
// that no row has.
const (
	PartDDL      = 2
	PartTruncate = 3
	PartTxEnd    = 4
	PartMark     = 5 // BEGIN, END of an attempt, heartbeat, barrier: named by their number
)

// Identity is the item's identity. Items without a message of their own have none.
func (it *Item) Identity() Identity {
	tx := ""
	if it.Tx != nil {
		tx = it.Tx.ID
	}
	switch it.Kind {
	case KindRow:
		return Identity{Tx: tx, Index: it.Index, Part: it.Part}
	case KindDDL:
		return Identity{Tx: tx, Index: it.Index, Part: PartDDL}
	case KindTruncate:
		return Identity{Tx: tx, Index: it.Index, Part: PartTruncate}
	case KindBegin:
		return MarkIdentity("begin", it.Seq)
	case KindEnd:
		return MarkIdentity("end", it.Seq)
	case KindHeartbeat:
		return MarkIdentity("beat", it.Seq)
	}
	return Identity{}
}

// MarkIdentity is the identity of a mark that has only a number.
func MarkIdentity(what string, seq Seq) Identity {
	return Identity{Tx: what + "/" + strconv.FormatUint(uint64(seq), 10), Part: PartMark}
}

// TxEndIdentity is the identity of the END of a transaction.
func TxEndIdentity(tx string) Identity { return Identity{Tx: tx, Part: PartTxEnd} }

// IsZero reports whether the identity names nothing.
func (id Identity) IsZero() bool { return id == Identity{} }

// String is the identity's text form, <tx>#<index>.<part>; "" for the zero one. Equal
// identities have equal texts and the other way round.
func (id Identity) String() string {
	if id.IsZero() {
		return ""
	}
	return string(id.AppendText(nil))
}

// AppendText appends the text form to dst.
func (id Identity) AppendText(dst []byte) []byte {
	dst = append(dst, id.Tx...)
	dst = append(dst, '#')
	dst = strconv.AppendUint(dst, id.Index, 10)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, uint64(id.Part), 10)
}

// MarshalText and UnmarshalText let an identity stand in JSON as its text.
func (id Identity) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is ParseIdentity.
func (id *Identity) UnmarshalText(b []byte) (err error) {
	*id, err = ParseIdentity(string(b))
	return err
}

// ParseIdentity reads the text form.
func ParseIdentity(s string) (Identity, error) {
	if s == "" {
		return Identity{}, nil
	}
	hash := strings.LastIndexByte(s, '#')
	dot := strings.LastIndexByte(s, '.')
	if hash < 0 || dot < hash {
		return Identity{}, malformed("identity %q is not <tx>#<index>.<part>", clip(s))
	}
	index, ok1 := parseDecimal(s[hash+1:dot], 64)
	part, ok2 := parseDecimal(s[dot+1:], 8)
	id := Identity{Tx: s[:hash], Index: index, Part: uint8(part)}
	if !ok1 || !ok2 || id.IsZero() {
		return Identity{}, malformed("identity %q is not <tx>#<index>.<part>", clip(s))
	}
	return id, nil
}

// parseDecimal reads a canonical decimal: no sign, no leading zero.
func parseDecimal(s string, bits int) (uint64, bool) {
	if s == "" || s[0] == '+' || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil
}

// clip keeps a hostile text out of a log.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// ParseTableName reads "db.table"; the first dot divides.
func ParseTableName(s string) (TableName, error) {
	db, table, ok := strings.Cut(s, ".")
	if !ok || db == "" || table == "" {
		return TableName{}, malformed("table %q is not db.table", clip(s))
	}
	return TableName{DB: db, Table: table}, nil
}
