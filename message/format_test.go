package message_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
)

// page is a document of formats; what it shows must be what the bytes are.
func page(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/format/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// dump annotates bytes field by field.
type dump struct {
	b    []byte
	at   int
	text strings.Builder
}

func (d *dump) field(n int, name, value string) {
	hex := fmt.Sprintf("%x", d.b[d.at:d.at+n])
	if len(hex) > 24 {
		hex = hex[:20] + "…"
	}
	fmt.Fprintf(&d.text, "%4d %4d  %-24s %-26s %s\n", d.at, n, hex, name, value)
	d.at += n
}

func (d *dump) number(n int, name string) int64 {
	var v int64
	switch b := d.b[d.at:]; n {
	case 1:
		v = int64(b[0])
	case 2:
		v = int64(binary.BigEndian.Uint16(b))
	case 4:
		v = int64(int32(binary.BigEndian.Uint32(b)))
	case 8:
		v = int64(binary.BigEndian.Uint64(b))
	}
	d.field(n, name, fmt.Sprint(v))
	return v
}

func (d *dump) host(name string) {
	ip := d.b[d.at : d.at+4]
	d.field(8, name, fmt.Sprintf("%d.%d.%d.%d:%d", ip[0], ip[1], ip[2], ip[3], binary.BigEndian.Uint32(d.b[d.at+4:])))
}

func (d *dump) chars(n int64, name string) {
	d.field(int(n), name, strings.Trim(fmt.Sprintf("%q", d.b[d.at:d.at+int(n)]), `"`))
}

func dumpRecord(b []byte) string {
	d := &dump{b: b}
	d.number(4, "totalSize")
	d.field(4, "magic", "V1")
	for _, name := range []string{"bodyCRC", "queueId", "flag"} {
		d.number(4, name)
	}
	d.number(8, "queueOffset")
	d.number(8, "physicalOffset")
	d.number(4, "sysFlag")
	d.number(8, "bornTimestamp")
	d.host("bornHost")
	d.number(8, "storeTimestamp")
	d.host("storeHost")
	d.number(4, "reconsumeTimes")
	d.number(8, "preparedTransactionOffset")
	d.chars(d.number(4, "bodyLength"), "body")
	d.chars(d.number(1, "topicLength"), "topic")
	d.chars(d.number(2, "propertiesLength"), "properties")
	return d.text.String()
}

func dumpBatchItem(b []byte) string {
	d := &dump{b: b}
	for _, name := range []string{"totalSize", "magic", "bodyCRC", "flag"} {
		d.number(4, name)
	}
	d.chars(d.number(4, "bodyLength"), "body")
	d.chars(d.number(2, "propertiesLength"), "properties")
	return d.text.String()
}

func TestFormatPageShowsRealBytes(t *testing.T) {
	g, doc := golden(t), page(t, "message.md")
	for name, want := range map[string]string{
		"record-v1": dumpRecord(unhex(t, g["record-v1"])),
		"batch":     dumpBatchItem(unhex(t, g["batch"])),
	} {
		if !strings.Contains(doc, "```\n"+want+"```") {
			t.Errorf("docs/format/message.md does not show %s as it is:\n%s", name, want)
		}
	}
	for _, want := range []string{g["offset-id-v4"], g["offset-id-v6"], "DAA320A7", "DAA320AB", "CBD43194"} {
		if !strings.Contains(doc, want) {
			t.Errorf("docs/format/message.md does not show %s", want)
		}
	}
}
