package protocol

import "github.com/millrace/millrace/remoting"

// OpenWriterHeader opens the queues that a writer owns (31001).
type OpenWriterHeader struct {
	Writer string
	Term   uint64
	Opener string // random, one per attempt
}

func (h *OpenWriterHeader) walk(k *codec) {
	k.str("writer", &h.Writer, required)
	k.uint64("term", &h.Term, required)
	k.str("opener", &h.Opener, required)
}

// Encode writes the header into c.
func (h *OpenWriterHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *OpenWriterHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "OpenWriterRequestHeader", h.walk)
}

// OpenWriterResponseHeader answers OpenWriter.
type OpenWriterResponseHeader struct {
	Term uint64
}

func (h *OpenWriterResponseHeader) walk(k *codec) {
	k.uint64("term", &h.Term, required)
}

// Encode writes the header into c.
func (h *OpenWriterResponseHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *OpenWriterResponseHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "OpenWriterResponseHeader", h.walk)
}

// ResolveHeader commits and rolls back halves (31002).
type ResolveHeader struct {
	Writer string
	Term   uint64
}

func (h *ResolveHeader) walk(k *codec) {
	k.str("writer", &h.Writer, required)
	k.uint64("term", &h.Term, required)
}

// Encode writes the header into c.
func (h *ResolveHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *ResolveHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "ResolveRequestHeader", h.walk)
}

// RefusalHeader goes with Stale (Known: the term), Duplicate and Gap (Last: mr_hi of the queue's last message).
type RefusalHeader struct {
	Known uint64
	Last  uint64
}

func (h *RefusalHeader) walk(k *codec) {
	k.uint64("known", &h.Known, optional)
	k.uint64("last", &h.Last, optional)
}

// Encode writes the header into c.
func (h *RefusalHeader) Encode(c *remoting.Command) { encodeHeader(c, h.walk) }

// Decode reads the header of c.
func (h *RefusalHeader) Decode(c *remoting.Command) error {
	return decodeHeader(c, "RefusalResponseHeader", h.walk)
}
