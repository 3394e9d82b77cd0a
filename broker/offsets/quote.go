package offsets

// QuoteKeys turns the unquoted integer keys that some RocketMQ releases write, {0:12},
// into JSON. Valid JSON comes back as it was.
func QuoteKeys(data []byte) []byte {
	var out []byte
	last, inString, key := 0, false, false // key: an object's key may begin here
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString, key = true, false
		case c == '{' || c == ',':
			key = true
		case key && (c == '-' || '0' <= c && c <= '9'):
			end := i + 1
			for end < len(data) && '0' <= data[end] && data[end] <= '9' {
				end++
			}
			if colonFollows(data[end:]) {
				out = append(out, data[last:i]...)
				out = append(append(append(out, '"'), data[i:end]...), '"')
				last = end
			}
			i, key = end-1, false
		case c != ' ' && c != '\t' && c != '\n' && c != '\r':
			key = false
		}
	}
	if out == nil {
		return data
	}
	return append(out, data[last:]...)
}

func colonFollows(b []byte) bool {
	for _, c := range b {
		switch c {
		case ' ', '\t', '\n', '\r':
		default:
			return c == ':'
		}
	}
	return false
}
