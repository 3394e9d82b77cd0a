package schema

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// ChangeKind is what a statement does to a table.
type ChangeKind uint8

// The kinds of changes.
const (
	Altered   ChangeKind = iota + 1 // New is its definition from here on
	Created                         // New is its definition
	Dropped                         // the table is gone
	Truncated                       // its rows are gone
	Unclear                         // it was changed in a way that cannot be followed: its definition must be read, and an attempt is due
	Written                         // rows were changed by a statement, without row events
	Audit                           // it may have been changed: its definition must be compared with the server's
	Noted                           // its definition is as before; Charset, Collation, Key and Indexes may be others
)

// String is the kind's name.
func (k ChangeKind) String() string {
	names := [...]string{"", "altered", "created", "dropped", "truncated", "unclear", "written", "audit", "noted"}
	if int(k) < len(names) && k > 0 {
		return names[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Change is what a statement does to one table.
type Change struct {
	Kind  ChangeKind
	Table event.TableName
	New   *event.Schema
	// From is the table whose definition New is, when that is not the statement's own.
	From event.TableName
	// Charset and Collation of new columns, with New.
	Charset, Collation string
	// Key is the name of the index that is the key, with New.
	Key string
	// Indexes are all indexes of the table, with New; nil when not known.
	Indexes []Index
	// Due says why stored values may be others now without row events; "" when not. With
	// Unclear and Audit it says what was not understood.
	Due string
}

// Current is a table before a statement.
type Current struct {
	Schema             *event.Schema
	Charset, Collation string
	// Key is the name of the index that gives the schema its key, "" when not known.
	Key string
	// Indexes are all indexes of the table; nil when not known.
	Indexes []Index
}

// Statement is a QUERY event that is no frame of a transaction.
type Statement struct {
	SQL    string // in UTF-8
	DB     string // default database
	Number uint64 // of the statement; identities of new columns come from it
	Mode   Mode   // the session's SQL mode, which the event carries
	// MariaDB and Version (see VersionID; 0 = not known) tell which executable comments
	// the server executed.
	MariaDB bool
	Version int
	// LowerCase says that the server keeps names of databases and tables in lower case.
	LowerCase bool
	// Timestamps is the session's explicit_defaults_for_timestamp, where the event has it.
	Timestamps Setting
	// Thread is the session, as the event names it, and ThreadSpecific the event's flag
	// LOG_EVENT_THREAD_SPECIFIC_F (4): without it the statement used no temporary table.
	Thread         uint32
	ThreadSpecific bool
	// Temporary is what is known of the sessions' temporary tables; Apply carries it on.
	Temporary *Temporary
	// Table looks a captured table up, nil when it is not captured or not there.
	Table func(event.TableName) *Current
	// Captures reports whether a table of that name would be captured.
	Captures func(event.TableName) bool
	// Tables lists the captured tables.
	Tables func() []event.TableName
}

// Setting is a setting of a session that can be on or off.
type Setting uint8

// The values of a Setting.
const (
	NotKnown Setting = iota
	Off
	On
)

// Mode is a session's SQL mode.
type Mode uint64

// The SQL modes that change how a statement is read. Servers set the bits of which ANSI
// and ORACLE consist beside the bit of the combination.
const (
	RealAsFloat        Mode = 1 << 0
	PipesAsConcat      Mode = 1 << 1
	ANSIQuotes         Mode = 1 << 2
	IgnoreSpace        Mode = 1 << 3
	Oracle             Mode = 1 << 9  // MariaDB; DATE and BLOB are other types
	MaxDB              Mode = 1 << 12 // MariaDB; TIMESTAMP is another type
	NoBackslashEscapes Mode = 1 << 20
	HighNotPrecedence  Mode = 1 << 29
	EmptyStringIsNull  Mode = 1 << 32 // MariaDB
)

// VersionID is a server's version as executable comments name it: 101119 for
// "10.11.19-MariaDB", 90704 for "9.7.4"; 0 for a text that begins with no version.
func VersionID(version string) int {
	id, rest := 0, version
	for range 3 {
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(rest)
		}
		n, err := strconv.Atoi(rest[:end])
		if err != nil || n > 99 {
			return 0
		}
		id = id*100 + n
		rest = strings.TrimPrefix(rest[end:], ".")
	}
	return id
}
