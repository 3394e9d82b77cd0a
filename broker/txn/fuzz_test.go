package txn

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/message"
)

func exampleSnapshot() *snapshot {
	return &snapshot{Applied: 300, Print: recordPrint{Phys: 200, Size: 100, Topic: "t"},
		Halves: []snapshotHalf{{First: 100, Key: "K", Topic: "t", Immunity: -1}}, Ops: []int64{1, 2}}
}

func TestEveryTruncatedSnapshotIsRefused(t *testing.T) {
	b := exampleSnapshot().encode()
	if _, err := parseSnapshot(b); err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if _, err := parseSnapshot(b[:n]); !errors.Is(err, errSnapshot) {
			t.Fatalf("%d of %d bytes: %v", n, len(b), err)
		}
	}
	for n := range b {
		damaged := append([]byte(nil), b...)
		damaged[n] ^= 1
		if _, err := parseSnapshot(damaged); err == nil && n > 64 {
			t.Fatalf("a bit of byte %d is turned and nobody sees it", n)
		}
	}
}

func FuzzParseSnapshot(f *testing.F) {
	f.Add(exampleSnapshot().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if snap, err := parseSnapshot(b); err == nil {
			if _, err := parseSnapshot(snap.encode()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzParseHalfID(f *testing.F) {
	f.Add("K@17")
	f.Fuzz(func(t *testing.T, id string) {
		key, first, err := ParseHalfID(id)
		if err != nil {
			return
		}
		k, n, err := ParseHalfID(HalfID(key, first))
		if err != nil || k != key || n != first {
			t.Fatalf("%q: %q %d, then %q %d %v", id, key, first, k, n, err)
		}
	})
}

func FuzzParseHalf(f *testing.F) {
	rec, err := halfRecord(&message.Record{Topic: "t", QueueID: 3, Properties: message.AppendProperty(nil, message.PropertyUniqueKey, "K")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(rec.Properties)
	f.Add(carriedRecord(&half{first: 5, queueFirst: 1}, rec).Properties)
	f.Fuzz(func(t *testing.T, props []byte) {
		h, err := parseHalf(&message.Record{Properties: props}, 10, 100, func(string) string { return "p" })
		if err == nil && h.to.Topic == "" {
			t.Fatal("a half without a topic")
		}
	})
}

// What a client says in properties that only a broker may set does not count.
func TestAClientCannotNameItsHalf(t *testing.T) {
	props := message.AppendProperty(nil, propertyFirst, "7")
	props = message.AppendProperty(props, message.PropertyRealTopic, "other")
	props = message.AppendProperty(props, propertyEnd, endRollback)
	props = message.AppendProperty(props, "k", "v")
	rec, err := halfRecord(&message.Record{Topic: "t", QueueID: 3, Properties: props})
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseHalf(rec, 10, 100, func(string) string { return "" })
	if err != nil || h.first != 10 || h.to.Topic != "t" || h.to.ID != 3 {
		t.Fatalf("%+v %v", h, err)
	}
	var final message.Record
	finalRecord(&final, h, rec, 0)
	if got := string(final.Properties); got != "k\x01v\x02" || final.PreparedTransactionOffset != 10 {
		t.Fatalf("the final message's properties are %q", got)
	}
}

func TestOperationRecordsAreReadAsRocketMQWritesThem(t *testing.T) {
	for body, want := range map[string]int{"17": 1, "17,18,": 2, "17,18": 2, "": 0, "x,3": 1} {
		if got := parseOp([]byte(body)); len(got) != want {
			t.Errorf("%q: %v", body, got)
		}
	}
	if b := string(opRecord([]int64{1, 2}).Body); b != "1,2" {
		t.Error(b)
	}
}
