package message_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/message"
)

// golden reads what e2e/golden/run.sh recorded: name, then value.
func golden(t testing.TB) map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && name != "#" {
			for m[name] != "" { // a repeated name
				name += "+"
			}
			m[name] = value
		}
	}
	return m
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const uniq = "7F0000010BB818B4AAC27D2B5E6A0000"

// goldenRecord is the record that the generator fills in.
func goldenRecord(born, store string) message.Record {
	return message.Record{
		Version:                   message.V1,
		QueueID:                   3,
		Flag:                      7,
		QueueOffset:               1234567890123,
		BornTimestamp:             1700000000123,
		BornHost:                  netip.MustParseAddrPort(born),
		StoreTimestamp:            1700000000456,
		StoreHost:                 netip.MustParseAddrPort(store),
		ReconsumeTimes:            2,
		PreparedTransactionOffset: 99,
		Body:                      []byte("hello, 世界"),
		Topic:                     "orders",
		Properties: message.AppendProperties(nil, map[string]string{
			"KEYS": "k1 k2", "TAGS": "TagA", "UNIQ_KEY": uniq}),
	}
}

func TestRecordsAreJavas(t *testing.T) {
	g := golden(t)
	const v4, v6 = "192.0.2.1:50123", "[2001:db8::1]:50123"
	const store4, store6 = "127.0.0.1:10911", "[2001:db8::2]:10911"
	change := func(r message.Record, f func(*message.Record)) message.Record { f(&r); return r }
	for name, want := range map[string]message.Record{
		"record-v1":          goldenRecord(v4, store4),
		"record-v1-born-v6":  goldenRecord(v6, store4),
		"record-v1-store-v6": goldenRecord(v4, store6),
		"record-v1-both-v6":  goldenRecord(v6, store6),
		"record-v2": change(goldenRecord(v4, store4), func(r *message.Record) {
			r.Version, r.Topic = message.V2, strings.Repeat("t", 200)
		}),
		"record-empty": change(goldenRecord(v4, store4), func(r *message.Record) { r.Body, r.Properties = nil, nil }),
		"record-prepared": change(goldenRecord(v4, store4), func(r *message.Record) {
			r.SysFlag = message.TransactionPrepared | message.SysMultiTags
		}),
	} {
		t.Run(name, func(t *testing.T) {
			b := unhex(t, g[name])
			got, n, err := message.ParseRecord(b)
			if err != nil || n != len(b) {
				t.Fatalf("parsed %d of %d bytes: %v", n, len(b), err)
			}
			if err := got.CheckCRC(); err != nil {
				t.Error(err)
			}
			encoded, err := message.AppendRecord(nil, &got)
			if err != nil || !bytes.Equal(encoded, b) {
				t.Errorf("re-encoded %v\n  got %x\n want %x", err, encoded, b)
			}
			encoded, err = message.AppendRecord(nil, &want)
			if err != nil || !bytes.Equal(encoded, b) {
				t.Errorf("encoded %v\n  got %x\n want %x", err, encoded, b)
			}
		})
	}
}

func TestBatchesAreJavas(t *testing.T) {
	b := unhex(t, golden(t)["batch"])
	if n, err := message.BatchLen(b); err != nil || n != 3 {
		t.Fatalf("%d items: %v", n, err)
	}
	var encoded []byte
	i := 0
	it := message.IterateBatch(b)
	for ; it.Next(); i++ {
		if string(it.Item.Body) != fmt.Sprintf("message %d", i) || it.Item.Flag != int32(i) {
			t.Errorf("item %d: %+v", i, it.Item)
		}
		tag, ok := message.Property(it.Item.Properties, message.PropertyTags)
		if ok != (i < 2) || ok && tag != "TagA" {
			t.Errorf("item %d: tag %q, %v", i, tag, ok)
		}
		var err error
		if encoded, err = message.AppendBatchItem(encoded, it.Item); err != nil {
			t.Fatal(err)
		}
	}
	if it.Err() != nil || !bytes.Equal(encoded, b) {
		t.Errorf("re-encoded %v\n  got %x\n want %x", it.Err(), encoded, b)
	}
}

func TestCompressedBodiesAreJavas(t *testing.T) {
	g := golden(t)
	want := strings.Repeat("compress me ", 100)
	for name, c := range map[string]message.Compression{
		"LZ4": message.CompressionLZ4, "ZSTD": message.CompressionZSTD, "ZLIB": message.CompressionZLIB,
	} {
		flag := message.WithCompression(0, c)
		if fmt.Sprint(flag&^message.SysCompressed) != g["compression-flag-"+name] {
			t.Errorf("%s: flag is %d, Java's is %s", name, flag, g["compression-flag-"+name])
		}
		got, err := message.Decompress(unhex(t, g["compressed-"+name]), flag)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v, %q", name, err, got)
		}
	}
	got, err := message.Decompress(unhex(t, g["compressed-ZLIB"]), message.SysCompressed)
	if err != nil || string(got) != want {
		t.Errorf("legacy: %v, %q", err, got)
	}
}

func TestPropertiesAreJavas(t *testing.T) {
	g := golden(t)
	want := message.AppendProperties(nil, map[string]string{"KEYS": "k1 k2", "WAIT": "true"})
	if got := unhex(t, g["properties"]); !bytes.Equal(got, want) {
		t.Errorf("Java writes %q, we write %q", got, want)
	}
	for name, line := range g {
		if !strings.HasPrefix(name, "parsed-properties") {
			continue
		}
		f := strings.Split(line, " ")
		raw := unhex(t, f[0])
		m, err := message.ParseProperties(raw)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range slices.Sorted(maps.Keys(m)) {
			got = append(got, k+"="+strings.ReplaceAll(m[k], "\x01", "|"))
			if v, ok := message.Property(raw, k); !ok || v != m[k] {
				t.Errorf("%q: Property(%q) = %q, %v", raw, k, v, ok)
			}
		}
		if !slices.Equal(got, f[1:]) {
			t.Errorf("%q: got %q, Java reads %q", raw, got, f[1:])
		}
	}
}

func TestIDsAndTagsAreJavas(t *testing.T) {
	g := golden(t)
	for name, addr := range map[string]string{"offset-id-v4": "127.0.0.1:10911", "offset-id-v6": "[2001:db8::2]:10911"} {
		if got := message.OffsetMsgID(netip.MustParseAddrPort(addr), 0x123456789AB); got != g[name] {
			t.Errorf("%s is %s, Java's is %s", name, got, g[name])
		}
		a, phys, err := message.ParseOffsetMsgID(g[name])
		if err != nil || a.String() != addr || phys != 0x123456789AB {
			t.Errorf("%s: parsed %s, %d, %v", name, a, phys, err)
		}
	}
	tags := 0
	for name, value := range g {
		if code, ok := strings.CutPrefix(name, "tags-code-"); ok {
			tags++
			tag := string(unhex(t, value))
			if want, _ := strconv.ParseInt(code, 10, 64); message.TagsCode(tag) != want {
				t.Errorf("code of %q is %d, Java's is %d", tag, message.TagsCode(tag), want)
			}
		}
	}
	if tags != 6 {
		t.Errorf("%d tags were recorded", tags)
	}
}
