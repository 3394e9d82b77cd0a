package remoting

import (
	"encoding/binary"
	"fmt"
	"math"
)

// binaryFixedLen is the shortest binary header: everything but remark and ext
// fields.
const binaryFixedLen = 2 + 1 + 2 + 4 + 4 + 4 + 4

// A binary header's code has 16 bits. These requests of RocketMQ 5 are wider
// and arrive reduced modulo 65536.
const (
	wideCodeFirst = 200050
	wideCodeLast  = 200151
	wideCodeFold  = 3 << 16
)

// unfoldCode gives a request code of a binary header its upper bits back.
func unfoldCode(code int) int {
	if wide := code + wideCodeFold; wide >= wideCodeFirst && wide <= wideCodeLast {
		return wide
	}
	return code
}

func appendBinaryHeader(dst []byte, c *Command) ([]byte, error) {
	be := binary.BigEndian
	dst = be.AppendUint16(dst, uint16(c.Code))
	dst = append(dst, byte(c.Language))
	dst = be.AppendUint16(dst, uint16(c.Version))
	dst = be.AppendUint32(dst, uint32(c.Opaque))
	dst = be.AppendUint32(dst, uint32(c.Flag))
	dst = be.AppendUint32(dst, uint32(len(c.Remark)))
	dst = append(dst, c.Remark...)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for _, f := range c.Ext.fields {
		if len(f.Key) > math.MaxInt16 {
			return dst, fmt.Errorf("%w: a name of %d bytes does not fit a binary header", ErrBadHeader, len(f.Key))
		}
		dst = be.AppendUint16(dst, uint16(len(f.Key)))
		dst = append(dst, f.Key...)
		dst = be.AppendUint32(dst, uint32(len(f.Value)))
		dst = append(dst, f.Value...)
	}
	be.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst, nil
}

func (c *Command) parseBinaryHeader(b []byte) error {
	if len(b) < binaryFixedLen {
		return fmt.Errorf("%w: binary header of %d bytes, the least is %d", ErrBadHeader, len(b), binaryFixedLen)
	}
	be := binary.BigEndian
	c.Code = int(int16(be.Uint16(b)))
	c.Language = Language(b[2])
	if c.Language >= languages {
		c.Language = LanguageOther
	}
	c.Version = int(int16(be.Uint16(b[3:])))
	c.Opaque = int32(be.Uint32(b[5:]))
	c.Flag = int32(be.Uint32(b[9:]))
	if !c.IsResponse() {
		c.Code = unfoldCode(c.Code)
	}
	// One copy holds the remark and every field.
	s := string(b[13:])
	remark, s, ok := cutLen32(s)
	if !ok || len(s) < 4 {
		return fmt.Errorf("%w: remark is cut short", ErrBadHeader)
	}
	c.Remark = remark
	fields, rest, ok := cutLen32(s)
	if !ok || rest != "" {
		return fmt.Errorf("%w: ext fields do not end where the header does", ErrBadHeader)
	}
	return c.parseBinaryFields(fields)
}

func (c *Command) parseBinaryFields(s string) error {
	var seen fieldSet
	for s != "" {
		if len(s) < 2 {
			return fmt.Errorf("%w: ext field %d is cut short", ErrBadHeader, c.Ext.Len())
		}
		n := int(s[0])<<8 | int(s[1])
		if n > math.MaxInt16 || n > len(s)-2 {
			return fmt.Errorf("%w: ext field %d has a name of %d bytes in %d that are left", ErrBadHeader, c.Ext.Len(), n, len(s)-2)
		}
		key := s[2 : 2+n]
		value, rest, ok := cutLen32(s[2+n:])
		if !ok {
			return fmt.Errorf("%w: value of ext field %d is cut short", ErrBadHeader, c.Ext.Len())
		}
		if err := seen.put(&c.Ext, key, value); err != nil {
			return fmt.Errorf("%w: %w", ErrBadHeader, err)
		}
		s = rest
	}
	return nil
}

// cutLen32 takes a string with four bytes of length off the front of s.
func cutLen32(s string) (value, rest string, ok bool) {
	if len(s) < 4 {
		return "", "", false
	}
	n := uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
	if uint64(n) > uint64(len(s)-4) {
		return "", "", false
	}
	return s[4 : 4+n], s[4+n:], true
}
