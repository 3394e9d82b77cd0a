package decode

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/connectors/mysql/charset"
	"github.com/millrace/millrace/pipeline/event"
)

// Aspect is what of a table differs.
type Aspect string

// The aspects that are compared. All but the first four are in the log only with
// binlog_row_metadata=FULL, and signs and charsets never are with MariaDB's NO_LOG.
const (
	DiffersInColumns Aspect = "columns"
	DiffersInType    Aspect = "type"
	DiffersInSign    Aspect = "sign"
	DiffersInCharset Aspect = "charset"
	DiffersInName    Aspect = "name"
	DiffersInMembers Aspect = "members"
	DiffersInKey     Aspect = "key"
)

// Difference says where the log's TABLE_MAP describes another table than the tracked
// definition does. It is an ErrMismatch. Its text does not say the table.
type Difference struct {
	Table  event.TableName
	Aspect Aspect
	// Column counts from 1, 0 where the whole table is meant; Name is the tracked one.
	Column int
	Name   string
	// Log and Tracked are what either has, as people read it.
	Log, Tracked string
}

func (d *Difference) Error() string {
	of := fmt.Sprintf("column %d, %s, ", d.Column, d.Name)
	switch d.Aspect {
	case DiffersInColumns:
		return fmt.Sprintf("the table has %s columns in the log and %s in the tracked definition", d.Log, d.Tracked)
	case DiffersInKey:
		return fmt.Sprintf("the primary key is (%s) in the log and (%s) in the tracked definition", d.Log, d.Tracked)
	case DiffersInName:
		return fmt.Sprintf("column %d is named %q in the log and %q in the tracked definition", d.Column, d.Log, d.Tracked)
	case DiffersInMembers:
		return of + fmt.Sprintf("has the members %s in the log and %s in the tracked definition", d.Log, d.Tracked)
	case DiffersInCharset:
		return of + fmt.Sprintf("has the charset %s in the log and %s in the tracked definition", d.Log, d.Tracked)
	}
	return of + fmt.Sprintf("is %s in the log and %s in the tracked definition", d.Log, d.Tracked)
}

// Unwrap makes it an ErrMismatch.
func (d *Difference) Unwrap() error { return ErrMismatch }

// fit plans the decoding of every column, or finds the first difference.
func (d *Decoder) fit(tm *TableMap) error {
	s := d.schema
	ids, members := tm.collations(d.maria), tm.memberNames()
	for i := range s.Columns {
		c := &s.Columns[i]
		differs := func(a Aspect, log, tracked string) error {
			return &Difference{Table: s.Name, Aspect: a, Column: i + 1, Name: c.Name, Log: log, Tracked: tracked}
		}
		if tm.Names != nil && !strings.EqualFold(tm.Names[i], c.Name) {
			return differs(DiffersInName, tm.Names[i], c.Name)
		}
		if log, tracked, ok := charsetFits(c, ids[i]); !ok {
			return differs(DiffersInCharset, log, tracked)
		}
		p, ok := plan(c, tm, i)
		if !ok {
			return differs(DiffersInType, wireName(tm, i, ids[i]), trackedName(c))
		}
		if tm.Unsigned != nil && !signFits(c, tm.Unsigned[i]) {
			return differs(DiffersInSign, signName(tm.Unsigned[i]), signName(!tm.Unsigned[i]))
		}
		if log, ok := membersFit(c, members[i]); !ok {
			return differs(DiffersInMembers, log, fmt.Sprintf("%q", c.Members))
		}
		p.key = slices.Contains(s.PrimaryKey, i)
		d.cols[i] = p
	}
	if !keyFits(s, tm) {
		return &Difference{Table: s.Name, Aspect: DiffersInKey, Log: columnNames(s, tm.Key), Tracked: columnNames(s, s.PrimaryKey)}
	}
	return nil
}

func signName(unsigned bool) string {
	if unsigned {
		return "unsigned"
	}
	return "signed"
}

func signFits(c *event.Column, unsigned bool) bool {
	switch c.Type {
	case event.TypeInt:
		return !unsigned
	case event.TypeUint:
		return unsigned
	}
	return true
}

// charsetFits compares the charset of a column of text or bytes. A collation that is not
// known, of a newer server, says nothing.
func charsetFits(c *event.Column, collation uint16) (log, tracked string, ok bool) {
	set := charset.OfCollation(collation)
	if set == nil {
		return "", "", true
	}
	switch c.Type {
	case event.TypeText, event.TypeEnum, event.TypeSet:
	case event.TypeBinary:
		return set.Name(), "binary", set.Name() == "binary"
	case event.TypeJSON: // MariaDB's, which is text
		if c.Charset == "" {
			return "", "", true
		}
	default:
		return "", "", true
	}
	own := charset.Named(c.Charset)
	if own == nil {
		return set.Name(), c.Charset, false
	}
	return set.Name(), own.Name(), set.Name() == own.Name()
}

// membersFit compares the members of an ENUM or SET. The lists that definitions are read
// from show a question mark for what lies beyond the first plane, or has no character.
func membersFit(c *event.Column, members []string) (log string, ok bool) {
	if members == nil || c.Type != event.TypeEnum && c.Type != event.TypeSet {
		return "", true
	}
	set := charset.Named(c.Charset)
	ok = len(members) == len(c.Members)
	texts := make([]string, len(members))
	for i, m := range members {
		text, _ := set.Append(nil, []byte(m))
		texts[i] = string(text)
		ok = ok && (texts[i] == c.Members[i] || listed(texts[i]) == listed(c.Members[i]))
	}
	return fmt.Sprintf("%q", texts), ok
}

func listed(text string) string {
	return strings.Map(func(r rune) rune {
		if r > 0xffff || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}

// keyFits compares the primary key. Without one the definition may have another key over
// columns that are never NULL, of which the log does not tell.
func keyFits(s *event.Schema, tm *TableMap) bool {
	if tm.Key == nil {
		return true
	}
	return slices.Equal(slices.Sorted(slices.Values(tm.Key)), slices.Sorted(slices.Values(s.PrimaryKey)))
}

func columnNames(s *event.Schema, columns []int) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = s.Columns[c].Name
	}
	return strings.Join(names, ", ")
}

// trackedName is a column's type with its charset, if that counts.
func trackedName(c *event.Column) string {
	switch {
	case c.Type == event.TypeText && c.Charset != "":
		return c.Native + " of " + c.Charset
	}
	return c.Native
}

// wireName is the SQL name of a type in the log, as far as the log tells.
func wireName(tm *TableMap, i int, collation uint16) string {
	t, meta := tm.Types[i], tm.Meta[i]
	if name, ok := fixedNames[t]; ok {
		return name
	}
	low, high := meta&0xff, meta>>8
	kind, text := "", "CHAR"
	if set := charset.OfCollation(collation); set != nil {
		if kind = " of " + set.Name(); set.Name() == "binary" {
			kind, text = "", "BINARY"
		}
	}
	switch t {
	case wireVarchar, wireVarString:
		return fmt.Sprintf("VAR%s of %d bytes%s", text, meta, kind)
	case wireString:
		return fmt.Sprintf("%s of %d bytes%s", text, meta, kind)
	case wireBlob, 249, 250, 251:
		return fmt.Sprintf("BLOB or TEXT with lengths of %d bytes%s", meta, kind)
	case wireDecimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", high, low)
	case wireTimestamp2, wireDateTime2, wireTime2:
		return fmt.Sprintf("%s(%d)", map[byte]string{wireTimestamp2: "TIMESTAMP", wireDateTime2: "DATETIME", wireTime2: "TIME"}[t], meta)
	case wireBit:
		return fmt.Sprintf("BIT(%d)", high*8+low)
	case wireEnum, wireSet:
		return fmt.Sprintf("%s of %d bytes", map[byte]string{wireEnum: "ENUM", wireSet: "SET"}[t], meta)
	}
	return fmt.Sprintf("a type that is not known (%d, %#x)", t, meta)
}

var fixedNames = map[byte]string{
	wireTiny: "TINYINT", wireShort: "SMALLINT", wireInt24: "MEDIUMINT", wireLong: "INT", wireLongLong: "BIGINT", wireFloat: "FLOAT",
	wireDouble: "DOUBLE", wireDate: "DATE", wireNewDate: "DATE", wireYear: "YEAR", wireTimestamp: "TIMESTAMP", wireDateTime: "DATETIME",
	wireTime: "TIME", wireJSON: "JSON", wireGeometry: "GEOMETRY", wireVector: "VECTOR",
	140: "compressed BLOB or TEXT", 141: "compressed VARCHAR",
}
