package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/pipeline/event"
)

// Difference says in which way two definitions of a table differ so that rows would be
// read or shown differently, "" when they do not: the columns' names and order, types,
// charsets, nullability and members, and the key. Identities, defaults, collations and
// display widths are not compared: a definition that the server shows has none of the
// former, and the others change no value.
func Difference(tracked, server *event.Schema) string {
	if tracked == nil || server == nil {
		if tracked == server {
			return ""
		}
		return map[bool]string{true: "the table is known but not there", false: "the table is there but not known"}[server == nil]
	}
	if t, s := columnNames(tracked), columnNames(server); !slices.Equal(t, s) {
		return fmt.Sprintf("the columns are %s, on the server %s", strings.Join(t, ", "), strings.Join(s, ", "))
	}
	for i := range tracked.Columns {
		if why := columnDiffers(&tracked.Columns[i], &server.Columns[i]); why != "" {
			return "column " + tracked.Columns[i].Name + " " + why
		}
	}
	if t, s := keyNames(tracked), keyNames(server); !slices.Equal(t, s) {
		return fmt.Sprintf("the key is (%s), on the server (%s)", strings.Join(t, ", "), strings.Join(s, ", "))
	}
	return ""
}

func columnNames(s *event.Schema) (out []string) {
	for i := range s.Columns {
		out = append(out, s.Columns[i].Name)
	}
	return out
}

func keyNames(s *event.Schema) (out []string) {
	for _, k := range s.PrimaryKey {
		out = append(out, s.Columns[k].Name)
	}
	return out
}

func columnDiffers(t, s *event.Column) string {
	switch {
	case t.Type != s.Type || decode.BaseType(t.Native) != decode.BaseType(s.Native) ||
		t.Length != s.Length || t.Precision != s.Precision || t.Scale != s.Scale:
		return fmt.Sprintf("is %s, on the server %s", t.Native, s.Native)
	case t.Charset != s.Charset:
		return fmt.Sprintf("has charset %q, on the server %q", t.Charset, s.Charset)
	case t.Nullable != s.Nullable:
		return map[bool]string{true: "may be NULL, on the server it may not", false: "may not be NULL, on the server it may"}[t.Nullable]
	case !slices.Equal(t.Members, s.Members):
		return fmt.Sprintf("has members %q, on the server %q", t.Members, s.Members)
	case t.Generated != s.Generated:
		return map[bool]string{true: "is generated, on the server it is not", false: "is not generated, on the server it is"}[t.Generated]
	}
	return ""
}
