package chserver

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"time"
)

// Kind is a kind of what clients ask for.
type Kind string

// The kinds of requests that a fault can wait for.
const (
	Any     Kind = ""        // every statement
	Connect Kind = "connect" // a client's hello
	Insert  Kind = "insert"  // INSERT in all its forms
	Select  Kind = "select"  // SELECT and WITH
	Other   Kind = "other"   // every other statement
)

// Point is a place in the life of a request.
type Point string

// The points at which a fault can strike.
const (
	// Begin is before anything has happened.
	Begin Point = ""
	// Received is when an insert's rows have all come and nothing is committed, as long as they
	// fit one block of the engine's (1,048,449 rows or 256 MiB). The engine's query is open: it
	// is in system.processes and can be killed. For other statements it is Begin.
	Received Point = "received"
	// Landed is when the engine has done its work and nothing is answered.
	Landed Point = "landed"
)

// Fault is something that goes wrong. Which requests it strikes say On, Table, Match, Skip
// and Times; At says when; the rest says what happens, in their order here. A fault that only
// delays or holds lets the request go on.
type Fault struct {
	On    Kind   `json:"on,omitempty"`
	Table string `json:"table,omitempty"` // pattern (path.Match) of an insert's database.table
	Match string `json:"match,omitempty"` // regular expression that the statement's text holds
	Skip  int    `json:"skip,omitempty"`  // so many requests pass first
	Times int    `json:"times,omitempty"` // 0 is once, below 0 is always
	At    Point  `json:"at,omitempty"`

	Delay time.Duration `json:"delay,omitempty"`
	Hold  bool          `json:"hold,omitempty"` // wait until the fault is released or removed
	Crash bool          `json:"crash,omitempty"`
	Drop  bool          `json:"drop,omitempty"` // close the connection without an answer
	// Code and Message are an error for the client. At Landed the work is done all the same.
	Code    int32  `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// Refusal is an error for the client in the words that ClickHouse has for a code; where, when and
// how often are the caller's to add.
func Refusal(code int32) Fault {
	message := fmt.Sprintf("error %d, as the test asked", code)
	switch code {
	case 159:
		message = "Timeout exceeded: elapsed 10.0 seconds, maximum: 10 seconds"
	case 164:
		message = "default: Cannot execute query in readonly mode"
	case 202:
		message = "Too many simultaneous queries. Maximum: 100"
	case 209:
		message = "Timeout exceeded while receiving data from client. Waited for 300 seconds, timeout is 300 seconds"
	case 241:
		message = "(total) memory limit exceeded: would use 8.00 GiB (attempt to allocate chunk of 4.00 MiB), maximum: 7.99 GiB"
	case 242:
		message = "Table is in readonly mode (replica path: /clickhouse/tables/1/replicas/1)"
	case 243:
		message = "Cannot reserve 1.00 MiB, not enough space"
	case 252:
		message = "Too many parts (3000 with average size of 1.00 KiB) in table. Merges are processing significantly slower than inserts"
	case 285:
		message = "Number of alive replicas (1) is less than requested quorum (1/2)"
	case 319:
		message = "Unknown status, client must retry. Reason: Session expired"
	case 497:
		message = "default: Not enough privileges. To execute this query, it's necessary to have the grant INSERT ON db.table"
	case 999:
		message = "Session expired"
	}
	return Fault{Code: code, Message: message}
}

// Check says what is wrong with a fault.
func (f Fault) Check() error {
	if _, err := path.Match(f.Table, ""); err != nil {
		return fmt.Errorf("table %q: %w", f.Table, err)
	}
	if _, err := regexp.Compile(f.Match); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	switch f.On {
	case Any, Connect, Insert, Select, Other:
	default:
		return fmt.Errorf("on %q: connect, insert, select, other or nothing is wanted", f.On)
	}
	switch f.At {
	case Begin, Received, Landed:
	default:
		return fmt.Errorf("at %q: received, landed or nothing is wanted", f.At)
	}
	if f.Table != "" && f.On != Insert {
		return errors.New("a table can be named for inserts only")
	}
	if !f.Hold && !f.Crash && !f.Drop && f.Code == 0 && f.Delay == 0 {
		return errors.New("a fault without delay, hold, crash, drop and code does nothing")
	}
	return nil
}

// FaultState is what a fault has done so far.
type FaultState struct {
	Hits int `json:"hits"` // requests that it has struck
	Held int `json:"held"` // requests that wait for its release
}

// User is one that may connect.
type User struct {
	Name     string `json:"name"`
	Password string `json:"password,omitempty"`
	// ReadOnly is the engine's setting readonly: 1 refuses writes and settings, 2 writes (164).
	ReadOnly int `json:"readonly,omitempty"`
	// Grants are what the user may do, as in "SELECT ON db.*"; none is everything. The engine
	// refuses the rest (497).
	Grants []string `json:"grants,omitempty"`
}

// Options say how a server is started.
type Options struct {
	// Users may connect; with none, everybody may, as whom they say.
	Users []User `json:"users,omitempty"`
	// Settings are those of the default profile, beside async_insert=0.
	Settings map[string]string `json:"settings,omitempty"`
	// MergeTree are settings of every MergeTree table, such as parts_to_throw_insert.
	MergeTree map[string]string `json:"merge_tree,omitempty"`
	// Version is what the server says it is, such as "24.3.1.1"; "" is the truth.
	Version string `json:"version,omitempty"`
}

// Addresses are what a server that listens writes into the file of that name in its directory.
type Addresses struct {
	Native  string `json:"native"`
	Control string `json:"control"`
	Version string `json:"version"`
}

// AddressesFile is the name of that file.
const AddressesFile = "addresses.json"
