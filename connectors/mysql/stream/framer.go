package stream

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// framer turns raw events into Events: it verifies checksums and keeps the place in
// the log. It is the reader's half that needs no socket.
type framer struct {
	file     string
	pos      uint64
	checksum bool // events carry a CRC32
	known    bool // a format description was seen
}

// frame reads one raw event. raw is kept.
func (f *framer) frame(raw []byte) (Event, error) {
	h, err := parseHeader(raw)
	if err != nil {
		return Event{}, err
	}
	if h.typ == FormatEvent {
		if err := f.format(raw); err != nil {
			return Event{}, err
		}
	}
	body, sum := raw[headerSize:], uint32(0)
	if f.checksum && !f.bare(h, raw) {
		if len(body) < checksumSize {
			return Event{}, corrupt("event of type %d at %s:%d has no room for its checksum", h.typ, f.file, f.pos)
		}
		cut := len(raw) - checksumSize
		sum = binary.LittleEndian.Uint32(raw[cut:])
		if got := checksumOf(raw[:cut]); got != sum {
			return Event{}, corrupt("event of type %d at %s:%d: checksum %08x, computed %08x", h.typ, f.file, f.pos, sum, got)
		}
		body = body[:len(body)-checksumSize]
	} else if endsTransaction(h.typ) {
		// Where the log has no checksums the fingerprint still needs one.
		sum = crc32.ChecksumIEEE(raw)
	}
	e := Event{Type: h.typ, Flags: h.flags, Time: h.time, ServerID: h.serverID, Body: body}
	f.place(&e, h)
	e.Place.Checksum = sum
	return e, nil
}

// checksumOf is an event's checksum; the flag that its file is in use does not count.
func checksumOf(raw []byte) uint32 {
	const inUse = 1
	if raw[4] != FormatEvent || raw[17]&inUse == 0 {
		return crc32.ChecksumIEEE(raw)
	}
	sum := crc32.ChecksumIEEE(raw[:17])
	sum = crc32.Update(sum, crc32.IEEETable, []byte{raw[17] &^ inUse})
	return crc32.Update(sum, crc32.IEEETable, raw[18:])
}

// place finds the event's place and moves the framer behind it.
func (f *framer) place(e *Event, h header) {
	p := Place{File: f.file, Start: f.pos, End: f.pos, Type: h.typ, Time: h.time, Size: h.size}
	switch {
	case h.typ == RotateEvent:
		if !e.Artificial() && h.logPos != 0 {
			p.End = f.end(h)
		}
		if len(e.Body) > 8 {
			f.pos = binary.LittleEndian.Uint64(e.Body)
			f.file = string(e.Body[8:])
		}
		e.Place = p
		return
	case h.typ == HeartbeatEvent: // says how far the server has read, whatever it sent of it
		if f.file == string(e.Body) {
			p.End = f.end(h)
		} else {
			p.File, p.End = string(e.Body), uint64(h.logPos)
		}
		e.Place = p
		return
	case h.typ == HeartbeatV2Event || e.Artificial():
	case h.typ == FormatEvent:
		if h.logPos != 0 {
			p.End = uint64(h.logPos)
			p.Start = p.End - min(p.End, uint64(h.size))
			if f.pos > p.End { // repeated for a connection that begins inside the file
				p.Start, p.End = f.pos, f.pos
			}
		}
	default:
		p.End = f.end(h)
		p.Start = p.End - uint64(h.size)
	}
	f.pos = p.End
	e.Place = p
}

// end is the position behind an event. The header has its low 32 bits, or 0 where the
// server (MariaDB from 11.4 on) did not know it when it wrote the event.
func (f *framer) end(h header) uint64 {
	guess := f.pos + uint64(h.size)
	if h.logPos == 0 {
		return guess
	}
	end := guess&^(1<<32-1) | uint64(h.logPos)
	if end+1<<31 < guess {
		end += 1 << 32
	} else if end > guess+1<<31 && end >= 1<<32 {
		end -= 1 << 32
	}
	return end
}

// format reads the format description: whether checksums follow.
func (f *framer) format(raw []byte) error {
	const versionAt, versionLen = headerSize + 2, 50
	if len(raw) < versionAt+versionLen+4+1+5 {
		return corrupt("format description of %d bytes", len(raw))
	}
	if v := binary.LittleEndian.Uint16(raw[headerSize:]); v != 4 {
		return corrupt("log format version %d; only 4 is read", v)
	}
	// Every server that is read writes the algorithm's byte and, whatever it is, four
	// bytes behind it.
	alg := raw[len(raw)-5]
	if alg > 1 {
		return corrupt("checksum algorithm %d is unknown", alg)
	}
	f.checksum, f.known = alg == 1, true
	return nil
}

// bare reports whether an event has no checksum although the log has them: the rotation
// that a server makes up in front of the first format description.
func (f *framer) bare(h header, raw []byte) bool {
	if h.typ != RotateEvent || h.flags&flagArtificial == 0 && h.logPos != 0 {
		return false
	}
	cut := len(raw) - checksumSize
	return cut < headerSize+8 || crc32.ChecksumIEEE(raw[:cut]) != binary.LittleEndian.Uint32(raw[cut:])
}

// endsTransaction reports whether an event of this type can be the last one of a
// transaction.
func endsTransaction(t Type) bool {
	switch t {
	case XIDEvent, QueryEvent, MariaQueryCompressed, XAPrepareEvent, TransactionPayload:
		return true
	}
	return false
}

// Version reads the server's version out of a format description.
func Version(e *Event) string {
	if e.Type != FormatEvent || len(e.Body) < 52 {
		return ""
	}
	v, _, _ := bytes.Cut(e.Body[2:52], []byte{0})
	return strings.TrimSpace(string(v))
}

// ParseFile reads the events of a whole log file.
func ParseFile(name string, raw []byte) ([]Event, error) {
	if len(raw) < 4 || string(raw[:4]) != "\xfebin" {
		return nil, corrupt("%s does not begin like a binary log", name)
	}
	f := framer{file: name, pos: 4}
	var out []Event
	for at := 4; at < len(raw); {
		if len(raw)-at < headerSize {
			return nil, corrupt("%s is cut short at %d", name, at)
		}
		n := int(binary.LittleEndian.Uint32(raw[at+9:]))
		if n < headerSize || n > len(raw)-at {
			return nil, corrupt("%s: event of %d bytes at %d", name, n, at)
		}
		e, err := f.frame(raw[at : at+n : at+n])
		if err != nil {
			return nil, err
		}
		if e.Type == TransactionPayload {
			err = unpack(&e, func(inner Event) error { out = append(out, inner); return nil })
			if err != nil {
				return nil, err
			}
		} else {
			out = append(out, e)
		}
		at += n
	}
	return out, nil
}
