package remoting

import (
	"encoding/binary"
	"fmt"
)

// FrameLen checks a length field before anything is allocated for it. It is
// told apart from bytes that were never a frame (a browser, a port scanner)
// only by being too large.
func FrameLen(head [LengthLen]byte, limit int) (int, error) {
	n := binary.BigEndian.Uint32(head[:])
	if uint64(n) > uint64(limit) {
		return 0, fmt.Errorf("%w: it announces %d bytes, the limit is %d", ErrFrameTooLarge, n, limit)
	}
	if n < 4 {
		return 0, fmt.Errorf("%w: it announces %d bytes", ErrBadFrame, n)
	}
	return int(n), nil
}

// AppendFrame encodes c with its length, header and body behind dst. It fails
// when the frame would exceed MaxFrame.
func AppendFrame(dst []byte, c *Command) ([]byte, error) {
	start := len(dst)
	dst, err := AppendFrameHeader(dst, c)
	if err != nil {
		return dst[:start], err
	}
	return append(dst, c.Body...), nil
}

// AppendFrameHeader encodes c without its body, which the caller writes right
// behind from where it lies. On an error dst is returned as it was.
func AppendFrameHeader(dst []byte, c *Command) ([]byte, error) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	switch c.Serialization {
	case SerializationJSON:
		dst = appendJSONHeader(dst, c)
	case SerializationRocketMQ:
		var err error
		if dst, err = appendBinaryHeader(dst, c); err != nil {
			return dst[:start], err
		}
	default:
		return dst[:start], fmt.Errorf("%w: no header has form %d", ErrBadHeader, c.Serialization)
	}
	header := len(dst) - start - 8
	if total := 4 + header + len(c.Body); total > MaxFrame || header > MaxHeader {
		return dst[:start], fmt.Errorf("%w: %s has a header of %d bytes, the limit for both is %d",
			ErrFrameTooLarge, c, header, MaxFrame)
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(4+header+len(c.Body)))
	binary.BigEndian.PutUint32(dst[start+4:], uint32(c.Serialization)<<24|uint32(header))
	return dst, nil
}

// ParseFrame decodes a frame without its length field. The command's body
// shares frame's memory, its strings do not.
func ParseFrame(frame []byte) (*Command, error) {
	c := new(Command)
	if err := c.Parse(frame); err != nil {
		return nil, err
	}
	return c, nil
}

// Parse is ParseFrame into a command that may have been used before: the
// memory of its ext fields is used again. After an error c means nothing.
func (c *Command) Parse(frame []byte) error {
	if len(frame) < 4 {
		return fmt.Errorf("%w: it has %d bytes", ErrBadFrame, len(frame))
	}
	word := binary.BigEndian.Uint32(frame)
	header := int(word & MaxHeader)
	if header > len(frame)-4 {
		return fmt.Errorf("%w: header of %d bytes in %d that are left", ErrBadFrame, header, len(frame)-4)
	}
	c.Ext.Reset()
	*c = Command{Ext: c.Ext, Serialization: Serialization(word >> 24), Body: frame[4+header:]}
	switch c.Serialization {
	case SerializationJSON:
		return c.parseJSONHeader(frame[4 : 4+header])
	case SerializationRocketMQ:
		return c.parseBinaryHeader(frame[4 : 4+header])
	}
	return fmt.Errorf("%w: no header has form %d", ErrBadFrame, c.Serialization)
}
