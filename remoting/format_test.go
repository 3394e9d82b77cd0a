package remoting_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
)

// dumpFrame annotates a frame field by field, and its header if that is binary.
func dumpFrame(b []byte) string {
	var text strings.Builder
	at := 0
	field := func(n int, name, value string) {
		hex := fmt.Sprintf("%x", b[at:at+n])
		if len(hex) > 24 {
			hex = hex[:20] + "…"
		}
		fmt.Fprintf(&text, "%4d %4d  %-24s %-14s %s\n", at, n, hex, name, value)
		at += n
	}
	number := func(n int, name string) int {
		v := 0
		for _, c := range b[at : at+n] {
			v = v<<8 | int(c)
		}
		if n == 4 {
			v = int(int32(v))
		}
		field(n, name, fmt.Sprint(v))
		return v
	}
	chars := func(n int, name string) {
		field(n, name, strings.Trim(fmt.Sprintf("%q", b[at:at+n]), `"`))
	}
	number(4, "length")
	word := binary.BigEndian.Uint32(b[4:])
	header := int(word & 0xFFFFFF)
	field(4, "header", fmt.Sprintf("form %d, %d bytes", word>>24, header))
	end := at + header
	if word>>24 == 0 {
		field(header, "JSON", "as above")
	} else {
		number(2, "code")
		number(1, "language")
		number(2, "version")
		number(4, "opaque")
		number(4, "flag")
		chars(number(4, "remarkLength"), "remark")
		number(4, "extLength")
		for at < end {
			chars(number(2, "nameLength"), "name")
			chars(number(4, "valueLength"), "value")
		}
	}
	chars(len(b)-at, "body")
	return text.String()
}

func TestFormatPageShowsRealBytes(t *testing.T) {
	b, err := os.ReadFile("../docs/format/remoting.md")
	if err != nil {
		t.Fatal(err)
	}
	g := golden(t)
	for _, name := range []string{"pulled-ROCKETMQ", "pulled-JSON"} {
		if want := dumpFrame(g[name]); !strings.Contains(string(b), "```\n"+want+"```") {
			t.Errorf("docs/format/remoting.md does not show %s as it is:\n%s", name, want)
		}
	}
	frame := g["pulled-JSON"]
	header := frame[8 : 8+int(binary.BigEndian.Uint32(frame[4:])&0xFFFFFF)]
	if !strings.Contains(string(b), "```json\n"+string(header)+"\n```") {
		t.Errorf("docs/format/remoting.md does not show the header\n%s", header)
	}
}
