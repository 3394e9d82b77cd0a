package decode

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/millrace/millrace/pipeline/event"
)

// testdata/tablemaps.txt has TABLE_MAPs with full metadata, as the servers wrote them, of
//
//	full: (id INT UNSIGNED PRIMARY KEY, y YEAR, f FLOAT, d DECIMAL(5,2) UNSIGNED, b BIT(3), g GEOMETRY, c CHAR(5) CHARACTER SET gbk,
//	  j JSON, t TEXT CHARACTER SET big5, e ENUM('x','é') CHARACTER SET latin1, s SET('日','b') CHARACTER SET sjis, bl BLOB,
//	  vb VARBINARY(3), l CHAR(4) CHARACTER SET latin2, dt DATETIME(3), bb TINYINT, …)
//	  where MySQL goes on with ve VECTOR(4), hid INT INVISIBLE and MariaDB with u UUID, i6 INET6
//	prefix: (a VARCHAR(5) CHARACTER SET gbk, b VARCHAR(5) CHARACTER SET gbk, g POINT, c VARCHAR(5) CHARACTER SET big5, i INT,
//	  k VARCHAR(20), PRIMARY KEY (k(3), i))
func recordedMap(t testing.TB, name, kind string) (*TableMap, []byte) {
	t.Helper()
	all, err := os.ReadFile("testdata/tablemaps.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		if text, ok := strings.CutPrefix(line, name+" "+kind+" "); ok {
			return parseHex(t, strings.TrimSpace(text))
		}
	}
	t.Fatalf("no map %s of %s", name, kind)
	return nil, nil
}

var kinds = []string{"mysql", "mariadb"}

func parseHex(t testing.TB, text string) (*TableMap, []byte) {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	tm, err := ParseTableMap(b)
	if err != nil {
		t.Fatal(err)
	}
	return tm, b
}

// fullSchema is the tracked definition of the first table.
func fullSchema(kind string) *event.Schema {
	columns := []event.Column{
		{Name: "id", Type: event.TypeUint, Native: "int unsigned", Precision: 4}, {Name: "y", Type: event.TypeYear, Native: "year"}, {Name: "f", Type: event.TypeFloat, Native: "float"},
		{Name: "d", Type: event.TypeDecimal, Native: "decimal(5,2) unsigned", Precision: 5, Scale: 2}, {Name: "b", Type: event.TypeBit, Native: "bit(3)", Length: 3},
		{Name: "g", Type: event.TypeGeometry, Native: "geometry"}, {Name: "c", Type: event.TypeText, Native: "char(5)", Length: 5, Charset: "gbk"},
		{Name: "j", Type: event.TypeJSON, Native: "json", Charset: "utf8mb4"}, {Name: "t", Type: event.TypeText, Native: "text", Charset: "big5"},
		{Name: "e", Type: event.TypeEnum, Native: "enum('x','é')", Members: []string{"x", "é"}, Charset: "latin1"},
		{Name: "s", Type: event.TypeSet, Native: "set('日','b')", Members: []string{"日", "b"}, Charset: "sjis"}, {Name: "bl", Type: event.TypeBinary, Native: "blob"},
		{Name: "vb", Type: event.TypeBinary, Native: "varbinary(3)", Length: 3}, {Name: "l", Type: event.TypeText, Native: "char(4)", Length: 4, Charset: "latin2"},
		{Name: "dt", Type: event.TypeDateTime, Native: "datetime(3)", Scale: 3}, {Name: "bb", Type: event.TypeInt, Native: "tinyint", Precision: 1},
	}
	if kind == "mysql" {
		columns = append(columns, event.Column{Name: "ve", Type: event.TypeBinary, Native: "vector(4)"},
			event.Column{Name: "hid", Type: event.TypeInt, Native: "int", Precision: 4})
	} else {
		columns[7].Native = "longtext"
		columns = append(columns, event.Column{Name: "u", Type: event.TypeBinary, Native: "uuid", Length: 16},
			event.Column{Name: "i6", Type: event.TypeBinary, Native: "inet6", Length: 16})
	}
	return event.NewSchema(event.TableName{DB: "tmx", Table: "t"}, columns, []int{0})
}

func TestFullMetadataFitsAndSaysWhatDiffers(t *testing.T) {
	for _, kind := range kinds {
		tm, _ := recordedMap(t, "full", kind)
		if _, err := NewDecoder(fullSchema(kind), tm, kind == "mariadb", nil); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		for _, c := range []struct {
			change func(c []event.Column) []event.Column
			aspect Aspect
			text   string
		}{
			{func(c []event.Column) []event.Column { return c[1:] }, DiffersInColumns, "the table has 18 columns in the log and 17 in the tracked definition"},
			{func(c []event.Column) []event.Column { c[2].Name = "a"; return c }, DiffersInName, `column 3 is named "f" in the log and "a" in the tracked definition`},
			{func(c []event.Column) []event.Column {
				c[2].Type, c[2].Native = event.TypeDouble, "double"
				return c
			}, DiffersInType, "column 3, f, is FLOAT in the log and double in the tracked definition"},
			{func(c []event.Column) []event.Column { c[0].Type = event.TypeInt; return c }, DiffersInSign, "column 1, id, is unsigned in the log and signed in the tracked definition"},
			{func(c []event.Column) []event.Column { c[6].Charset = "big5"; return c }, DiffersInCharset, "column 7, c, has the charset gbk in the log and big5 in the tracked definition"},
			{func(c []event.Column) []event.Column { c[8].Charset = "utf8mb4"; return c }, DiffersInCharset, "column 9, t, has the charset big5 in the log and utf8mb4 in the tracked definition"},
			{func(c []event.Column) []event.Column { c[12].Type, c[12].Charset = event.TypeText, "latin1"; return c }, DiffersInCharset, "column 13, vb, has the charset binary in the log and latin1 in the tracked definition"},
			{func(c []event.Column) []event.Column { c[10].Charset = "ujis"; return c }, DiffersInCharset, "column 11, s, has the charset sjis in the log and ujis in the tracked definition"},
			{func(c []event.Column) []event.Column { c[10].Members = []string{"b", "日"}; return c }, DiffersInMembers, `column 11, s, has the members ["日" "b"] in the log and ["b" "日"] in the tracked definition`},
			{func(c []event.Column) []event.Column { c[6].Length, c[6].Native = 6, "char(6)"; return c }, DiffersInType, "column 7, c, is CHAR of 10 bytes of gbk in the log and char(6) of gbk in the tracked definition"},
			{func(c []event.Column) []event.Column { c[12].Length, c[12].Native = 4, "varbinary(4)"; return c }, DiffersInType, "column 13, vb, is VARBINARY of 3 bytes in the log and varbinary(4) in the tracked definition"},
			{func(c []event.Column) []event.Column { c[3].Scale, c[3].Native = 1, "decimal(5,1)"; return c }, DiffersInType, "column 4, d, is DECIMAL(5,2) in the log and decimal(5,1) in the tracked definition"},
			{func(c []event.Column) []event.Column { c[4].Length, c[4].Native = 9, "bit(9)"; return c }, DiffersInType, "column 5, b, is BIT(3) in the log and bit(9) in the tracked definition"},
			{func(c []event.Column) []event.Column { c[11].Native = "longblob"; return c }, DiffersInType, "column 12, bl, is BLOB or TEXT with lengths of 2 bytes in the log and longblob in the tracked definition"},
			{func(c []event.Column) []event.Column { c[14].Scale, c[14].Native = 6, "datetime(6)"; return c }, DiffersInType, "column 15, dt, is DATETIME(3) in the log and datetime(6) in the tracked definition"},
			{func(c []event.Column) []event.Column {
				c[9].Type, c[9].Native, c[9].Precision = event.TypeInt, "int", 4
				return c
			}, DiffersInType, "column 10, e, is ENUM of 1 bytes in the log and int in the tracked definition"},
		} {
			s := fullSchema(kind)
			_, err := NewDecoder(event.NewSchema(s.Name, c.change(slices.Clone(s.Columns)), s.PrimaryKey), tm, kind == "mariadb", nil)
			var d *Difference
			if !errors.As(err, &d) || !errors.Is(err, ErrMismatch) || d.Aspect != c.aspect || d.Error() != c.text {
				t.Errorf("%s: %v, want %s", kind, err, c.text)
			}
		}
		s := fullSchema(kind)
		_, err := NewDecoder(event.NewSchema(s.Name, s.Columns, []int{0, 1}), tm, kind == "mariadb", nil)
		var d *Difference
		if !errors.As(err, &d) || d.Aspect != DiffersInKey ||
			d.Error() != "the primary key is (id) in the log and (id, y) in the tracked definition" {
			t.Errorf("%s: another key: %v", kind, err)
		}
		unknown := slices.Clone(s.Columns)
		unknown[6].Charset = "filename"
		if _, err := NewDecoder(event.NewSchema(s.Name, unknown, s.PrimaryKey), tm, false, nil); !errors.Is(err, ErrUnsupported) ||
			!strings.Contains(err.Error(), `charset "filename"`) {
			t.Errorf("a charset that no server has: %v", err)
		}
	}
}

func TestKeysWithPrefixesAndLaterCharsets(t *testing.T) {
	for _, kind := range kinds {
		tm, _ := recordedMap(t, "prefix", kind)
		if !slices.Equal(tm.Key, []int{5, 4}) {
			t.Errorf("%s: the key is %v", kind, tm.Key)
		}
		ids := tm.collations(kind == "mariadb")
		if ids[0] != 28 || ids[1] != 28 || ids[3] != 1 || ids[4] != 0 || ids[5] == 63 || ids[5] == 0 {
			t.Errorf("%s: the collations are %v", kind, ids)
		}
	}
}

// TestMetadataAgainstTheLibrary compares with what go-mysql reads.
func TestMetadataAgainstTheLibrary(t *testing.T) {
	for _, kind := range kinds {
		for _, name := range []string{"full", "prefix"} {
			tm, body := recordedMap(t, name, kind)
			lib := parseByLibrary(t, kind, body)
			if !slices.Equal(tm.Names, lib.ColumnNameString()) {
				t.Errorf("%s: names %v, the library %v", kind, tm.Names, lib.ColumnNameString())
			}
			for i, unsigned := range lib.UnsignedMap() {
				if tm.Unsigned[i] != unsigned && tm.Types[i] != wireYear {
					t.Errorf("%s: column %d unsigned %v", kind, i, tm.Unsigned[i])
				}
			}
			want := lib.CollationMap()
			maps.Copy(want, lib.EnumSetCollationMap())
			for i, id := range tm.collations(kind == "mariadb") {
				if uint64(id) != want[i] && tm.Types[i] != wireVector { // which the library does not know
					t.Errorf("%s: column %d has collation %d, the library says %d", kind, i, id, want[i])
				}
			}
			members := lib.EnumStrValueMap()
			maps.Copy(members, lib.SetStrValueMap())
			for i, names := range tm.memberNames() {
				if !slices.Equal(names, members[i]) {
					t.Errorf("%s: column %d has members %q, the library says %q", kind, i, names, members[i])
				}
			}
			for k, c := range lib.PrimaryKey {
				if tm.Key[k] != int(c) {
					t.Errorf("%s: key %v, the library %v", kind, tm.Key, lib.PrimaryKey)
				}
			}
		}
	}
}

func parseByLibrary(t *testing.T, kind string, body []byte) *replication.TableMapEvent {
	t.Helper()
	header := func(typ byte, b []byte) []byte {
		h := make([]byte, 19, 19+len(b))
		h[4] = typ
		binary.LittleEndian.PutUint32(h[9:], uint32(19+len(b)))
		return append(h, b...)
	}
	format := make([]byte, 2+50+4+1+40+5)
	format[0] = 4
	copy(format[2:], map[string]string{"mysql": "9.7.4", "mariadb": "10.11.19-MariaDB"}[kind])
	format[56] = 19
	for i := 57; i < len(format)-5; i++ {
		format[i] = 8
	}
	p := replication.NewBinlogParser()
	p.SetFlavor(kind)
	if _, err := p.Parse(header(15, format)); err != nil {
		t.Fatal(err)
	}
	e, err := p.Parse(header(19, body))
	if err != nil {
		t.Fatal(err)
	}
	return e.Event.(*replication.TableMapEvent)
}

func TestMembersThatListsCannotShow(t *testing.T) {
	c := &event.Column{Type: event.TypeEnum, Charset: "utf8mb4", Members: []string{"?", "é"}}
	if _, ok := membersFit(c, []string{"😀", "é"}); !ok {
		t.Error("a member beyond the first plane is shown as ?")
	}
	if _, ok := membersFit(c, []string{"x", "é"}); ok {
		t.Error("another member fits")
	}
}

// counter is a Counter.
type counter int

func (c *counter) Add(n float64) { *c += counter(n) }

func textTable(charset string, key bool) (*event.Schema, *TableMap) {
	s := event.NewSchema(event.TableName{DB: "d", Table: "t"},
		[]event.Column{{Name: "v", Type: event.TypeText, Native: "varchar(60)", Length: 60, Charset: charset}}, nil)
	if key {
		s = event.NewSchema(s.Name, s.Columns, []int{0})
	}
	return s, &TableMap{Types: []byte{wireVarchar}, Meta: []uint16{uint16(60 * textSet(&s.Columns[0]).MaxLen())}}
}

// TestTextOfAnyLength converts texts whose length in UTF-8 takes more bytes, or fewer,
// than was kept for it, by way of the log and of SELECT.
func TestTextOfAnyLength(t *testing.T) {
	for _, cs := range []string{"latin1", "cp1251", "gbk", "utf16", "utf8mb4"} {
		for _, key := range []bool{false, true} {
			for n := range 60 {
				checkText(t, cs, key, n)
			}
		}
	}
}

func checkText(t *testing.T, cs string, key bool, n int) {
	t.Helper()
	unit, want := map[string]string{"latin1": "\xe9", "cp1251": "\xc6", "gbk": "\xb1\xb8", "utf16": "\xd8\x3d\xde\x00", "utf8mb4": "é"}[cs],
		map[string]string{"latin1": "é", "cp1251": "Ж", "gbk": "备", "utf16": "😀", "utf8mb4": "é"}[cs]
	s, tm := textTable(cs, key)
	var lossy counter
	d, err := NewDecoder(s, tm, false, &lossy)
	if err != nil {
		t.Fatal(err)
	}
	value := []byte(strings.Repeat(unit, n))
	row := []byte{0}
	if lengthBytes(tm.Meta[0]) == 2 {
		row = binary.LittleEndian.AppendUint16(row, uint16(len(value)))
	} else {
		row = append(row, byte(len(value)))
	}
	img, _, err := d.AppendImage(nil, append(row, value...))
	if err != nil {
		t.Fatal(err)
	}
	vals, err := event.Values(img, s, nil)
	if err != nil || vals[0].Text() != strings.Repeat(want, n) || lossy != 0 {
		t.Fatalf("%s, %d: %q, %v, %d without a character", cs, n, vals, err, lossy)
	}
	text, err := NewTextDecoder(s, false, &lossy)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := text.AppendImage(nil, [][]byte{value}); err != nil || string(again) != string(img) {
		t.Fatalf("%s, %d: SELECT gives %x, %v", cs, n, again, err)
	}
}

func TestBytesWithoutACharacter(t *testing.T) {
	for cs, value := range map[string]string{"cp1251": "a\x98b", "gbk": "a\x81", "utf8mb4": "a\xffb", "utf16": "\xd8\x00", "ascii": "\xe9", "euckr": "\xa1\x21"} {
		for _, key := range []bool{false, true} {
			s, tm := textTable(cs, key)
			var lossy counter
			d, err := NewDecoder(s, tm, false, &lossy)
			if err != nil {
				t.Fatal(err)
			}
			row := []byte{0, byte(len(value))}
			if lengthBytes(tm.Meta[0]) == 2 {
				row = append(row, 0)
			}
			img, _, err := d.AppendImage(nil, append(row, value...))
			if key {
				if !errors.Is(err, ErrKey) || CheckKey(&s.Columns[0], []byte(value)) == nil {
					t.Errorf("%s: %x is a key: %v", cs, value, err)
				}
				continue
			}
			vals, err := event.Values(img, s, nil)
			if err != nil || lossy != 1 || strings.Count(vals[0].Text(), "\uFFFD") != 1 {
				t.Errorf("%s: %x gives %q, counts %d, %v", cs, value, vals, lossy, err)
			}
		}
	}
	if err := CheckKey(&event.Column{Type: event.TypeInt}, []byte("1")); err != nil {
		t.Error(err)
	}
}

func TestOddGeometry(t *testing.T) {
	c := &event.Column{Name: "g", Type: event.TypeGeometry, Native: "point"}
	for text, ok := range map[string]bool{"": true, "\x00\x00\x00": false, "\x00\x00\x00\x00\x01": true} {
		if _, err := TextValue(c, []byte(text), true); (err == nil) != ok {
			t.Errorf("geometry %x: %v", text, err)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("cp932", []byte("\x81\x5c\xfa\x54"), true)
	f.Add("gb18030", []byte("\x81\x30\x81\x30\xff"), false)
	f.Fuzz(func(t *testing.T, cs string, value []byte, key bool) {
		c := event.Column{Name: "v", Type: event.TypeText, Native: "longtext", Charset: cs}
		if Supported(&c) != nil {
			return
		}
		s := event.NewSchema(event.TableName{DB: "d", Table: "t"}, []event.Column{c}, nil)
		if key {
			s = event.NewSchema(s.Name, s.Columns, []int{0})
		}
		d, err := NewTextDecoder(s, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if value == nil {
			value = []byte{}
		}
		img, err := d.AppendImage(nil, [][]byte{value})
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Fatal(err)
			}
			return
		}
		if err := event.CheckImage(img, s); err != nil {
			t.Fatal(err)
		}
	})
}
