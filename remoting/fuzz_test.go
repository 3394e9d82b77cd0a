package remoting_test

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/remoting"
)

// slowHeader is the header as encoding/json sees it.
type slowHeader struct {
	Code      *json.RawMessage           `json:"code"`
	Opaque    *json.RawMessage           `json:"opaque"`
	Remark    *string                    `json:"remark"`
	ExtFields map[string]json.RawMessage `json:"extFields"`
}

// exactKeys tells whether no key is matched by encoding/json in another case,
// and none of the header's comes twice.
func exactKeys(b []byte) bool {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return false
		}
		for _, name := range []string{"code", "opaque", "remark", "extFields"} {
			if strings.EqualFold(key, name) && (seen[name] || key != name) {
				return false
			}
		}
		seen[key] = true
		var skip json.RawMessage
		if d.Decode(&skip) != nil {
			return false
		}
	}
	return true
}

// FuzzJSONHeader compares the scanner with encoding/json: what it accepts is
// JSON and means the same, and it accepts all that has the header's form.
func FuzzJSONHeader(f *testing.F) {
	for name, b := range golden(f) {
		if strings.HasSuffix(name, "-JSON") {
			c, err := remoting.ParseFrame(b[4:])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b[8 : len(b)-len(c.Body)])
		}
	}
	f.Add([]byte(`{"code":1,"extFields":{"a":"\ud83d\ude00","b":4,"c":false,"d":null,"a":"x"},"z":[{"q":"\u0000"}]}`))
	f.Add([]byte("{\"remark\":\"\xff\xc3\",\"opaque\":-0}"))
	f.Add([]byte(`{"extfields":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, header []byte) {
		if len(header) > 1<<16 {
			return
		}
		c, err := remoting.ParseFrame(jsonFrame(string(header)))
		if err != nil {
			return
		}
		if !json.Valid(header) {
			t.Fatalf("taken, but no JSON: %q", header)
		}
		if !exactKeys(header) {
			return
		}
		var slow slowHeader
		if err := json.Unmarshal(header, &slow); err != nil {
			t.Fatalf("encoding/json: %v", err)
		}
		if got := number(t, slow.Code); got != int64(c.Code) {
			t.Fatalf("code %d, encoding/json has %d", c.Code, got)
		}
		if got := number(t, slow.Opaque); got != int64(c.Opaque) {
			t.Fatalf("opaque %d, encoding/json has %d", c.Opaque, got)
		}
		if slow.Remark != nil && *slow.Remark != utf8Text(c.Remark) {
			t.Fatalf("remark %q, encoding/json has %q", c.Remark, *slow.Remark)
		}
		compareFields(t, c, slow.ExtFields)
	})
}

func number(t *testing.T, raw *json.RawMessage) int64 {
	if raw == nil || string(*raw) == "null" {
		return 0
	}
	n, err := strconv.ParseInt(string(*raw), 10, 64)
	if err != nil || n < math.MinInt32 || n > math.MaxInt32 {
		t.Fatalf("taken for a number: %s", *raw)
	}
	return n
}

// utf8Text replaces every byte that is not UTF-8, as encoding/json does.
func utf8Text(s string) string { return string([]rune(s)) }

func compareFields(t *testing.T, c *remoting.Command, slow map[string]json.RawMessage) {
	got := map[string]string{}
	for k, v := range c.Ext.Map() {
		got[utf8Text(k)] = utf8Text(v)
	}
	if len(got) != c.Ext.Len() {
		return // names that differ only in bytes that are not UTF-8
	}
	n := 0
	for k, raw := range slow {
		want := string(raw)
		if want == "null" {
			continue
		}
		n++
		if raw[0] == '"' {
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
		}
		if v, ok := got[k]; !ok || v != want {
			t.Fatalf("field %q is %q, encoding/json has %q", k, v, want)
		}
	}
	if n != len(got) {
		t.Fatalf("fields %q, encoding/json has %q", got, slow)
	}
}

// FuzzFrame takes any bytes for a frame: what is accepted is written and read
// again to the same.
func FuzzFrame(f *testing.F) {
	for _, b := range golden(f) {
		f.Add(b[4:])
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		c, err := remoting.ParseFrame(frame)
		if err != nil {
			return
		}
		b, err := remoting.AppendFrame(nil, c)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		again, err := remoting.ParseFrame(b[4:])
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if again.Code != c.Code || again.Opaque != c.Opaque || again.Flag != c.Flag || again.Version != c.Version ||
			!bytes.Equal(again.Body, c.Body) || utf8Text(again.Remark) != utf8Text(c.Remark) {
			t.Fatalf("%+v became %+v", c, again)
		}
		for i := range c.Ext.Len() {
			k, v := c.Ext.At(i)
			if c.Serialization == remoting.SerializationJSON {
				k, v = utf8Text(k), utf8Text(v)
				if _, dup := c.Ext.Get(k); !dup {
					continue
				}
			}
			if got, ok := again.Ext.Get(k); !ok || got != v {
				t.Fatalf("field %q: %q became %q", k, v, got)
			}
		}
	})
}
