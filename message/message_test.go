package message_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/message"
)

func encode(t testing.TB, r message.Record) []byte {
	t.Helper()
	b, err := message.AppendRecord(nil, &r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryPrefixOfARecordIsTruncated(t *testing.T) {
	for _, born := range []string{"192.0.2.1:50123", "[2001:db8::1]:50123"} {
		b := encode(t, goldenRecord(born, "127.0.0.1:10911"))
		for n := range b {
			if _, _, err := message.ParseRecord(b[:n]); !errors.Is(err, message.ErrTruncated) {
				t.Fatalf("%d of %d bytes: %v", n, len(b), err)
			}
		}
		// The same when the head says that the prefix is all there is.
		for n := message.HeadLen; n < len(b); n++ {
			short := bytes.Clone(b[:n])
			binary.BigEndian.PutUint32(short, uint32(n))
			if _, _, err := message.ParseRecord(short); !errors.Is(err, message.ErrCorrupt) {
				t.Fatalf("a record of %d bytes that says so: %v", n, err)
			}
		}
	}
}

func TestRecordIsFollowedByAnything(t *testing.T) {
	b := encode(t, goldenRecord("192.0.2.1:1", "127.0.0.1:2"))
	r, n, err := message.ParseRecord(append(bytes.Clone(b), "more"...))
	if err != nil || n != len(b) || int(r.TotalSize) != n {
		t.Fatalf("parsed %d of %d bytes: %v", n, len(b), err)
	}
}

func TestCorruptRecordsAreRefused(t *testing.T) {
	good := encode(t, goldenRecord("192.0.2.1:1", "127.0.0.1:2"))
	const bodyLen = 84
	for _, tc := range []struct {
		name string
		at   int
		put  uint32
	}{
		{"magic", message.MagicAt, 0x12345678},
		{"size of a head", message.TotalSizeAt, 8},
		{"negative size", message.TotalSizeAt, 0x80000000},
		{"huge body", bodyLen, 0x7fffffff},
		{"negative body", bodyLen, 0xffffffff},
		{"body one too long", bodyLen, 14},
		{"body one too short", bodyLen, 12},
		{"both hosts v6", message.SysFlagAt, uint32(message.SysBornHostV6 | message.SysStoreHostV6)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := bytes.Clone(good)
			binary.BigEndian.PutUint32(b[tc.at:], tc.put)
			if _, _, err := message.ParseRecord(b); !errors.Is(err, message.ErrCorrupt) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestBodyChecksumIsChecked(t *testing.T) {
	b := encode(t, goldenRecord("192.0.2.1:1", "127.0.0.1:2"))
	b[90] ^= 1
	r, _, err := message.ParseRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CheckCRC(); !errors.Is(err, message.ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestBlankEndsAFile(t *testing.T) {
	b := message.AppendBlank(nil, 4096)
	if _, n, err := message.ParseRecord(b); !errors.Is(err, message.ErrBlank) || n != 4096 {
		t.Fatalf("got %d, %v", n, err)
	}
	if _, _, err := message.ParseRecord(b[:7]); !errors.Is(err, message.ErrTruncated) {
		t.Fatalf("got %v", err)
	}
}

func TestTooWideFieldsAreNotEncoded(t *testing.T) {
	for name, r := range map[string]message.Record{
		"topic in V1":      {Version: message.V1, Topic: strings.Repeat("t", 128)},
		"topic in V2":      {Topic: strings.Repeat("t", 40000)},
		"properties":       {Topic: "t", Properties: make([]byte, 32768)},
		"unknown version":  {Topic: "t", Version: 3},
		"body above limit": {Topic: "t", Body: make([]byte, message.MaxBodyLen+1)},
	} {
		if b, err := message.AppendRecord([]byte("kept"), &r); err == nil || string(b) != "kept" {
			t.Errorf("%s: got %d bytes, %v", name, len(b), err)
		}
	}
}

func TestPatchedFieldsAreTheStores(t *testing.T) {
	for _, born := range []string{"192.0.2.1:50123", "[2001:db8::1]:50123"} {
		want := goldenRecord(born, "[2001:db8::2]:10911")
		b := encode(t, want)
		message.PatchStored(b, 11, 22, 33)
		want.QueueOffset, want.PhysicalOffset, want.StoreTimestamp = 11, 22, 33
		if !bytes.Equal(b, encode(t, want)) {
			t.Errorf("%s: patched %x", born, b)
		}
	}
}

func TestParsingARecordTakesNoMemory(t *testing.T) {
	b := encode(t, goldenRecord("192.0.2.1:1", "127.0.0.1:2"))
	if n := testing.AllocsPerRun(100, func() {
		r, _, err := message.ParseRecord(b)
		if _, ok := r.Property("UNIQ_KEY"); err != nil || !ok {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestCloneStandsAlone(t *testing.T) {
	b := encode(t, goldenRecord("192.0.2.1:1", "127.0.0.1:2"))
	r, _, err := message.ParseRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Clone()
	clear(b)
	if c.Topic != "orders" || string(c.Body) != "hello, 世界" {
		t.Fatalf("got %+v", c)
	}
}

func TestEveryPrefixOfABatchIsAnError(t *testing.T) {
	var b []byte
	starts := map[int]bool{}
	for i := range 3 {
		starts[len(b)] = true
		var err error
		b, err = message.AppendBatchItem(b, message.BatchItem{Body: make([]byte, i), Properties: make([]byte, 2*i)})
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := range b {
		if _, err := message.BatchLen(b[:n]); (err == nil) != (starts[n] && n > 0) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
	}
}

func TestOffsetIDsAreChecked(t *testing.T) {
	for _, id := range []string{"", "7F", strings.Repeat("0", 33), strings.Repeat("G", 32), "7F000001FFFFFFFF0000000000000000"} {
		if _, _, err := message.ParseOffsetMsgID(id); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
}

func TestUniqueIDsNeverRepeat(t *testing.T) {
	g := message.NewIDGenerator(netip.MustParseAddr("192.0.2.1"), 4711, 0xDEADBEEF)
	now := time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC)
	seen := map[string]bool{}
	for i := range 200_000 {
		if i == 150_000 {
			now = now.Add(-time.Hour) // the clock is set back
		}
		id := g.Next(now)
		if seen[id] || len(id) != 32 || !strings.HasPrefix(id, "C00002011267DEADBEEF") {
			t.Fatalf("id %d is %s", i, id)
		}
		seen[id] = true
	}
	if id := g.Next(time.Date(2026, 4, 1, 0, 0, 1, 0, time.UTC)); id[20:] != "000003E80000" {
		t.Errorf("a second into the next month: %s", id)
	}
	if id := message.NewIDGenerator(netip.MustParseAddr("2001:db8::1"), 1, 1).Next(now); len(id) != 56 {
		t.Errorf("IPv6: %s", id)
	}
}

func TestNamesAreAllowed(t *testing.T) {
	for name, ok := range map[string]bool{
		"orders": true, "%RETRY%group": true, "a-b_C|9": true, strings.Repeat("t", 127): true,
		"%DLQ%" + strings.Repeat("g", 250): true,
		"":                                 false, strings.Repeat("t", 128): false, "..": false, "a/b": false, "a b": false, "a.b": false,
		"ü": false, "a\x00": false, "%DLQ%" + strings.Repeat("g", 251): false,
	} {
		if err := message.CheckTopic(name); (err == nil) != ok {
			t.Errorf("topic %q: %v", name, err)
		}
	}
	for name, ok := range map[string]bool{"group": true, strings.Repeat("g", 120): true, strings.Repeat("g", 121): false, "": false, "a/b": false} {
		if err := message.CheckGroup(name); (err == nil) != ok {
			t.Errorf("group %q: %v", name, err)
		}
	}
}

func TestPropertiesAreSetAndDeleted(t *testing.T) {
	for _, tc := range []struct{ in, key, value, want string }{
		{"", "a", "1", "a\x011\x02"},
		{"a\x010\x02", "a", "1", "a\x011\x02"},
		{"a\x010\x02b\x012\x02", "a", "1", "b\x012\x02a\x011\x02"},
		{"ab\x010", "a", "1", "ab\x010\x02a\x011\x02"},
		{"a\x010\x02a\x012", "a", "1", "a\x011\x02"},
	} {
		if got := message.SetProperty([]byte(tc.in), tc.key, tc.value); string(got) != tc.want {
			t.Errorf("%q: got %q, want %q", tc.in, got, tc.want)
		}
	}
	if message.CheckProperty("a", "b") != nil || message.CheckProperty("", "b") == nil ||
		message.CheckProperty("a", "") == nil || message.CheckProperty("a", "b\x01") == nil || message.CheckProperty("a\x02", "b") == nil {
		t.Error("CheckProperty")
	}
}

func TestCompressedBodiesComeBack(t *testing.T) {
	body := make([]byte, 2000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range body {
		body[i] = byte(rng.IntN(3))
	}
	for _, c := range []message.Compression{message.CompressionLegacy, message.CompressionLZ4, message.CompressionZSTD, message.CompressionZLIB} {
		b, err := message.Compress(body, c)
		if err != nil {
			t.Fatal(err)
		}
		flag := message.WithCompression(0, c)
		got, err := message.Decompress(b, flag)
		if err != nil || !bytes.Equal(got, body) || len(b) >= len(body) {
			t.Errorf("type %d: %d bytes, %v", c, len(b), err)
		}
		if _, err := message.DecompressLimit(b, flag, len(body)-1); !errors.Is(err, message.ErrDecompressedTooLarge) {
			t.Errorf("type %d above the limit: %v", c, err)
		}
		for n := range len(b) {
			if got, err := message.Decompress(b[:n], flag); err == nil && !bytes.Equal(got, body) && n > 0 {
				t.Fatalf("type %d: %d of %d bytes gave %d bytes and no error", c, n, len(b), len(got))
			}
		}
	}
	if _, err := message.Decompress(body, message.WithCompression(0, 5)); err == nil {
		t.Error("an unknown type was taken")
	}
	if got, err := message.Decompress(body, 0); err != nil || &got[0] != &body[0] {
		t.Error("a plain body was copied")
	}
}
