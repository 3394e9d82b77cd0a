package remoting_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/remoting"
)

// golden reads what e2e/golden/run.sh recorded: name, then bytes in hex.
func golden(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string][]byte)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "#" {
			continue
		}
		if m[name], err = hex.DecodeString(value); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestFramesAreJavas(t *testing.T) {
	const uniq = "7F0000010BB818B4AAC27D2B5E6A0000"
	type want struct {
		code   int
		opaque int32
		flag   int32
		remark string
		body   string
		ext    map[string]string
	}
	props := "KEYS\x01k1 \"k2\"\x02TAGS\x01订单\x02UNIQ_KEY\x01" + uniq + "\x02"
	for name, w := range map[string]want{
		"send":            {10, 1, 0, "", "hello, 世界", map[string]string{"topic": "orders", "properties": props, "bornTimestamp": "1700000000123", "bname": "broker-a"}},
		"send-v2":         {310, 2, 0, "", "hello, 世界", map[string]string{"a": "group_p", "b": "orders", "i": props, "l": "16", "n": "broker-a"}},
		"pull":            {11, 3, 0, "", "", map[string]string{"queueOffset": "1234567890123", "subscription": "TagA || TagB"}},
		"end-transaction": {37, -4, 0, "", "", map[string]string{"commitOrRollback": "8", "fromTransactionCheck": "true"}},
		"no-header":       {26, 5, 0, "", "", nil},
		"wide-code":       {200050, 6, 0, "", "", nil},
		"sent":            {0, 2, 1, "", "", map[string]string{"msgId": "7F00000100002A9F0000000000001000", "transactionId": uniq}},
		"pulled":          {0, 3, 1, "FOUND", "hello, 世界", map[string]string{"nextBeginOffset": "11"}},
		"refused":         {17, 7, 1, "topic[a\"b\\c\n\t] not exist, 世界 😀", "", nil},
	} {
		for _, form := range []string{"JSON", "ROCKETMQ"} {
			t.Run(name+"-"+form, func(t *testing.T) {
				b := golden(t)[name+"-"+form]
				n, err := remoting.FrameLen([4]byte(b), remoting.MaxFrame)
				if err != nil || n != len(b)-4 {
					t.Fatalf("length %d of %d bytes: %v", n, len(b), err)
				}
				c, err := remoting.ParseFrame(b[4:])
				if err != nil {
					t.Fatal(err)
				}
				if c.Code != w.code || c.Opaque != w.opaque || c.Flag != w.flag || c.Remark != w.remark || string(c.Body) != w.body ||
					c.Language != remoting.LanguageJava || c.Version != remoting.V5_5_0 {
					t.Errorf("parsed %+v", c)
				}
				for k, v := range w.ext {
					if got, _ := c.Ext.Get(k); got != v {
						t.Errorf("%s is %q, want %q", k, got, v)
					}
				}
				again, err := remoting.AppendFrame(nil, c)
				if err != nil || !bytes.Equal(again, b) {
					t.Errorf("re-encoded %v\n  got %q\n want %q", err, again, b)
				}
			})
		}
	}
}

func TestEveryPrefixOfAFrameIsAnError(t *testing.T) {
	for name, b := range golden(t) {
		c, err := remoting.ParseFrame(b[4:])
		if err != nil {
			t.Fatal(err)
		}
		head := len(b) - 4 - len(c.Body)
		for n := range head {
			if _, err := remoting.ParseFrame(b[4 : 4+n]); err == nil {
				t.Errorf("%s: %d of %d bytes were taken", name, n, head)
			}
		}
		// The same when the header length says that the prefix is all there is.
		for n := 4; n < head; n++ {
			short := bytes.Clone(b[4 : 4+n])
			short[1], short[2], short[3] = 0, byte((n-4)>>8), byte(n-4)
			if _, err := remoting.ParseFrame(short); err == nil {
				t.Errorf("%s: a header of %d bytes was taken: %q", name, n-4, short)
			}
		}
	}
}
