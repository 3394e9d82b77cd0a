package writer

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/message"
)

// Link is what a message of an owned queue says of its place: it covers the numbers Lo to
// Hi and stands right behind the message whose last number is Prev (0: it is the first).
type Link struct {
	Writer       string
	Term         uint64
	Lo, Hi, Prev uint64
	To           string // identity of the last item, opaque to the broker
	Base         bool   // property mr_base is set
}

// ParseLink reads a link from raw properties. The strings are copies. The error, an
// ErrIllegal, names the property at fault.
func ParseLink(props []byte) (Link, error) {
	var l Link
	var seen [5]bool
	for len(props) > 0 {
		entry := props
		if i := bytes.IndexByte(props, 0x02); i >= 0 {
			entry, props = props[:i], props[i+1:]
		} else {
			props = nil
		}
		if !bytes.HasPrefix(entry, []byte("mr_")) {
			continue
		}
		key, value, ok := bytes.Cut(entry, []byte{0x01})
		if !ok || len(value) == 0 {
			continue
		}
		if err := l.set(string(key), value, &seen); err != nil {
			return Link{}, err
		}
	}
	for i, name := range [...]string{message.PropertyWriter, message.PropertyWriterTerm, message.PropertyLo,
		message.PropertyHi, message.PropertyPrev} {
		if !seen[i] {
			return Link{}, fmt.Errorf("%w: property %s is missing", ErrIllegal, name)
		}
	}
	return l, l.check()
}

func (l *Link) set(key string, value []byte, seen *[5]bool) error {
	var to *uint64
	var i int
	switch key {
	case message.PropertyWriter:
		l.Writer, seen[0] = string(value), true
		return nil
	case message.PropertyTo:
		l.To = string(value)
		return nil
	case message.PropertyBase:
		l.Base = true
		return nil
	case message.PropertyWriterTerm:
		to, i = &l.Term, 1
	case message.PropertyLo:
		to, i = &l.Lo, 2
	case message.PropertyHi:
		to, i = &l.Hi, 3
	case message.PropertyPrev:
		to, i = &l.Prev, 4
	default:
		return nil
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: property %s is %.40q, which is no number", ErrIllegal, key, value)
	}
	*to, seen[i] = n, true
	return nil
}

func (l *Link) check() error {
	switch {
	case l.Term == 0:
		return fmt.Errorf("%w: %s is 0; terms start at 1", ErrIllegal, message.PropertyWriterTerm)
	case l.Hi == 0 || l.Lo > l.Hi:
		return fmt.Errorf("%w: it covers %d to %d", ErrIllegal, l.Lo, l.Hi)
	case l.Prev >= l.Hi:
		return fmt.Errorf("%w: it covers up to %d but follows %d", ErrIllegal, l.Hi, l.Prev)
	}
	return nil
}
