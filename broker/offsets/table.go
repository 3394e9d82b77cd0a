package offsets

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/millrace/millrace/remoting/protocol"
)

// ErrTooMany refuses a commit for which there is no room.
var ErrTooMany = errors.New("too many consumer offsets on this broker")

// separator stands between topic and group in the file; no name holds it.
const separator = "@"

// Key names a group's progress on one topic.
type Key struct{ Topic, Group string }

// Table is safe for concurrent use.
type Table struct {
	limit int

	mu      sync.RWMutex
	queues  map[Key]map[int32]int64
	entries int
	version protocol.DataVersion
	dirty   bool
}

// New returns an empty table that holds at most limit offsets.
func New(limit int) *Table {
	return &Table{limit: limit, queues: map[Key]map[int32]int64{}}
}

// Commit notes that group goes on at offset. It may go backwards: a reset does.
func (t *Table) Commit(k Key, queue int32, offset int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queues[k]
	old, known := q[queue]
	if known && old == offset {
		return nil
	}
	if !known {
		if t.entries >= t.limit {
			return fmt.Errorf("group %s, topic %s: %w (%d)", k.Group, k.Topic, ErrTooMany, t.limit)
		}
		if q == nil {
			q = map[int32]int64{}
			t.queues[k] = q
		}
		t.entries++
	}
	q[queue] = offset
	t.dirty = true
	return nil
}

// Get returns where a group goes on.
func (t *Table) Get(k Key, queue int32) (offset int64, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	offset, ok = t.queues[k][queue]
	return offset, ok
}

// Queues returns a copy of a group's offsets on a topic.
func (t *Table) Queues(k Key) map[int32]int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make(map[int32]int64, len(t.queues[k]))
	for q, o := range t.queues[k] {
		out[q] = o
	}
	return out
}

// Keys lists what groups have read, sorted by topic, then group.
func (t *Table) Keys() []Key {
	t.mu.RLock()
	keys := make([]Key, 0, len(t.queues))
	for k := range t.queues {
		keys = append(keys, k)
	}
	t.mu.RUnlock()
	sort.Slice(keys, func(i, j int) bool {
		if keys[i].Topic != keys[j].Topic {
			return keys[i].Topic < keys[j].Topic
		}
		return keys[i].Group < keys[j].Group
	})
	return keys
}

// DropTopic forgets all offsets of a topic that is deleted: a later topic of that name
// begins anew.
func (t *Table) DropTopic(topic string) { t.drop(func(k Key) bool { return k.Topic == topic }) }

// DropGroup forgets all offsets of a group.
func (t *Table) DropGroup(group string) { t.drop(func(k Key) bool { return k.Group == group }) }

func (t *Table) drop(gone func(Key) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, q := range t.queues {
		if gone(k) {
			t.entries -= len(q)
			delete(t.queues, k)
			t.dirty = true
		}
	}
}

func (k Key) text() string { return k.Topic + separator + k.Group }

func parseKey(s string) (Key, bool) {
	topic, group, ok := strings.Cut(s, separator)
	return Key{Topic: topic, Group: group}, ok && topic != "" && group != ""
}
