package protocol

import (
	"maps"
	"slices"
	"strings"
)

// EncodeProperties writes configuration as the body of GetBrokerConfig (26):
// lines of key=value.
func EncodeProperties(m map[string]string) []byte {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(k)
		b.WriteByte('=')
		b.WriteString(strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r").Replace(m[k]))
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

// DecodeProperties reads the body of UpdateBrokerConfig (25), which is a Java
// properties text: comments begin with # or !, a name ends at = or :.
func DecodeProperties(b []byte) map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(strings.TrimLeft(line, " \t\f"), "\r\n")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		i := strings.IndexAny(line, "=:")
		if i < 0 {
			m[strings.TrimSpace(line)] = ""
			continue
		}
		m[strings.TrimSpace(line[:i])] = unescapeProperty(strings.TrimLeft(line[i+1:], " \t\f"))
	}
	return m
}

func unescapeProperty(s string) string {
	if !strings.Contains(s, "\\") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch i++; s[i] {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
