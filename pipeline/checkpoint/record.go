package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// Version is the version of the records written; a higher one is refused.
const Version = 1

// ErrMalformed says that a message of the checkpoint queue is not a record.
var ErrMalformed = errors.New("malformed checkpoint record")

// Type tells the records apart.
type Type string

// The types of records.
const (
	TypeOpen  Type = "open"
	TypeGroup Type = "group"
	TypeBase  Type = "base"
)

// Record is one message of the checkpoint queue.
type Record struct {
	Version int    `json:"v"`
	Type    Type   `json:"type"`
	Term    uint64 `json:"term,string"`
	// Num is the record's own number in the queue (mr_hi): every record has one.
	Num uint64 `json:"num,string"`
	// Pred is the number of the last valid Group or Base before it; 0 in an Open, and in
	// the first record of all.
	Pred  uint64 `json:"pred,string,omitempty"`
	Group *Group `json:"group,omitempty"`
	Part  *Part  `json:"part,omitempty"`
}

// Part is one message of a Base. The state's JSON is cut into Of pieces.
type Part struct {
	Index int    `json:"index"`
	Of    int    `json:"of"`
	Data  []byte `json:"data"`
}

// GroupKind says what a group is made of.
type GroupKind string

// The kinds of groups. A chunk, a DDL and a barrier (BEGIN, END, TRUNCATE) are groups of
// their own.
const (
	KindRows      GroupKind = "rows"
	KindDDL       GroupKind = "ddl"
	KindChunk     GroupKind = "chunk"
	KindBarrier   GroupKind = "barrier"
	KindHeartbeat GroupKind = "heartbeat"
)

// Group decides one publish group.
type Group struct {
	N    uint64    `json:"n,string"`
	Kind GroupKind `json:"kind"`
	// From and To bound what the group holds of the source's log.
	From Position `json:"from"`
	To   Position `json:"to"`
	// Halves are its messages, one a queue.
	Halves []Half `json:"halves,omitempty"`
	// Resolved is the highest group known to be visible as a whole.
	Resolved uint64 `json:"resolved,string"`
	// Trim are the queues whose messages are still held against what is read again.
	Trim []Trim `json:"trim,omitempty"`
	// Attempts are those that the group moved, as they are after it; Ended those that it
	// finished; Due those that became due with it.
	Attempts []Attempt   `json:"attempts,omitempty"`
	Ended    []TableName `json:"ended,omitempty"`
	Due      []Due       `json:"due,omitempty"`
	// Reserved are the numbers that its chunk or barrier takes.
	Reserved []Reservation `json:"reserved,omitempty"`
	// Tables are new ones and those whose schema changed; Dropped are gone.
	Tables  []Table     `json:"tables,omitempty"`
	Dropped []TableName `json:"dropped,omitempty"`
	Paused  []Paused    `json:"paused,omitempty"`
	Resumed []TableName `json:"resumed,omitempty"`
	// OpenTx is set when the group ends inside a transaction.
	OpenTx *OpenTx `json:"open_tx,omitempty"`
	// Marks are the messages of a ddl or barrier group, from which they can be made anew.
	Marks []Mark `json:"marks,omitempty"`
}

// Mark is the mark that goes into every queue of a table.
type Mark struct {
	Table TableName   `json:"table"`
	Mark  *event.Mark `json:"mark"`
}

// Half is one message of a group and the half that it was sent as.
type Half struct {
	Queue Queue          `json:"q"`
	ID    string         `json:"id,omitempty"`
	Tx    string         `json:"tx,omitempty"`
	Lo    event.Seq      `json:"lo,string"`
	Hi    event.Seq      `json:"hi,string"`
	Prev  event.Seq      `json:"prev,string"`
	To    event.Identity `json:"to"`
}

// Trim says that the messages of a queue behind From, up to Upto, hold rows that are
// being read again.
type Trim struct {
	Queue Queue     `json:"q"`
	From  event.Seq `json:"from,string"`
	Upto  event.Seq `json:"upto,string"`
}

// Due is an attempt that is to begin.
type Due struct {
	Table TableName `json:"table"`
	Cause string    `json:"cause"`
}

// Attempt is a snapshot in progress.
type Attempt struct {
	Table    TableName `json:"table"`
	Begin    event.Seq `json:"begin,string"`
	Chunk    uint64    `json:"chunk"`
	Cursor   []byte    `json:"cursor,omitempty"`
	Rows     uint64    `json:"rows"`
	Estimate uint64    `json:"estimate"`
	Cause    string    `json:"cause,omitempty"`
}

// Reservation is a range of numbers: see event.Reservation. Epoch is the one that its
// counter belongs to.
type Reservation struct {
	Epoch uint16 `json:"epoch"`
	At    uint64 `json:"at,string"`
	Count uint64 `json:"count,string"`
}

// Table is a captured table: its schema in force and its part of the route.
type Table struct {
	Name    TableName      `json:"name"`
	Schema  event.SchemaID `json:"schema"`
	Topic   string         `json:"topic"`
	Queues  int            `json:"queues"`
	Key     []string       `json:"key,omitempty"`
	Keyless bool           `json:"keyless,omitempty"`
	// Route is the version of this table's route; Hash names its function.
	Route int    `json:"route"`
	Hash  string `json:"hash,omitempty"`
	// Gone says that the source has dropped it. What is in its queues is for the targets.
	Gone bool `json:"gone,omitempty"`
}

// Paused is a table that stands still, with its reason and a position of its own.
type Paused struct {
	Table  TableName       `json:"table"`
	Code   event.PauseCode `json:"code"`
	Text   string          `json:"text"`
	Serial string          `json:"serial,omitempty"`
	Where  Position        `json:"where"`
}

// OpenTx is what is known of a transaction in which a group ended: the row counts that
// its END will carry.
type OpenTx struct {
	ID     string       `json:"id"`
	Tables []TableCount `json:"tables,omitempty"`
	Queues []QueueCount `json:"queues,omitempty"`
}

// TableCount and QueueCount are the transaction's rows so far.
type TableCount struct {
	Table TableName `json:"table"`
	Rows  uint64    `json:"rows"`
}

// QueueCount is the same for a queue.
type QueueCount struct {
	Queue Queue  `json:"q"`
	Rows  uint64 `json:"rows"`
}

// TableName is event.TableName with a JSON form.
type TableName event.TableName

// MarshalText writes db and table with a NUL between, which neither can hold.
func (t TableName) MarshalText() ([]byte, error) { return []byte(t.DB + "\x00" + t.Table), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *TableName) UnmarshalText(b []byte) error {
	db, table, ok := strings.Cut(string(b), "\x00")
	if !ok || strings.Contains(table, "\x00") {
		return fmt.Errorf("%w: table name %q", ErrMalformed, b)
	}
	t.DB, t.Table = db, table
	return nil
}

// Queue is an owned queue. Its text form is broker/topic/number.
type Queue struct {
	Broker, Topic string
	ID            int
}

func (q Queue) String() string { return q.Broker + "/" + q.Topic + "/" + strconv.Itoa(q.ID) }

// MarshalText is String.
func (q Queue) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads the text form; a broker's name may hold slashes.
func (q *Queue) UnmarshalText(b []byte) error {
	s := string(b)
	j := strings.LastIndexByte(s, '/')
	if j < 0 {
		return fmt.Errorf("%w: queue %q", ErrMalformed, s)
	}
	i := strings.LastIndexByte(s[:j], '/')
	id, err := strconv.Atoi(s[j+1:])
	if i < 0 || err != nil || id < 0 || strconv.Itoa(id) != s[j+1:] {
		return fmt.Errorf("%w: queue %q", ErrMalformed, s)
	}
	*q = Queue{Broker: s[:i], Topic: s[i+1 : j], ID: id}
	return nil
}

// Encode is the body of the record's message.
func Encode(r *Record) ([]byte, error) {
	r.Version = Version
	if err := r.check(); err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

// Decode reads a message body.
func Decode(b []byte) (*Record, error) {
	var r Record
	if err := decodeStrictly(b, &r); err != nil {
		return nil, err
	}
	return &r, r.check()
}

func decodeStrictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if d.More() {
		return fmt.Errorf("%w: more than one value", ErrMalformed)
	}
	return nil
}

// maxParts bounds a Base.
const maxParts = 4096

func (r *Record) check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: record %d: %s", ErrMalformed, r.Num, fmt.Sprintf(format, a...))
	}
	switch {
	case r.Version != Version:
		return bad("version %d, this program knows %d", r.Version, Version)
	case r.Term == 0 || r.Num == 0 || r.Pred >= r.Num:
		return bad("term %d behind record %d", r.Term, r.Pred)
	}
	switch r.Type {
	case TypeOpen:
		if r.Group != nil || r.Part != nil || r.Pred != 0 {
			return bad("an Open says more than its term")
		}
	case TypeGroup:
		if r.Group == nil || r.Part != nil || r.Group.N == 0 || r.Group.Resolved >= r.Group.N {
			return bad("not a group")
		}
		for _, h := range r.Group.Halves {
			if h.Lo == 0 || h.Hi < h.Lo || h.Prev >= h.Lo {
				return bad("numbers %d to %d behind %d of queue %s do not rise", h.Lo, h.Hi, h.Prev, h.Queue)
			}
		}
	case TypeBase:
		if p := r.Part; p == nil || r.Group != nil || p.Index < 0 || p.Of < 1 || p.Index >= p.Of || p.Of > maxParts {
			return bad("not a part of a base")
		}
	default:
		return bad("type %q", r.Type)
	}
	return nil
}
