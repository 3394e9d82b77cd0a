package readback

import (
	"testing"

	"github.com/millrace/millrace/connectors/mysql/charset"
)

func TestBytesWithoutACharacterAreMarked(t *testing.T) {
	for _, c := range []struct{ set, server, raw, want string }{
		{"cp1251", "A?", "A\x98", "A\uFFFD"},
		{"cp1251", "A?", "A?", "A?"},
		{"cp1251", "?\u0416?", "?\xc6\x98", "?\u0416\uFFFD"},
		{"cp1251", "A?x", "A\x98", "A?x"}, // not what these bytes are
		{"gbk", "?x", "\xa2\xa0x", "\uFFFDx"},
		{"ucs2", "\xed\xa0\x80a", "\xd8\x00\x00a", "\uFFFDa"},
	} {
		if got := marked(charset.Named(c.set), []byte(c.server), []byte(c.raw)); string(got) != c.want {
			t.Errorf("%s %x: %q, want %q", c.set, c.raw, got, c.want)
		}
	}
	if got := whole([]byte("a\xed\xa0\x80\uFFFD")); string(got) != "a\uFFFD\uFFFD" {
		t.Errorf("halves of a pair become %q", got)
	}
	if withGaps("enum", "gbk") != nil || withGaps("text", "latin1") != nil || withGaps("varchar", "gbk") == nil {
		t.Error("texts alone have gaps")
	}
}
