package remoting

import (
	"fmt"
	"math"
)

// parseJSONHeader reads b into c. All strings share one copy of b.
func (c *Command) parseJSONHeader(b []byte) error {
	s := scanner{in: append([]byte(nil), b...)}
	if err := c.scanHeader(&s); err != nil {
		return fmt.Errorf("%w: byte %d: %w", ErrBadHeader, s.at, err)
	}
	return nil
}

func (c *Command) scanHeader(s *scanner) error {
	if !s.take('{') {
		return errText("expected {")
	}
	if !s.take('}') {
		for {
			key, err := s.key()
			if err != nil {
				return err
			}
			if err := c.scanMember(s, key); err != nil {
				return err
			}
			if s.take('}') {
				break
			}
			if !s.take(',') {
				return errText("expected , or }")
			}
		}
	}
	if s.space(); s.at != len(s.in) {
		return errText("something follows the header's object")
	}
	return nil
}

// scanMember reads the value of one key of the header; of an unknown key only
// its form.
func (c *Command) scanMember(s *scanner, key string) (err error) {
	switch key {
	case "code":
		c.Code, err = scanInt(s, c.Code, math.MinInt32, math.MaxInt32)
	case "version":
		c.Version, err = scanInt(s, c.Version, math.MinInt32, math.MaxInt32)
	case "opaque":
		c.Opaque, err = scanInt(s, c.Opaque, math.MinInt32, math.MaxInt32)
	case "flag":
		c.Flag, err = scanInt(s, c.Flag, math.MinInt32, math.MaxInt32)
	case "language":
		err = c.scanLanguage(s)
	case "remark":
		if s.peek() != 'n' {
			c.Remark, err = s.str()
			return err
		}
		err = s.skip(0)
	case "extFields":
		err = c.scanFields(s)
	default:
		err = s.skip(0)
	}
	return err
}

func (c *Command) scanLanguage(s *scanner) error {
	switch s.peek() {
	case '"':
		name, err := s.str()
		c.Language = languageOf([]byte(name))
		return err
	case 'n':
		return s.skip(0)
	}
	n, err := scanInt(s, 0, 0, math.MaxUint8)
	if c.Language = Language(n); c.Language >= languages {
		c.Language = LanguageOther
	}
	return err
}

// scanFields reads extFields: an object of strings, numbers, booleans and
// nulls, where null means that the field is not there.
func (c *Command) scanFields(s *scanner) error {
	if s.peek() == 'n' {
		return s.skip(0)
	}
	if !s.take('{') {
		return errText("extFields: expected {")
	}
	if s.take('}') {
		return nil
	}
	var seen fieldSet
	if c.Ext.Len() > 0 { // extFields came twice: compare them all
		seen = ^seen
	}
	for {
		key, value, plain, err := s.pair()
		if err != nil {
			return err
		}
		if plain {
			err = seen.put(&c.Ext, key, value)
		} else {
			err = c.scanField(s, &seen)
		}
		if err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errText("extFields: expected , or }")
		}
	}
}

func (c *Command) scanField(s *scanner, seen *fieldSet) error {
	key, err := s.key()
	if err != nil {
		return err
	}
	switch s.peek() {
	case '"':
		value, err := s.str()
		if err != nil {
			return err
		}
		return seen.put(&c.Ext, key, value)
	case '{', '[':
		return errText("extFields: a value is an object or a list")
	case 'n':
		if err := s.skip(0); err != nil {
			return err
		}
		c.Ext.Delete(key)
	default:
		from := s.at
		if err := s.skip(0); err != nil {
			return err
		}
		return seen.put(&c.Ext, key, s.text(from, s.at))
	}
	return nil
}

// scanInt reads an integer, or null, which leaves old.
func scanInt[T int | int32](s *scanner, old T, lo, hi int64) (T, error) {
	if s.peek() == 'n' {
		return old, s.skip(0)
	}
	n, err := s.int64()
	if err != nil {
		return 0, err
	}
	if n < lo || n > hi {
		return 0, errText("number is out of range")
	}
	return T(n), nil
}
