package protocol_test

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/millrace/millrace/remoting/protocol"
)

// FuzzBody takes any bytes for a body of every type: what is accepted is
// written and read again to the same, and JSON is read as encoding/json does.
func FuzzBody(f *testing.F) {
	for _, body := range golden(f) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		for name, of := range bodies() {
			got := reflect.New(reflect.TypeOf(of).Elem()).Interface()
			if protocol.DecodeBody(b, got) != nil {
				continue
			}
			encoded, err := protocol.EncodeBody(got)
			if err != nil {
				t.Fatalf("%s: %+v: %v", name, got, err)
			}
			again := reflect.New(reflect.TypeOf(of).Elem()).Interface()
			if err := protocol.DecodeBody(encoded, again); err != nil {
				t.Fatalf("%s: read again %q: %v", name, encoded, err)
			}
			twice, err := protocol.EncodeBody(again)
			if err != nil || string(twice) != string(encoded) {
				t.Fatalf("%s: %q became %q, %v", name, encoded, twice, err)
			}
		}
		var tolerant, strict any
		if json.Unmarshal(b, &strict) == nil {
			if err := protocol.DecodeBody(b, &tolerant); err != nil || !reflect.DeepEqual(tolerant, strict) {
				t.Fatalf("%v, encoding/json has %v: %v", tolerant, strict, err)
			}
		}
	})
}

func FuzzRegistration(f *testing.F) {
	b, err := hex.DecodeString(golden(f)["RegisterBrokerBody-packed"])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, true)
	f.Add([]byte(golden(f)["RegisterBrokerBody"]), false)
	f.Fuzz(func(t *testing.T, b []byte, packed bool) {
		r, err := protocol.DecodeRegisterBroker(&protocol.RegisterBrokerHeader{Compressed: packed}, b)
		if err != nil {
			return
		}
		if _, err := r.EncodePacked(); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte("a=1\n#c\nb:2\\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := protocol.DecodeProperties(b)
		if len(m) > len(b)+1 {
			t.Fatalf("%d entries of %d bytes", len(m), len(b))
		}
	})
}
