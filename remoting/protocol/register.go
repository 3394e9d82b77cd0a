package protocol

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
)

// maxRegistration is how large a compressed registration may become.
const maxRegistration = 64 << 20

// RegisterBrokerBody is the body of RegisterBroker (103): JSON, or packed and
// deflated where the header says so.
type RegisterBrokerBody struct {
	TopicConfigs     TopicConfigTable `json:"topicConfigSerializeWrapper"`
	FilterServerList []string         `json:"filterServerList"`
}

func (r *RegisterBrokerBody) encodeBody() ([]byte, error) {
	c := *r
	c.FilterServerList = orEmpty(c.FilterServerList)
	if c.TopicConfigs.TopicConfigTable == nil {
		c.TopicConfigs.TopicConfigTable = map[string]TopicConfig{}
	}
	return marshal(c)
}

// BodyCRC is the checksum of a registration that its header carries.
func BodyCRC(body []byte) int32 { return int32(crc32.ChecksumIEEE(body) & 0x7FFFFFFF) }

// EncodePacked is the compressed form: data version, count of topics, topics,
// filter servers, count of static topics, each with four bytes of length.
func (r *RegisterBrokerBody) EncodePacked() ([]byte, error) {
	version, err := marshal(r.TopicConfigs.DataVersion)
	if err != nil {
		return nil, err
	}
	b := appendPiece(nil, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.TopicConfigs.TopicConfigTable)))
	for _, name := range slices.Sorted(maps.Keys(r.TopicConfigs.TopicConfigTable)) {
		t := r.TopicConfigs.TopicConfigTable[name]
		line, err := t.text()
		if err != nil {
			return nil, err
		}
		b = appendPiece(b, []byte(line))
	}
	filters, err := marshal(orEmpty(r.FilterServerList))
	if err != nil {
		return nil, err
	}
	b = appendPiece(b, filters)
	b = binary.BigEndian.AppendUint32(b, 0)

	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("protocol: pack registration: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("protocol: pack registration: %w", err)
	}
	return out.Bytes(), nil
}

func appendPiece(dst, b []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}

// DecodeRegisterBroker reads a registration in the form that its header says,
// and checks its checksum if the header has one.
func DecodeRegisterBroker(h *RegisterBrokerHeader, body []byte) (*RegisterBrokerBody, error) {
	if got := BodyCRC(body); h.BodyCRC32 != 0 && got != h.BodyCRC32 {
		return nil, fmt.Errorf("protocol: registration of %s has checksum %08x, its header says %08x", h.BrokerName, got, h.BodyCRC32)
	}
	r := new(RegisterBrokerBody)
	if len(body) == 0 {
		return r, nil
	}
	if !h.Compressed {
		return r, DecodeBody(body, r)
	}
	if err := r.decodePacked(body); err != nil {
		return nil, fmt.Errorf("protocol: packed registration of %s: %w", h.BrokerName, err)
	}
	return r, nil
}

func (r *RegisterBrokerBody) decodePacked(body []byte) error {
	z, err := zlib.NewReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(z, maxRegistration+1))
	if err != nil {
		return err
	}
	if len(b) > maxRegistration {
		return fmt.Errorf("it has more than %d bytes", maxRegistration)
	}
	p := pieces{b}
	version, err := p.next()
	if err != nil {
		return err
	}
	if err := DecodeBody(version, &r.TopicConfigs.DataVersion); err != nil {
		return err
	}
	if err := r.decodeTopics(&p); err != nil {
		return err
	}
	filters, err := p.next()
	if err != nil {
		return err
	}
	// Mappings of static topics may follow; we have none of those.
	return DecodeBody(filters, &r.FilterServerList)
}

func (r *RegisterBrokerBody) decodeTopics(p *pieces) error {
	n, err := p.count()
	if err != nil {
		return err
	}
	r.TopicConfigs.TopicConfigTable = make(map[string]TopicConfig)
	for range n {
		line, err := p.next()
		if err != nil {
			return err
		}
		var t TopicConfig
		if err := t.parseText(string(line)); err != nil {
			return err
		}
		r.TopicConfigs.TopicConfigTable[t.TopicName] = t
	}
	return nil
}

// pieces are byte strings with four bytes of length each.
type pieces struct{ rest []byte }

var errPiece = errors.New("it ends early")

func (p *pieces) count() (uint32, error) {
	if len(p.rest) < 4 {
		return 0, errPiece
	}
	n := binary.BigEndian.Uint32(p.rest)
	p.rest = p.rest[4:]
	return n, nil
}

func (p *pieces) next() ([]byte, error) {
	n, err := p.count()
	if err != nil || uint64(n) > uint64(len(p.rest)) {
		return nil, errPiece
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b, nil
}
