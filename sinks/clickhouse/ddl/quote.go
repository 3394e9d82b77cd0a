package ddl

import "strings"

// Ident quotes a name.
func Ident(name string) string {
	var b strings.Builder
	b.WriteByte('`')
	escape(&b, name, '`')
	b.WriteByte('`')
	return b.String()
}

// String quotes a text.
func String(text string) string {
	var b strings.Builder
	b.WriteByte('\'')
	escape(&b, text, '\'')
	b.WriteByte('\'')
	return b.String()
}

func escape(b *strings.Builder, s string, quote byte) {
	for i := range len(s) {
		switch c := s[i]; c {
		case quote, '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case 0:
			b.WriteString(`\0`)
		case '\n':
			b.WriteString(`\n`)
		default:
			b.WriteByte(c)
		}
	}
}

// Name is a table's name with its database.
type Name struct{ Database, Table string }

// String is the name as a statement has it.
func (n Name) String() string { return Ident(n.Database) + "." + Ident(n.Table) }

// Plain is the name for people and as a key of the bookkeeping.
func (n Name) Plain() string { return n.Database + "." + n.Table }
