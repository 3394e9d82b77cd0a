package charset

import (
	"database/sql"
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf8"
)

// encoders write a code point, halves of surrogate pairs too, in the Unicode encodings.
var encoders = map[string]func(dst []byte, r rune) []byte{
	"utf8mb4": appendAny, "utf8mb3": appendAny,
	"ucs2":    func(dst []byte, r rune) []byte { return binary.BigEndian.AppendUint16(dst, uint16(r)) },
	"utf16":   func(dst []byte, r rune) []byte { return appendUnits(dst, r, binary.BigEndian.AppendUint16) },
	"utf16le": func(dst []byte, r rune) []byte { return appendUnits(dst, r, binary.LittleEndian.AppendUint16) },
	"utf32":   func(dst []byte, r rune) []byte { return binary.BigEndian.AppendUint32(dst, uint32(r)) },
}

func appendAny(dst []byte, r rune) []byte {
	if surrogate(r) {
		return append(dst, 0xed, 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	}
	return utf8.AppendRune(dst, r)
}

func appendUnits(dst []byte, r rune, unit func([]byte, uint16) []byte) []byte {
	if r < 0x10000 {
		return unit(dst, uint16(r))
	}
	return unit(unit(dst, uint16(0xd800+(r-0x10000)>>10)), uint16(0xdc00+(r-0x10000)&0x3ff))
}

func surrogate(r rune) bool { return r >= 0xd800 && r < 0xe000 }

// checkUnicode compares every code point in every Unicode encoding with what both servers
// make of it, 256 in a text, and halves of surrogate pairs with what is promised.
func checkUnicode(t *testing.T, servers map[string]*sql.Conn) {
	for name, encode := range encoders {
		last := rune(utf8.MaxRune)
		if name == "utf8mb3" || name == "ucs2" {
			last = 0xffff
		}
		var texts [][]byte
		for r := rune(0); r <= last; r += 256 {
			var text []byte
			for k := range rune(256) {
				text = encode(text, r+k)
			}
			if surrogate(r) {
				checkSurrogates(t, name, encode, r)
				continue
			}
			texts = append(texts, text)
		}
		for kind, conn := range servers {
			for i, want := range ask(t, conn, texts, name, "utf8mb4") {
				got, bad := sets[name].Append(nil, texts[i])
				if bad != 0 || string(got) != want.String {
					t.Errorf("%s, %s: %x gives %q and counts %d, the server %q", kind, name, texts[i], got, bad, want.String)
				}
			}
		}
	}
}

func checkSurrogates(t *testing.T, name string, encode func([]byte, rune) []byte, first rune) {
	t.Helper()
	for r := first; r < first+256; r++ {
		b := encode(encode(encode(nil, 'a'), r), 'z')
		if got, bad := sets[name].Append(nil, b); string(got) != "a\uFFFDz" || bad != 1 {
			t.Errorf("%s: %x gives %q and counts %d", name, b, got, bad)
		}
	}
}

// checkCollations compares what a number means with what both servers say, and what the
// sets are called and how long their characters are.
func checkCollations(t *testing.T, servers map[string]*sql.Conn) {
	for kind, conn := range servers {
		query := "SELECT id, character_set_name FROM information_schema.collations"
		if kind == "mariadb" { // where those of UCA 14.0.0 have no number in the other list
			query = "SELECT id, character_set_name FROM information_schema.collation_character_set_applicability WHERE id IS NOT NULL"
		}
		n := 0
		each(t, conn, query, func(rows *sql.Rows) error {
			var id uint16
			var name string
			err := rows.Scan(&id, &name)
			if s := OfCollation(id); s == nil || s.Name() != name {
				t.Errorf("%s: collation %d is of %s, not of %v", kind, id, name, s)
			}
			n++
			return err
		})
		each(t, conn, "SELECT character_set_name, maxlen FROM information_schema.character_sets", func(rows *sql.Rows) error {
			var name string
			var maxLen int
			err := rows.Scan(&name, &maxLen)
			if s := Named(name); s == nil || s.MaxLen() != maxLen {
				t.Errorf("%s: %s has characters of up to %d bytes: %+v", kind, name, maxLen, s)
			}
			return err
		})
		if n < 280 {
			t.Errorf("%s has %d collations", kind, n)
		}
	}
	for _, id := range []uint16{0, 17, 1024, 3328, 65535} {
		if s := OfCollation(id); s != nil {
			t.Errorf("collation %d is of %s", id, s.Name())
		}
	}
}

func each(t *testing.T, conn *sql.Conn, query string, fn func(*sql.Rows) error) {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			t.Fatal(err)
		}
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
}

func TestStatement(t *testing.T) {
	for _, c := range []struct {
		collation  uint16
		sql, want  string
		incomplete bool
	}{
		{28, "ALTER TABLE g ADD COLUMN `\xb1\xb8\xd7\xa2` INT", "ALTER TABLE g ADD COLUMN `备注` INT", false},
		{1, "SELECT '\xb3\x5c'", "SELECT '許'", false}, // a second byte that would be a backslash
		{13, "SELECT '\x95\x5c'", "SELECT '表'", false},
		{51, "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет", false},
		{8, "caf\xe9", "café", false},
		{45, "café 😀", "café 😀", false},
		{45, "caf\xe9", "caf\uFFFD", true},
		{28, "a\xffb", "a\uFFFDb", true},
		{63, "\xffx", "\uFFFDx", true},
		{17, "plain", "plain", false},
		{17, "\xe9", "\uFFFD", true},
		{2304, "é", "é", false},
		{8, "ADD c CHAR(9) DEFAULT _utf8mb4 '\xc3\xa9' COMMENT '\xe9'", "ADD c CHAR(9) DEFAULT _utf8mb4 'Ã©' COMMENT 'é'", true},
		{28, "DROP TABLE IF EXISTS `\xc3\xbb` /* generated by server */", "DROP TABLE IF EXISTS `没` /* generated by server */", false}, // valid UTF-8 too
		{28, "CREATE TABLE `三` (\n  `名称` int\n) START TRANSACTION", "CREATE TABLE `三` (\n  `名称` int\n) START TRANSACTION", false},
		{28, "CREATE TABLE `三三` (\n  `名称` int\n)", "CREATE TABLE `三三` (\n  `名称` int\n)", true},
		{28, "CREATE TABLE `三` (\n  `名` int\n)", "CREATE TABLE `三` (\n  `名` int\n)", false}, // in gbk the quote would be half of a character
		{28, "CREATE TABLE `\xb6\xa9\xb5\xa5` (\n  `id` int\n)", "CREATE TABLE `订单` (\n  `id` int\n)", false},
		{8, "CREATE OR REPLACE TABLE `caf\xe9` (\n  `id` int\n)", "CREATE OR REPLACE TABLE `café` (\n  `id` int\n)", false},
	} {
		got, err := Statement(c.collation, []byte(c.sql))
		if got != c.want || (err != nil) != c.incomplete {
			t.Errorf("%d, %q: %q, %v", c.collation, c.sql, got, err)
		}
	}
}

func TestUnique(t *testing.T) {
	for _, c := range []struct {
		set, text string
		unique    bool
	}{
		{"utf8mb4", "é😀\uFFFD", true}, {"utf8mb4", "\xe9", false}, {"utf8mb3", "\xed\xa0\x80", false},
		{"latin1", "\x80\x81", true}, {"ascii", "\x80", false}, {"cp1251", "\x98", false},
		{"cp932", "\x81\xca", true}, {"cp932", "\xee\xf9", false}, {"cp932", "\xfa\x54", false}, {"cp932", "a\xfb\xfc", true}, {"cp932", "\xee\xe0", false},
		{"sjis", "a\\", false}, {"sjis", "a\x81\x5f", true}, {"gbk", "\xb1\xb8", true}, {"gbk", "\x81", false}, {"utf16", "\xd8\x00", false}, {"utf16", "\xff\xfd", true},
		{"gb18030", replacement, true}, {"gb18030", "\x90\x30\x81\x30", true}, {"gb18030", "\xfe\x39\xfe\x39", false},
	} {
		if err := Named(c.set).Unique([]byte(c.text)); (err == nil) != c.unique {
			t.Errorf("%s %x: %v", c.set, c.text, err)
		}
	}
}

// TestNoTwoKeysAreOneText tries every character of every table: of those with the same
// text at most one may be a key.
func TestNoTwoKeysAreOneText(t *testing.T) {
	for name, s := range sets {
		if s.table == nil {
			continue
		}
		keys := map[string][]byte{}
		for _, b := range sequences(s) {
			text, bad := s.Append(nil, b)
			if bad > 0 || utf8.RuneCount(text) != 1 || s.Unique(b) != nil {
				continue
			}
			if other, ok := keys[string(text)]; ok {
				t.Errorf("%s: %x and %x are both %q", name, b, other, text)
			}
			keys[string(text)] = b
		}
		if table := s.table(); s.plain != nil && !table.ascii {
			t.Errorf("%s is not plain", name)
		}
		if len(keys) < 100 {
			t.Errorf("%s has %d characters", name, len(keys))
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add([]byte("caf\xe9 \x81\x30\x81\x30 \xd8\x00"))
	f.Add([]byte(strings.Repeat("\x8f\xb0\xa1", 3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		for name, s := range sets {
			got, bad := s.Append([]byte("+"), b)
			if !utf8.Valid(got) || len(got) > 1+MaxExpansion*len(b) || bad > len(b) {
				t.Fatalf("%s: %x gives %x and counts %d", name, b, got, bad)
			}
			if s.Plain(b) && (string(got[1:]) != string(b) || bad != 0) {
				t.Fatalf("%s: %x is plain and gives %x", name, b, got)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range [][2]string{{"utf8mb4", strings.Repeat("n", 90)}, {"latin1", strings.Repeat("n", 90)}, {"latin1", strings.Repeat("caf\xe9 ", 18)},
		{"gbk", strings.Repeat("\xb1\xb8\xd7\xa2", 22)}, {"cp1251", strings.Repeat("\xcf\xf0\xe8\xe2\xe5\xf2", 15)}} {
		b.Run(c[0]+"/"+c[1][:4], func(b *testing.B) {
			s, text, buf := Named(c[0]), []byte(c[1]), make([]byte, 0, 1024)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = s.Append(buf[:0], text)
			}
		})
	}
}
