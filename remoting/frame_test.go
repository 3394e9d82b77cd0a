package remoting_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/remoting"
)

// jsonFrame is a frame, without its length, of a header written by hand.
func jsonFrame(header string) []byte {
	n := len(header)
	return append([]byte{0, byte(n >> 16), byte(n >> 8), byte(n)}, header...)
}

func TestHeadersOfOtherClientsAreRead(t *testing.T) {
	for _, tc := range []struct {
		name, header string
		code         int
		lang         remoting.Language
		ext          map[string]string
	}{
		{"ali-ons sends numbers and booleans",
			`{"code":310,"language":"JAVA","opaque":3,"flag":0,"version":121,"extFields":{"b":"t","d":4,"k":false,"e":0,"g":1.5e3,"x":null,"m":true}}`,
			310, remoting.LanguageJava, map[string]string{"b": "t", "d": "4", "k": "false", "e": "0", "g": "1.5e3", "m": "true"}},
		{"client-go writes everything, in its order",
			`{"code":10,"language":"GO","version":317,"opaque":9,"flag":0,"remark":"","extFields":{"topic":"t"}}`,
			10, remoting.LanguageGo, map[string]string{"topic": "t"}},
		{"spaces, nulls, unknown members",
			" {\n\"code\" : 34 , \"remark\":null, \"extFields\":null, \"new\":{\"a\":[1,{\"b\":\"\\u0041\"}],\"c\":-1.5E+3}, \"language\":\"KLINGON\" } ",
			34, remoting.LanguageOther, nil},
		{"escapes",
			`{"code":1,"extFields":{"a":"\"\\\/\b\f\n\r\t\u0001\u00e9\ud83d\ude00\ud800x\udc00","\u006b":"v"}}`,
			1, remoting.LanguageJava, map[string]string{"a": "\"\\/\b\f\n\r\t\x01é😀\ufffdx\ufffd", "k": "v"}},
		{"a repeated name means its last value",
			`{"code":1,"extFields":{"a":"1","b":"2","a":"3","b":null},"code":2}`,
			2, remoting.LanguageJava, map[string]string{"a": "3"}},
		{"language as a number", `{"code":1,"language":9}`, 1, remoting.LanguageGo, nil},
		{"empty object", `{}`, 0, remoting.LanguageJava, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := remoting.ParseFrame(jsonFrame(tc.header))
			if err != nil {
				t.Fatal(err)
			}
			if c.Code != tc.code || c.Language != tc.lang || c.Ext.Len() != len(tc.ext) {
				t.Errorf("parsed %+v", c)
			}
			for k, v := range tc.ext {
				if got, ok := c.Ext.Get(k); !ok || got != v {
					t.Errorf("%s is %q, %v, want %q", k, got, ok, v)
				}
			}
		})
	}
}

func TestMalformedHeadersAreRefused(t *testing.T) {
	for _, header := range []string{
		``, `[]`, `"x"`, `{`, `{}x`, `{"code"}`, `{"code":}`, `{"code":1,}`, `{,}`, `{code:1}`, `{'code':1}`,
		`{"code":"1"}`, `{"code":1.5}`, `{"code":01}`, `{"code":2147483648}`, `{"code":99999999999999999999}`, `{"code":-}`, `{"code":1e2}`,
		`{"extFields":[]}`, `{"extFields":"x"}`, `{"extFields":{"a":{}}}`, `{"extFields":{"a":[]}}`, `{"extFields":{"a":tru}}`,
		`{"extFields":{"a":nul}}`,
		`{"extFields":{"a":"\x"}}`, `{"extFields":{"a":"\u12"}}`, "{\"extFields\":{\"a\":\"\n\"}}", `{"extFields":{"a":"}}`,
		`{"extFields":{"a":1 "b":2}}`,
		`{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	} {
		if c, err := remoting.ParseFrame(jsonFrame(header)); !errors.Is(err, remoting.ErrBadHeader) {
			t.Errorf("%s: got %+v, %v", header, c, err)
		}
	}
}

// A name is found by a scan: a header full of short names would keep a core busy for
// minutes.
func TestFieldsOfAHeaderAreBounded(t *testing.T) {
	for _, form := range []remoting.Serialization{remoting.SerializationJSON, remoting.SerializationRocketMQ} {
		c := remoting.NewRequest(10)
		c.Serialization = form
		for i := range remoting.MaxFields {
			c.Ext.Add(strconv.Itoa(i), "")
		}
		for _, want := range []error{nil, remoting.ErrBadHeader} {
			b, err := remoting.AppendFrame(nil, c)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := remoting.ParseFrame(b[remoting.LengthLen:]); !errors.Is(err, want) {
				t.Errorf("form %d, %d fields: %v, expected %v", form, c.Ext.Len(), err, want)
			}
			c.Ext.Add("more", "")
		}
	}
}

func TestFrameLengthsAreChecked(t *testing.T) {
	for _, tc := range []struct {
		head [4]byte
		want error
	}{
		{[4]byte{0, 0, 0, 4}, nil},
		{[4]byte{0x01, 0, 0, 0}, nil},
		{[4]byte{0x01, 0, 0, 1}, remoting.ErrFrameTooLarge},
		{[4]byte{0x7f, 0xff, 0xff, 0xff}, remoting.ErrFrameTooLarge},
		{[4]byte{0x80, 0, 0, 0}, remoting.ErrFrameTooLarge},
		{[4]byte{0, 0, 0, 3}, remoting.ErrBadFrame},
		{[4]byte{}, remoting.ErrBadFrame},
	} {
		if _, err := remoting.FrameLen(tc.head, remoting.MaxFrame); !errors.Is(err, tc.want) {
			t.Errorf("% x: %v", tc.head, err)
		}
	}
}

func TestTooLargeFramesAreNotEncoded(t *testing.T) {
	c := remoting.NewRequest(1)
	c.Body = make([]byte, remoting.MaxFrame)
	if b, err := remoting.AppendFrame([]byte("kept"), c); !errors.Is(err, remoting.ErrFrameTooLarge) || string(b) != "kept" {
		t.Errorf("body: %d bytes, %v", len(b), err)
	}
	c = remoting.NewRequest(1)
	c.Serialization = 2
	if _, err := remoting.AppendFrame(nil, c); !errors.Is(err, remoting.ErrBadHeader) {
		t.Errorf("form: %v", err)
	}
	c.Serialization = remoting.SerializationRocketMQ
	c.Ext.Set(strings.Repeat("k", 40000), "v")
	if _, err := remoting.AppendFrame(nil, c); !errors.Is(err, remoting.ErrBadHeader) {
		t.Errorf("name: %v", err)
	}
}

func TestWideCodesAreUnfolded(t *testing.T) {
	for _, code := range []int{200050, 200051, 200053, 200054, 200151, 310, 31001} {
		c := remoting.NewRequest(code)
		c.Serialization = remoting.SerializationRocketMQ
		b, err := remoting.AppendFrame(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := remoting.ParseFrame(b[4:]); err != nil || got.Code != code {
			t.Errorf("%d became %v, %v", code, got, err)
		}
	}
}

func TestParsedStringsOutliveTheFrame(t *testing.T) {
	for name, b := range golden(t) {
		frame := append([]byte(nil), b[4:]...)
		c, err := remoting.ParseFrame(frame)
		if err != nil {
			t.Fatal(err)
		}
		before := c.Ext.Map()
		want := make(map[string]string)
		for k, v := range before {
			want[strings.Clone(k)] = strings.Clone(v)
		}
		clear(frame)
		for i := range c.Ext.Len() {
			if k, v := c.Ext.At(i); want[k] != v {
				t.Fatalf("%s: field %q became %q", name, k, v)
			}
		}
	}
}

func TestExtFields(t *testing.T) {
	var e remoting.ExtFields
	e.Set("a", "1")
	e.Set("b", "2")
	e.Set("a", "3")
	if v, ok := e.Get("a"); !ok || v != "3" || e.Len() != 2 {
		t.Errorf("got %v", e.Map())
	}
	e.Delete("a")
	if _, ok := e.Get("a"); ok || e.Len() != 1 {
		t.Errorf("got %v", e.Map())
	}
	e.Reset()
	if e.Len() != 0 {
		t.Errorf("got %v", e.Map())
	}
}
