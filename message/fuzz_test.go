package message_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/message"
)

func FuzzParseRecord(f *testing.F) {
	for name, v := range golden(f) {
		if strings.HasPrefix(name, "record-") {
			f.Add(unhex(f, v))
		}
	}
	f.Add(message.AppendBlank(nil, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := message.ParseRecord(b)
		if err != nil {
			return
		}
		if n > len(b) || n < message.HeadLen {
			t.Fatalf("size %d of %d", n, len(b))
		}
		used := message.Record{Version: 9, ReconsumeTimes: 1, PreparedTransactionOffset: 1, Flag: 1, Body: b, Topic: "old", Properties: b}
		if k, err := used.Parse(b); k != n || err != nil || !reflect.DeepEqual(used, r) {
			t.Fatalf("into a used record: %+v, %v, want %+v", used, err, r)
		}
		encoded, err := message.AppendRecord(nil, &r)
		if err != nil || len(encoded) != n && r.BornHost.Addr().Is6() == r.BornHost.Addr().Unmap().Is6() &&
			r.StoreHost.Addr().Is6() == r.StoreHost.Addr().Unmap().Is6() {
			t.Fatalf("re-encoded %d of %d bytes: %v", len(encoded), n, err)
		}
		again, _, err := message.ParseRecord(encoded)
		if err != nil || again.Topic != r.Topic || !bytes.Equal(again.Body, r.Body) || !bytes.Equal(again.Properties, r.Properties) {
			t.Fatalf("read again: %+v, %v", again, err)
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add(unhex(f, golden(f)["batch"]))
	f.Fuzz(func(t *testing.T, b []byte) {
		var encoded []byte
		it := message.IterateBatch(b)
		for it.Next() {
			var err error
			if encoded, err = message.AppendBatchItem(encoded, it.Item); err != nil {
				t.Fatal(err)
			}
		}
		if it.Err() == nil && len(encoded) != len(b) {
			t.Fatalf("re-encoded %d of %d bytes", len(encoded), len(b))
		}
	})
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte("a\x01b\x02c\x01d"), "c")
	f.Add([]byte("\x01\x02a\x01\x02"), "a")
	f.Fuzz(func(t *testing.T, b []byte, key string) {
		m, err := message.ParseProperties(b)
		if err != nil {
			return
		}
		for k, want := range m {
			if v, ok := message.Property(b, k); !ok || v != want {
				t.Fatalf("%q is %q in the map, %q, %v by itself", k, want, v, ok)
			}
		}
		if strings.ContainsAny(key, "\x01\x02") {
			return
		}
		if v, ok := message.Property(b, key); ok && m[key] != v {
			t.Fatalf("%q is %q by itself, %q in the map", key, v, m[key])
		}
		if key != "" {
			set, err := message.ParseProperties(message.SetProperty(b[:min(len(b), 30000)], key, "v"))
			if err == nil && set[key] != "v" {
				t.Fatalf("%q was not set", key)
			}
		}
		if m2, err := message.ParseProperties(message.AppendProperties(nil, m)); err != nil || len(m2) != len(m) {
			t.Fatalf("read again: %v, %v", m2, err)
		}
	})
}

func FuzzOffsetMsgID(f *testing.F) {
	f.Add("7F00000100002A9F00000123456789AB")
	f.Fuzz(func(t *testing.T, id string) {
		addr, phys, err := message.ParseOffsetMsgID(id)
		if err == nil && addr.Addr() == addr.Addr().Unmap() && message.OffsetMsgID(addr, phys) != strings.ToUpper(id) {
			t.Fatalf("%q became %s, %d", id, addr, phys)
		}
	})
}

func FuzzDecompress(f *testing.F) {
	g := golden(f)
	for i, name := range []string{"compressed-LZ4", "compressed-ZSTD", "compressed-ZLIB"} {
		f.Add(unhex(f, g[name]), byte(i+1))
	}
	f.Fuzz(func(t *testing.T, b []byte, c byte) {
		out, err := message.DecompressLimit(b, message.WithCompression(0, message.Compression(c&3)), 1<<16)
		if err == nil && len(out) > 1<<16 {
			t.Fatalf("%d bytes", len(out))
		}
	})
}
