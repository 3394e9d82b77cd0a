package schema

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// Column makes a column out of its type text, as information_schema shows it. It has
// neither an identity nor a default.
func Column(name, native, charset, collation string, nullable bool) (event.Column, error) {
	c := event.Column{Name: name, Native: native, Nullable: nullable, Charset: strings.ToLower(charset), Collation: strings.ToLower(collation)}
	lower := strings.ToLower(native)
	args, err := typeArgs(native)
	if err != nil {
		return c, fmt.Errorf("column %s: %w", name, err)
	}
	number := func(i, otherwise int) int {
		if i < len(args) {
			if n, err := strconv.Atoi(strings.TrimSpace(args[i])); err == nil {
				return n
			}
		}
		return otherwise
	}
	switch base := decode.BaseType(native); base {
	case "tinyint", "smallint", "mediumint", "int", "integer", "bigint", "bool", "boolean":
		c.Type, c.Precision = event.TypeInt, intWidth(base)
		if strings.Contains(lower, "unsigned") || strings.Contains(lower, "zerofill") {
			c.Type = event.TypeUint
		}
	case "decimal", "numeric", "dec", "fixed":
		c.Type, c.Precision, c.Scale = event.TypeDecimal, number(0, 10), number(1, 0)
	case "float":
		c.Type = event.TypeFloat
		if len(args) == 1 && number(0, 0) > 24 {
			c.Type = event.TypeDouble
		}
	case "double", "real":
		c.Type = event.TypeDouble
	case "date":
		c.Type = event.TypeDate
	case "datetime":
		c.Type, c.Scale = event.TypeDateTime, number(0, 0)
	case "timestamp":
		c.Type, c.Scale = event.TypeTimestamp, number(0, 0)
	case "time":
		c.Type, c.Scale = event.TypeTime, number(0, 0)
	case "year":
		c.Type = event.TypeYear
	case "bit":
		c.Type, c.Length = event.TypeBit, number(0, 1)
	case "json":
		c.Type, c.Charset, c.Collation = event.TypeJSON, "utf8mb4", "utf8mb4_bin"
	case "enum", "set":
		c.Type, c.Members = event.TypeEnum, args
		if base == "set" {
			c.Type = event.TypeSet
		}
	default:
		stringColumn(&c, base, number(0, 1))
	}
	if c.Members == nil && strings.Contains(lower, "compressed") {
		c.Type = event.TypeUnsupported // MariaDB's column compression has a format of its own
	}
	return c, nil
}

func intWidth(base string) int {
	switch base {
	case "tinyint", "bool", "boolean":
		return 1
	case "smallint":
		return 2
	case "mediumint":
		return 3
	case "bigint":
		return 8
	}
	return 4
}

func stringColumn(c *event.Column, base string, n int) {
	switch base {
	case "char", "varchar":
		c.Type, c.Length = event.TypeText, n
	case "tinytext", "text", "mediumtext", "longtext":
		c.Type = event.TypeText
	case "binary", "varbinary":
		c.Type, c.Length = event.TypeBinary, n
	case "tinyblob", "blob", "mediumblob", "longblob", "vector":
		c.Type = event.TypeBinary
	case "uuid", "inet6":
		c.Type, c.Length = event.TypeBinary, 16
	case "inet4":
		c.Type, c.Length = event.TypeBinary, 4
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		c.Type = event.TypeGeometry
	default:
		c.Type = event.TypeUnsupported
	}
	if c.Type != event.TypeText {
		c.Charset, c.Collation = "", ""
	}
}

// typeArgs are the arguments in the brackets of a type text; quoted ones are unquoted.
func typeArgs(native string) ([]string, error) {
	open := strings.IndexByte(native, '(')
	if open < 0 {
		return nil, nil
	}
	var args []string
	s := native[open+1:]
	for {
		s = strings.TrimLeft(s, " ")
		if strings.HasPrefix(s, "'") {
			text, rest, ok := unquote(s)
			if !ok {
				return nil, fmt.Errorf("type %q: a quote is not closed", native)
			}
			args, s = append(args, text), strings.TrimLeft(rest, " ")
		} else {
			end := strings.IndexAny(s, ",)")
			if end < 0 {
				return nil, fmt.Errorf("type %q: a bracket is not closed", native)
			}
			args, s = append(args, strings.TrimSpace(s[:end])), s[end:]
		}
		if s == "" {
			return nil, fmt.Errorf("type %q: a bracket is not closed", native)
		}
		if s[0] == ')' {
			return args, nil
		}
		s = s[1:]
	}
}

// unquote reads a text in single quotes at the start of s, as information_schema shows
// members of ENUM and SET: a quote is doubled, and a backslash stands in front of itself
// and of the letters for NUL, newline and carriage return, whatever the session's mode.
func unquote(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && !seeded.On(seeded.LogTakenAtItsWord):
			i++
			b.WriteByte(unescape(s[i]))
		case s[i] != '\'':
			b.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == '\'':
			b.WriteByte('\'')
			i++
		default:
			return b.String(), s[i+1:], true
		}
	}
	return "", "", false
}

func unescape(c byte) byte {
	switch c {
	case '0':
		return 0
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	}
	return c
}

// quoteMember is the opposite of unquote.
func quoteMember(s string) string { return "'" + memberEscapes.Replace(s) + "'" }

var memberEscapes = strings.NewReplacer("'", "''", `\`, `\\`, "\x00", `\0`, "\n", `\n`, "\r", `\r`)

// Quote puts a name in backquotes.
func Quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// QuoteTable is a table's name for a statement.
func QuoteTable(n event.TableName) string { return Quote(n.DB) + "." + Quote(n.Table) }
