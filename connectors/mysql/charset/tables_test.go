package charset

import (
	"bytes"
	"compress/flate"
	"database/sql"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace/internal/testenv"
)

var write = flag.Bool("write", false, "write tables/ from what the servers answer")

// replacement is U+FFFD in gb18030, where it is a character.
const replacement = "\x84\x31\xa4\x37"

// has reports whether a kind of server has a set.
func has(kind, set string) bool { return set != "gb18030" || kind == "mysql" }

// TestServers compares every character of every set with what both kinds of server make
// of it.
func TestServers(t *testing.T) {
	servers := map[string]*sql.Conn{"mariadb": openStrict(t, testenv.MariaDB(t)), "mysql": openStrict(t, testenv.MySQL(t))}
	if *write {
		eachTable(t, servers, writeTable)
		return
	}
	t.Run("tables", func(t *testing.T) { eachTable(t, servers, checkTable) })
	t.Run("unicode", func(t *testing.T) { checkUnicode(t, servers) })
	t.Run("collations", func(t *testing.T) { checkCollations(t, servers) })
}

// eachTable asks both servers for every sequence of bytes of every set that is a table.
func eachTable(t *testing.T, servers map[string]*sql.Conn,
	fn func(*testing.T, map[string]*sql.Conn, *Set, [][]byte, map[string][]sql.NullString)) {
	for name, s := range sets {
		if s.table == nil {
			continue
		}
		all := sequences(s)
		if !*write {
			all = tens(all)
		}
		answers := map[string][]sql.NullString{}
		for kind, conn := range servers {
			if has(kind, name) {
				answers[kind] = ask(t, conn, all, name, "utf8mb4")
			}
		}
		fn(t, servers, s, all, answers)
	}
}

// tens puts ten sequences of four bytes, which all have the form of characters, into a text.
func tens(all [][]byte) (texts [][]byte) {
	for i := 0; i < len(all); i++ {
		text := all[i]
		if len(text) == 4 {
			text = slices.Concat(all[i : i+10]...)
			i += 9
		}
		texts = append(texts, text)
	}
	return texts
}

func checkTable(t *testing.T, _ map[string]*sql.Conn, s *Set, all [][]byte, answers map[string][]sql.NullString) {
	for kind, texts := range answers {
		t.Run(s.name+"/"+kind, func(t *testing.T) {
			for i, b := range all {
				checkAnswer(t, kind, s, b, texts[i])
			}
		})
	}
}

// checkAnswer compares one conversion with a server's. Where bytes are no text, MariaDB
// gives a question mark each time that we give U+FFFD. MySQL refuses them, except that it
// cuts eucjpms before a wrong second byte; it knows a wrong one there by the first alone.
func checkAnswer(t *testing.T, kind string, s *Set, b []byte, want sql.NullString) {
	t.Helper()
	got, bad := s.Append(nil, b)
	if !utf8.Valid(got) {
		t.Fatalf("%x gives %x, which is not UTF-8", b, got)
	}
	if n := strings.Count(string(got), "\uFFFD"); bad != n && !bytes.Contains(b, []byte(replacement)) {
		t.Errorf("%x gives %q and counts %d", b, got, bad)
	}
	if s.name == "tis620" || s.name == "big5" { // the servers themselves give U+FFFD there
		want.String = strings.ReplaceAll(want.String, "\uFFFD", "?")
	}
	marked := strings.ReplaceAll(string(got), "\uFFFD", "?")
	switch {
	case bad == 0 && (!want.Valid || want.String != string(got)):
		t.Errorf("%x gives %q, the server %q %v", b, got, want.String, want.Valid)
	case bad > 0 && kind == "mysql" && (!want.Valid || s.name == "eucjpms" && strings.HasPrefix(marked, want.String)):
	case bad > 0 && want.String != marked:
		t.Errorf("%x gives %q, the server %q %v", b, got, want.String, want.Valid)
	}
}

// writeTable makes a set's file.
func writeTable(t *testing.T, servers map[string]*sql.Conn, s *Set, all [][]byte, answers map[string][]sql.NullString) {
	kind := "mariadb"
	if !has(kind, s.name) {
		kind = "mysql"
	}
	chars := map[string]uint16{} // by sequence
	sources := map[rune][][]byte{}
	for i, b := range all {
		text := answers[kind][i]
		r, n := utf8.DecodeRuneInString(text.String)
		switch {
		case !text.Valid || n == 0 || n != len(text.String) || r > 0xffff:
		case r == '?' && string(b) != "?":
			if len(b) > 1 {
				chars[string(b)] = wellFormed
			}
		default:
			chars[string(b)] = uint16(r)
			sources[r] = append(sources[r], b)
		}
	}
	var out packer
	out.pages(chars, "", 1)
	out.pages(chars, "", 2)
	out.pages(chars, "\x8f", 2)
	var four []uint16
	for _, b := range all {
		if len(b) == 4 && b[0] < 0x90 {
			c := chars[string(b)]
			if c == wellFormed && string(b) != replacement {
				c = 0
			}
			four = append(four, c)
		}
	}
	for len(four) > 0 && four[len(four)-1] == 0 {
		four = four[:len(four)-1]
	}
	out.put(uint16(len(four)))
	for _, c := range four {
		out.put(c)
	}
	out.twins(t, servers[kind], s.name, sources)
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, flate.BestCompression)
	_, _ = w.Write(out.raw)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("tables", s.name), packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d characters, %d bytes", s.name, len(sources), packed.Len())
}

// packer writes numbers as differences.
type packer struct {
	raw  []byte
	last uint16
}

func (p *packer) put(v uint16) {
	p.raw = binary.BigEndian.AppendUint16(p.raw, v-p.last)
	p.last = v
}

// pages writes the sequences of prefix and then n bytes.
func (p *packer) pages(chars map[string]uint16, prefix string, n int) {
	page := func(prefix string) {
		for b := range 256 {
			p.put(chars[prefix+string([]byte{byte(b)})])
		}
	}
	if n == 1 {
		page(prefix)
		return
	}
	var first []byte
	for a := range 256 {
		for b := range 256 {
			if chars[prefix+string([]byte{byte(a), byte(b)})] != 0 {
				first = append(first, byte(a))
				break
			}
		}
	}
	p.put(uint16(len(first)))
	for _, a := range first {
		p.put(uint16(a))
		page(prefix + string([]byte{a}))
	}
}

// twins writes the sequences that the server does not make of their own character.
func (p *packer) twins(t *testing.T, conn *sql.Conn, name string, sources map[rune][][]byte) {
	var runes []rune
	var texts [][]byte
	for r, b := range sources {
		if len(b) > 1 {
			runes = append(runes, r)
		}
	}
	slices.Sort(runes)
	for _, r := range runes {
		texts = append(texts, []byte(string(r)))
	}
	var twins []uint32
	for i, back := range ask(t, conn, texts, "utf8mb4", name) {
		own := slices.IndexFunc(sources[runes[i]], func(b []byte) bool { return string(b) == back.String })
		for k, b := range sources[runes[i]] {
			if k != max(own, 0) {
				twins = append(twins, sequence(b))
			}
		}
		t.Logf("%s: %U is %x, the server writes %x", name, runes[i], sources[runes[i]], back.String)
	}
	slices.Sort(twins)
	p.put(uint16(len(twins)))
	for _, b := range twins {
		p.put(uint16(b >> 16))
		p.put(uint16(b))
	}
}
