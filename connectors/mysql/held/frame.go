package held

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/stream"
)

// Frame says what an event is to the transaction that it belongs to.
type Frame uint8

// The frames. What is none of them holds rows, announces tables, or means nothing.
const (
	None Frame = iota
	GTID
	Begin
	Savepoint
	RollbackTo
	Release
	XAStart
	XAEnd
	Statement  // a statement that is no frame of a transaction
	Commit     // XID, COMMIT, or XA COMMIT … ONE PHASE
	Rollback   // the transaction is withdrawn as a whole
	Prepared   // of an XA transaction: its rows wait
	XACommit   // of one that was prepared before
	XARollback // the same
)

// Rows reports whether events of this type hold rows.
func Rows(t stream.Type) bool {
	switch t {
	case stream.WriteRowsV1, stream.WriteRowsV2, stream.UpdateRowsV1, stream.UpdateRowsV2, stream.DeleteRowsV1, stream.DeleteRowsV2,
		stream.WriteRowsV0, stream.UpdateRowsV0, stream.DeleteRowsV0, stream.PartialUpdateRowsEvent,
		stream.MariaWriteCompressed, stream.MariaUpdateCompressed, stream.MariaDeleteCompressed:
		return true
	}
	return false
}

// waits reports whether an event of a prepared transaction waits for its COMMIT.
func waits(t stream.Type) bool { return t == stream.TableMapEvent || Rows(t) }

// statement finds the frame that a statement is, and what follows its words.
func statement(sql []byte) (f Frame, rest []byte) {
	if string(sql) == "BEGIN" { // in front of most of MySQL's transactions
		return Begin, nil
	}
	sql = bytes.TrimSpace(sql)
	for _, w := range frameWords {
		if rest, ok := afterWords(sql, w.words); ok {
			return w.frame, rest
		}
	}
	return Statement, nil
}

// frameWords are in an order in which the longer of two that begin alike comes first.
// The servers write these statements themselves: BEGIN, SAVEPOINT `a`, XA COMMIT X'01',X”,1.
var frameWords = []struct {
	words string
	frame Frame
}{
	{"BEGIN", Begin}, {"START TRANSACTION", Begin}, {"COMMIT", Commit},
	{"SAVEPOINT", Savepoint},
	{"ROLLBACK WORK TO SAVEPOINT", RollbackTo}, {"ROLLBACK TO SAVEPOINT", RollbackTo},
	{"ROLLBACK WORK TO", RollbackTo}, {"ROLLBACK TO", RollbackTo}, {"ROLLBACK", Rollback},
	{"RELEASE SAVEPOINT", Release},
	{"XA START", XAStart}, {"XA BEGIN", XAStart}, {"XA END", XAEnd}, {"XA PREPARE", XAEnd},
	{"XA COMMIT", XACommit}, {"XA ROLLBACK", XARollback},
}

// afterWords reports whether sql begins with the words, spaces and case aside.
func afterWords(sql []byte, words string) (rest []byte, ok bool) {
	for i := 0; i < len(words); i++ {
		if words[i] == ' ' {
			trimmed := bytes.TrimLeft(sql, " \t\r\n")
			if len(trimmed) == len(sql) {
				return nil, false
			}
			sql = trimmed
			continue
		}
		if len(sql) == 0 || upper(sql[0]) != words[i] {
			return nil, false
		}
		sql = sql[1:]
	}
	if len(sql) > 0 && word(sql[0]) {
		return nil, false
	}
	return bytes.TrimSpace(sql), true
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

func word(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || upper(c) >= 'A' && upper(c) <= 'Z'
}

// name reads the name of a savepoint: in one of the two quotes, or as it stands.
func name(b []byte) string {
	if len(b) >= 2 && (b[0] == '`' || b[0] == '"') && b[len(b)-1] == b[0] {
		q := string(b[:1])
		return strings.ReplaceAll(string(b[1:len(b)-1]), q+q, q)
	}
	return string(b)
}

// preparedID reads an XA_PREPARE event: one_phase (1), format, length of gtrid, length of
// bqual (4 each), both. The identity has the form that statements have in the log.
func preparedID(b []byte) (id string, onePhase bool, err error) {
	if len(b) < 13 {
		return "", false, fmt.Errorf("%w: XA_PREPARE event of %d bytes", stream.ErrCorrupt, len(b))
	}
	format := int32(binary.LittleEndian.Uint32(b[1:]))
	gtrid, bqual := uint64(binary.LittleEndian.Uint32(b[5:])), uint64(binary.LittleEndian.Uint32(b[9:]))
	data := b[13:]
	if gtrid > 64 || bqual > 64 || gtrid+bqual > uint64(len(data)) {
		return "", false, fmt.Errorf("%w: XA_PREPARE event with an identity of %d and %d bytes in %d", stream.ErrCorrupt, gtrid, bqual, len(data))
	}
	return fmt.Sprintf("X'%x',X'%x',%d", data[:gtrid], data[gtrid:gtrid+bqual], format), b[0] != 0, nil
}
