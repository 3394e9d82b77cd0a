package delta

import (
	"encoding/json"
	"net/url"
)

// Schema is a table's schema as SchemaString holds it.
type Schema struct {
	Type   string  `json:"type"` // struct
	Fields []Field `json:"fields"`
}

// Field is one column. Type is a primitive: long, integer, string, binary, float,
// double, date, timestamp, timestamp_ntz, decimal(p,s).
type Field struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Nullable bool              `json:"nullable"`
	Metadata map[string]string `json:"metadata"`
}

// Text is the schema as JSON.
func (s *Schema) Text() string {
	s.Type = "struct"
	for i := range s.Fields {
		if s.Fields[i].Metadata == nil {
			s.Fields[i].Metadata = map[string]string{}
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic("BUG: a schema that cannot be written: " + err.Error())
	}
	return string(b)
}

// unescape is a path of the log as a file name.
func unescape(p string) string {
	if n, err := url.PathUnescape(p); err == nil {
		return n
	}
	return p
}
