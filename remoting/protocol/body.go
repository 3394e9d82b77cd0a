package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// bodyEncoder is a body with something that json.Marshal cannot say.
type bodyEncoder interface{ encodeBody() ([]byte, error) }

// bodyDecoder is the same for reading. Its input is standard JSON in which an
// object that was a key has become the text of that object.
type bodyDecoder interface{ decodeBody([]byte) error }

// EncodeBody encodes a body of this package. Pass a pointer.
func EncodeBody(body any) ([]byte, error) {
	if e, ok := body.(bodyEncoder); ok {
		return e.encodeBody()
	}
	return marshal(body)
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("protocol: encode %T: %w", v, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// DecodeBody reads a body of this package, from standard JSON or from what
// fastjson makes of maps whose keys are numbers or objects. Unknown members
// are ignored. Pass a pointer.
func DecodeBody(b []byte, body any) error {
	err := decode(b, body)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		standard, err2 := quoteKeys(b)
		if err2 != nil {
			return fmt.Errorf("protocol: decode %T of %d bytes: %w", body, len(b), err2)
		}
		err = decode(standard, body)
	}
	if err != nil {
		return fmt.Errorf("protocol: decode %T of %d bytes: %w", body, len(b), err)
	}
	return nil
}

func decode(b []byte, body any) error {
	if d, ok := body.(bodyDecoder); ok {
		return d.decodeBody(b)
	}
	return json.Unmarshal(b, body)
}
