package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Type is the type code of an event.
type Type = byte

// The event types that mean something to a reader. Others are passed on untouched.
const (
	QueryEvent             Type = 2
	StopEvent              Type = 3
	RotateEvent            Type = 4
	FormatEvent            Type = 15
	XIDEvent               Type = 16
	ExecuteLoadQuery       Type = 18
	TableMapEvent          Type = 19
	WriteRowsV0            Type = 20
	UpdateRowsV0           Type = 21
	DeleteRowsV0           Type = 22
	WriteRowsV1            Type = 23
	UpdateRowsV1           Type = 24
	DeleteRowsV1           Type = 25
	IncidentEvent          Type = 26
	HeartbeatEvent         Type = 27
	WriteRowsV2            Type = 30
	UpdateRowsV2           Type = 31
	DeleteRowsV2           Type = 32
	GTIDEvent              Type = 33
	AnonymousGTIDEvent     Type = 34
	PreviousGTIDsEvent     Type = 35
	XAPrepareEvent         Type = 38
	PartialUpdateRowsEvent Type = 39
	TransactionPayload     Type = 40
	HeartbeatV2Event       Type = 41
	GTIDTaggedEvent        Type = 42
	AnnotateRowsEvent      Type = 160
	BinlogCheckpointEvent  Type = 161
	MariaGTIDEvent         Type = 162
	MariaGTIDListEvent     Type = 163
	StartEncryptionEvent   Type = 164
	MariaQueryCompressed   Type = 165
	MariaWriteCompressed   Type = 166
	MariaUpdateCompressed  Type = 167
	MariaDeleteCompressed  Type = 168
	MariaPartialRowData    Type = 172
)

const (
	headerSize   = 19
	checksumSize = 4

	flagArtificial = 0x20
)

// Place is where the event that holds an Event lies in the log, and what identifies it
// there: for an event out of a compressed transaction that is the compressed one.
type Place struct {
	File       string
	Start, End uint64
	Type       Type
	Time       uint32
	Size       uint32
	Checksum   uint32
}

// Event is one event, decompressed. Body aliases memory that the reader hands over with
// its batch; it stays valid as long as it is referred to.
type Event struct {
	Type     Type
	Flags    uint16
	Time     uint32
	ServerID uint32
	// Body is the event without header and checksum.
	Body  []byte
	Place Place
	// Packed is true for events out of a compressed transaction.
	Packed bool
}

// Artificial reports whether the server made the event up for this connection: it is
// not in the log.
func (e *Event) Artificial() bool { return e.Flags&flagArtificial != 0 }

// ErrCorrupt says that the bytes that came do not follow the log's format or fail their
// checksum.
var ErrCorrupt = errors.New("binary log event is corrupt")

func corrupt(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, a...))
}

// header is the common header of version 4.
type header struct {
	time, serverID, size, logPos uint32
	typ                          Type
	flags                        uint16
}

func parseHeader(b []byte) (header, error) {
	if len(b) < headerSize {
		return header{}, corrupt("%d bytes do not hold a header", len(b))
	}
	h := header{
		time: binary.LittleEndian.Uint32(b), typ: b[4], serverID: binary.LittleEndian.Uint32(b[5:]),
		size: binary.LittleEndian.Uint32(b[9:]), logPos: binary.LittleEndian.Uint32(b[13:]),
		flags: binary.LittleEndian.Uint16(b[17:]),
	}
	if int64(h.size) != int64(len(b)) {
		return header{}, corrupt("event of type %d says it has %d bytes, has %d", h.typ, h.size, len(b))
	}
	return h, nil
}
