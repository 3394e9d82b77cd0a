package stream

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/go-mysql-org/go-mysql/replication"
)

// GTID names the transaction that follows.
type GTID struct {
	// Source is the server's UUID, or UUID:tag; on MariaDB it is empty.
	Source string
	Number uint64
	// Domain and Server are MariaDB's.
	Domain, Server uint32
	// Micros is the commit time in microseconds where the server says it.
	Micros uint64
	// Standalone is MariaDB's sign for a group without an end event of its own.
	Standalone bool
	// Prepared and Completed are MariaDB's signs for the two ends of an XA transaction.
	Prepared, Completed bool
	// Alter says which part of an ALTER in two phases follows; MariaDB's.
	Alter AlterPhase
}

// AlterPhase is a part of an ALTER that MariaDB logs before it runs and behind it
// (binlog_alter_two_phase). The table is another one where it commits.
type AlterPhase uint8

// The phases; the zero value is a statement that is logged as a whole.
const (
	AlterStarts AlterPhase = 1 << iota
	AlterCommits
	AlterRollsBack
)

// AppendText appends the GTID as the server writes it.
func (g *GTID) AppendText(dst []byte) []byte {
	if g.Source == "" {
		dst = append(strconv.AppendUint(dst, uint64(g.Domain), 10), '-')
		dst = append(strconv.AppendUint(dst, uint64(g.Server), 10), '-')
		return strconv.AppendUint(dst, g.Number, 10)
	}
	dst = append(dst, g.Source...)
	dst = append(dst, ':')
	return strconv.AppendUint(dst, g.Number, 10)
}

// ParseGTID reads an event of one of the GTID types.
func ParseGTID(e *Event) (GTID, error) {
	switch e.Type {
	case MariaGTIDEvent:
		return parseMariaGTID(e)
	case GTIDEvent:
		return parseMySQLGTID(e.Body)
	case GTIDTaggedEvent:
		return parseTagged(e.Body)
	}
	panic(fmt.Sprintf("BUG: event type %d is no GTID", e.Type))
}

// The flags of a MariaDB GTID event.
const (
	mariaStandalone  = 1
	mariaGroupCommit = 2
	mariaPreparedXA  = 64
	mariaCompletedXA = 128
)

func parseMariaGTID(e *Event) (GTID, error) {
	b := e.Body
	if len(b) < 13 {
		return GTID{}, corrupt("GTID event of %d bytes", len(b))
	}
	flags := b[12]
	return GTID{
		Number: binary.LittleEndian.Uint64(b), Domain: binary.LittleEndian.Uint32(b[8:]), Server: e.ServerID,
		Standalone: flags&mariaStandalone != 0, Prepared: flags&mariaPreparedXA != 0, Completed: flags&mariaCompletedXA != 0,
		Alter: alterPhase(flags, b[13:]),
	}, nil
}

// alterPhase reads the second byte of flags, which stands, if at all, behind the number of
// the group commit (8) and the name of the XA transaction (format, 4; two lengths; both
// parts). Of it 2, 4 and 8 are the phases of an ALTER. Events that are shorter are padded
// with zeros.
func alterPhase(flags byte, rest []byte) AlterPhase {
	skip := 0
	if flags&mariaGroupCommit != 0 {
		skip = 8
	}
	if flags&(mariaPreparedXA|mariaCompletedXA) != 0 && len(rest) >= skip+6 {
		skip += 6 + int(rest[skip+4]) + int(rest[skip+5])
	}
	if len(rest) <= skip {
		return 0
	}
	return AlterPhase(rest[skip]>>1) & (AlterStarts | AlterCommits | AlterRollsBack)
}

// parseMySQLGTID reads flags(1) uuid(16) number(8), then, since 5.7, a type byte (2),
// two logical times (8 each), and since 8.0.1 the commit time (7, microseconds).
func parseMySQLGTID(b []byte) (GTID, error) {
	if len(b) < 25 {
		return GTID{}, corrupt("GTID event of %d bytes", len(b))
	}
	g := GTID{Source: uuidText(b[1:17]), Number: binary.LittleEndian.Uint64(b[17:])}
	if len(b) >= 42+7 && b[25] == 2 {
		for i := 6; i >= 0; i-- {
			g.Micros = g.Micros<<8 | uint64(b[42+i])
		}
		g.Micros &^= 1 << 55
	}
	return g, nil
}

func parseTagged(b []byte) (g GTID, err error) {
	defer func() {
		// The library indexes without looking; what it was given is what the server sent.
		if r := recover(); r != nil {
			err = corrupt("tagged GTID event: %v", r)
		}
	}()
	var e replication.GtidTaggedLogEvent
	if err := e.Decode(b); err != nil {
		return GTID{}, corrupt("tagged GTID event: %v", err)
	}
	if len(e.SID) != 16 {
		return GTID{}, corrupt("tagged GTID event with a UUID of %d bytes", len(e.SID))
	}
	g = GTID{Source: uuidText(e.SID), Number: uint64(e.GNO), Micros: e.ImmediateCommitTimestamp}
	if tag := e.Tag.String(); tag != "" {
		g.Source += ":" + tag
	}
	return g, nil
}

func uuidText(b []byte) string {
	var t [36]byte
	hex.Encode(t[:8], b[:4])
	t[8] = '-'
	hex.Encode(t[9:13], b[4:6])
	t[13] = '-'
	hex.Encode(t[14:18], b[6:8])
	t[18] = '-'
	hex.Encode(t[19:23], b[8:10])
	t[23] = '-'
	hex.Encode(t[24:], b[10:16])
	return string(t[:])
}

// Query is a QUERY event: a statement in the log.
type Query struct {
	Thread    uint32
	ErrorCode uint16
	DB        string
	SQL       []byte
	// SQLMode and the charset that the statement's text is in, where the server says.
	SQLMode    uint64
	HasCharset bool
	ClientSet  uint16
	// ExplicitTimestamps is explicit_defaults_for_timestamp: 1 off, 2 on, 0 where the
	// server does not say. MariaDB says when it is on alone.
	ExplicitTimestamps uint8
}

// ParseQuery reads a QUERY event, compressed or not.
func ParseQuery(e *Event) (Query, error) {
	head, err := cutQuery(e.Body)
	if err != nil {
		return Query{}, err
	}
	q := Query{Thread: binary.LittleEndian.Uint32(e.Body), ErrorCode: binary.LittleEndian.Uint16(e.Body[9:]), DB: string(head.db)}
	q.variables(head.variables)
	q.SQL, err = head.text(e.Type)
	return q, err
}

// QueryText is the statement of a QUERY event alone.
func QueryText(e *Event) ([]byte, error) {
	head, err := cutQuery(e.Body)
	if err != nil {
		return nil, err
	}
	return head.text(e.Type)
}

// queryParts are those of a QUERY event's body.
type queryParts struct{ variables, db, sql []byte }

func cutQuery(b []byte) (queryParts, error) {
	if len(b) < 13 {
		return queryParts{}, corrupt("QUERY event of %d bytes", len(b))
	}
	dbLen, varLen := int(b[8]), int(binary.LittleEndian.Uint16(b[11:]))
	rest := b[13:]
	if len(rest) < varLen+dbLen+1 {
		return queryParts{}, corrupt("QUERY event is cut short")
	}
	return queryParts{variables: rest[:varLen], db: rest[varLen : varLen+dbLen], sql: rest[varLen+dbLen+1:]}, nil
}

func (p *queryParts) text(t Type) ([]byte, error) {
	if t != MariaQueryCompressed {
		return p.sql, nil
	}
	return Inflate(nil, p.sql)
}

// ParseLoadQuery reads an EXECUTE_LOAD_QUERY event: a QUERY event with the file's number
// (4), where its name stands in the statement (4, 4) and what is done with duplicates (1)
// behind the first 13 bytes.
func ParseLoadQuery(e *Event) (Query, error) {
	const at, size = 13, 13
	if len(e.Body) < at+size {
		return Query{}, corrupt("EXECUTE_LOAD_QUERY event of %d bytes", len(e.Body))
	}
	plain := *e
	plain.Type = QueryEvent
	plain.Body = append(append(make([]byte, 0, len(e.Body)-size), e.Body[:at]...), e.Body[at+size:]...)
	return ParseQuery(&plain)
}

// variables reads the status variables up to the first that it has no use for.
func (q *Query) variables(b []byte) {
	for len(b) > 0 {
		size := variableSize(b)
		if size < 0 || len(b) < 1+size {
			return
		}
		switch b[0] {
		case 0:
			if binary.LittleEndian.Uint32(b[1:])&mariaExplicitTimestamps != 0 {
				q.ExplicitTimestamps = 2
			}
		case 1:
			q.SQLMode = binary.LittleEndian.Uint64(b[1:])
		case 4:
			q.ClientSet, q.HasCharset = binary.LittleEndian.Uint16(b[1:]), true
		case 16:
			q.ExplicitTimestamps = 1 + b[1]&1
		}
		b = b[1+size:]
	}
}

// mariaExplicitTimestamps is a flag of flags2.
const mariaExplicitTimestamps = 1 << 24

// variableSize is the size of the first status variable behind its number, -1 when it is
// cut short or of a kind that has no use here.
func variableSize(b []byte) int {
	switch b[0] {
	case 0, 10: // flags2, size of the source's event
		return 4
	case 1, 9: // sql_mode, tables to be updated
		return 8
	case 3: // auto_increment
		return 4
	case 4: // character sets
		return 6
	case 5, 6: // time zone, catalog
		if len(b) < 2 {
			return -1
		}
		return 1 + int(b[1])
	case 7, 8: // locale, charset of the database
		return 2
	case 11:
		return invokerSize(b)
	case 12:
		return databasesSize(b)
	case 13: // microseconds
		return 3
	case 16: // explicit_defaults_for_timestamp
		return 1
	}
	return -1
}

// invokerSize is that of a user and a host, each behind its length.
func invokerSize(b []byte) int {
	if len(b) < 2 || len(b) < 3+int(b[1]) {
		return -1
	}
	return 2 + int(b[1]) + int(b[2+int(b[1])])
}

// databasesSize is that of names that end with a zero, behind their number.
func databasesSize(b []byte) int {
	if len(b) < 2 {
		return -1
	}
	size := 1
	if b[1] == 254 { // too many
		return size
	}
	for range b[1] {
		end := bytes.IndexByte(b[1+size:], 0)
		if end < 0 {
			return -1
		}
		size += end + 1
	}
	return size
}
