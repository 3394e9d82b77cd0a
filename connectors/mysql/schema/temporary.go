package schema

import (
	"slices"

	"github.com/millrace/millrace/pipeline/event"
)

// Temporary knows the temporary tables of the sessions whose statements are in the log.
// It is a pure value of what was read: nothing of it outlives the process, so that after
// a start the temporary tables of sessions that go on are not known. The event's flag
// says that a statement used some temporary table: with it, a statement about a captured
// name that is not known to be temporary has that table read anew; without it, a session
// whose end was not seen leaves nothing behind. RENAME TABLE alone has no flag in
// MariaDB: of one that is not known, the old name is dropped and the new one made known
// by asking, and the next row of the old name brings it back.
//
// A table is known from the statement that made it up to the one that dropped it, both
// by their numbers: a statement that is read again after a lost connection finds what it
// found the first time. The zero Temporary is ready; one belongs to one reader.
type Temporary struct {
	tables []temporaryTable // by since, ascending
}

type temporaryTable struct {
	thread uint32
	name   event.TableName
	// since and until are the numbers of the statements that made and dropped it; until
	// is 0 as long as it is there.
	since, until uint64
}

// maxTemporary bounds the tables that are remembered. Beyond it the oldest is forgotten;
// statements about it are unsure then, as they are after a start.
const maxTemporary = 4096

// create notes a temporary table.
func (t *Temporary) create(thread uint32, name event.TableName, number uint64) {
	if t.is(thread, name, number) {
		return
	}
	if slices.ContainsFunc(t.tables, func(e temporaryTable) bool { return e.thread == thread && e.name == name && e.since == number }) {
		return // read again
	}
	if len(t.tables) >= maxTemporary {
		t.forget()
	}
	t.tables = append(t.tables, temporaryTable{thread: thread, name: name, since: number})
}

// forget makes room: dropped tables first, else the oldest.
func (t *Temporary) forget() {
	half := len(t.tables) / 2
	dropped := 0
	t.tables = slices.DeleteFunc(t.tables, func(e temporaryTable) bool {
		if e.until != 0 && dropped < half {
			dropped++
			return true
		}
		return false
	})
	if dropped == 0 {
		t.tables = slices.Delete(t.tables, 0, half)
	}
}

// is reports whether the session had a temporary table of that name when the statement
// with that number came.
func (t *Temporary) is(thread uint32, name event.TableName, number uint64) bool {
	return t.find(thread, name, number) != nil
}

func (t *Temporary) find(thread uint32, name event.TableName, number uint64) *temporaryTable {
	if t == nil {
		return nil
	}
	for i := range t.tables {
		e := &t.tables[i]
		if e.thread == thread && e.name == name && e.since < number && (e.until == 0 || e.until >= number) {
			return e
		}
	}
	return nil
}

// drop ends a temporary table, and reports whether there was one.
func (t *Temporary) drop(thread uint32, name event.TableName, number uint64) bool {
	e := t.find(thread, name, number)
	if e == nil {
		return false
	}
	e.until = number
	return true
}

// rename gives a temporary table another name.
func (t *Temporary) rename(thread uint32, from, to event.TableName, number uint64) bool {
	if !t.drop(thread, from, number) {
		return false
	}
	t.create(thread, to, number)
	return true
}

// Restart forgets everything: the server was started anew, and with its sessions their
// temporary tables ended.
func (t *Temporary) Restart() { t.tables = nil }
