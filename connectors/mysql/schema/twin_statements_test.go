package schema

import (
	"fmt"
	"strings"
)

// typeTexts are types with defaults that columns of them may have.
var typeTexts = []struct{ native, defaults string }{
	{"INT", "0|5|-7|'12'|' 9'|1.5|0x41|TRUE|+3|- 4|-0"},
	{"TINYINT", "1|-128|'7'"}, {"SMALLINT UNSIGNED", "0|65535|'9'"}, {"MEDIUMINT", "3"}, {"BIGINT", "9223372036854775807|-1"},
	{"BIGINT UNSIGNED", "18446744073709551615"}, {"INT(5) ZEROFILL", "42"}, {"BOOL", "TRUE|FALSE"}, {"INT4", "1"}, {"MIDDLEINT", "1"},
	{"DECIMAL(8,3)", "1.5|-1.5|'2.25'|0|-0.0|1e2|12345|1.0005"}, {"DECIMAL", "7|1.5"}, {"NUMERIC(5)", "3"}, {"FIXED(6,2) UNSIGNED", "3.10"}, {"DEC(4,4)", "0.1234|.5"},
	{"FLOAT", "1.5|0.1|1e10|-2|'3'|-0.0"}, {"DOUBLE", "1.235|1e20|-0.0|1e-300|'2.5'|100"}, {"FLOAT(7,2)", "1.239|10|-3"}, {"DOUBLE(10,2)", "1.235|7"},
	{"REAL", "2.5|1"}, {"FLOAT(30)", "1.1"}, {"DOUBLE PRECISION", "0.3"}, {"FLOAT UNSIGNED", "1.25"}, {"FLOAT8", "3.3"}, {"FLOAT4", "3.3"},
	{"DATE", "'2024-02-29'|'20240301'|'2024-1-2'|'2024-02-29 10:00:00'|20240102"},
	{"DATETIME", "'2024-02-29 12:34:56'|'2024-02-29'|'2024-02-29T12:34:56'|'2024-02-29 12:34:56.7'|CURRENT_TIMESTAMP"},
	{"DATETIME(3)", "'2024-02-29 12:34:56.123'|'2024-02-29 12:34:56'|'2024-02-29 12:34:56.1239'|CURRENT_TIMESTAMP(3)"},
	{"TIME", "'12:34:56'|'-12:00:00'|'1:2:3'|'838:59:59'|123456"}, {"TIME(2)", "'01:02:03.45'|'01:02:03'"},
	{"TIMESTAMP NULL", "'2024-02-29 12:34:56'|CURRENT_TIMESTAMP"},
	{"YEAR", "'0'|0|2024|'2024'|'70'|69|1901"},
	{"CHAR(5)", "'ab'|'ab  '|'é'|5|1.5"}, {"CHAR", "'x'"}, {"VARCHAR(20)", "'ab  '|''|'it''s'|1e20|5|-5|1.50|'é€'|0x4142|b'1000001'|'a' 'b'|TRUE"},
	{"VARCHAR(20) CHARACTER SET latin1", "'x'|'é'"}, {"VARCHAR(20) CHARACTER SET utf8mb3", "'é'|'x'"}, {"VARCHAR(10) COLLATE latin1_bin", "'x'"},
	{"VARCHAR(10) BINARY", "'y'"}, {"VARCHAR(10) CHARACTER SET binary", "'z'"}, {"VARCHAR(9) CHARACTER SET ascii", "'x'"}, {"VARCHAR(9) CHARSET utf8", "'x'"},
	{"NCHAR(4)", "'n'"}, {"NATIONAL VARCHAR(4)", "'n'"}, {"LONG", ""}, {"LONG VARCHAR", ""},
	{"TEXT", ""}, {"TINYTEXT", ""}, {"MEDIUMTEXT CHARACTER SET latin1", ""}, {"TEXT(20)", ""}, {"TEXT(300)", ""}, {"TEXT(70000)", ""}, {"BLOB(70000)", ""}, {"BLOB(100)", ""}, {"LONGBLOB", ""},
	{"BINARY(4)", "'ab'|0x0102|''"}, {"VARBINARY(8)", "'ab'|0xff00|'é'|''"}, {"BINARY", "'x'"},
	{"BIT(9)", "b'101'|5|0x1|'5'"}, {"BIT", "1|b'0'"}, {"BIT(8)", "'5'|255"},
	{"ENUM('a','b','B''s','x,y')", "'b'|'B''s'|'A'|'x,y'"}, {"ENUM('b','B') COLLATE utf8mb4_bin", "'B'|'b'"}, {`ENUM('back\\slash','new\nline','p ')`, "'p'"},
	{"SET('s','S') COLLATE utf8mb4_bin", "'S'|'s,S'|''"}, {"SET('a','b','c')", "'a,c'|'C'|'b,a'"}, {"ENUM('é','y') CHARACTER SET latin1", "'é'"},
	{"JSON", ""}, {"SERIAL", ""},
}

// columnType is a column's definition behind its name.
func (w *twin) columnType() string {
	t := typeTexts[w.rand.IntN(len(typeTexts))]
	native := t.native
	if w.mode&NoBackslashEscapes != 0 && strings.Contains(native, `\`) {
		native = "ENUM('q')"
	}
	null := w.pick("", "", "NULL", "NOT NULL", "NOT NULL")
	if strings.Contains(native, "NULL") || native == "SERIAL" {
		null = ""
	}
	def := ""
	if t.defaults != "" && w.chance(60) {
		def = "DEFAULT " + w.pick(strings.Split(t.defaults, "|")...)
	}
	extra := ""
	switch w.rand.IntN(30) {
	case 0:
		extra = "UNIQUE"
	case 1:
		extra = "COMMENT 'it''s; \"a\" -- b'"
	case 2:
		extra = "/* a comment */"
	case 3:
		extra = "/*!40000 COMMENT 'x' */"
	case 4:
		extra = "/*M! COMMENT 'y' */"
	case 5:
		extra = "INVISIBLE"
	case 6:
		return native + " AS (NULL)"
	}
	return strings.TrimSpace(native + " " + null + " " + def + " " + extra)
}

var twinNames = []string{"a", "b", "c", "d", "e", "F", "key 1", "ü"}

func (w *twin) anyName() string { return Quote(w.pick(twinNames...)) }

// oldName is mostly the name of a column that is there.
func (w *twin) oldName() string {
	if w.now == nil || w.chance(5) {
		return w.anyName()
	}
	return Quote(w.now.Schema.Columns[w.rand.IntN(len(w.now.Schema.Columns))].Name)
}

func (w *twin) columns() string {
	out := []string{w.oldName()}
	for w.chance(25) {
		out = append(out, w.oldName())
	}
	switch {
	case w.chance(8):
		out[0] += fmt.Sprintf("(%d)", 1+w.rand.IntN(4))
	case !w.maria && w.chance(8):
		out[0] = "(CONCAT(" + out[0] + ", 'x'))"
	}
	return strings.Join(out, ", ")
}

func (w *twin) createTable() string {
	var parts []string
	names := append([]string{}, twinNames...)
	w.rand.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	names = names[:2+w.rand.IntN(4)]
	for _, n := range names {
		parts = append(parts, Quote(n)+" "+w.columnType())
	}
	for range w.rand.IntN(3) {
		n := Quote(names[w.rand.IntN(len(names))])
		if w.chance(30) {
			n += ", " + Quote(names[w.rand.IntN(len(names))])
		}
		parts = append(parts, w.pick("UNIQUE (", "UNIQUE KEY u1 (", "KEY (", "INDEX i1 (", "PRIMARY KEY (", "CONSTRAINT c1 UNIQUE (", "CONSTRAINT c2 UNIQUE u2 (")+n+")")
	}
	return "CREATE TABLE " + w.name.Table + " (" + strings.Join(parts, ", ") + ")" + w.pick(" DEFAULT CHARSET utf8mb4", " CHARSET=latin1",
		" COLLATE utf8mb4_bin", " COLLATE=utf8_general_ci")
}

func (w *twin) position() string {
	switch w.rand.IntN(5) {
	case 0:
		return " FIRST"
	case 1, 2:
		return " AFTER " + w.oldName()
	}
	return ""
}

func (w *twin) alterPart() string {
	index := "i1"
	if n := len(w.now.Indexes); n > 0 {
		index = Quote(w.now.Indexes[w.rand.IntN(n)].Name)
	}
	switch w.rand.IntN(22) {
	case 0, 1, 2, 3, 4:
		return "ADD " + w.pick("", "COLUMN ") + w.anyName() + " " + w.columnType() + w.position()
	case 5, 6:
		return "DROP " + w.pick("", "COLUMN ") + w.oldName()
	case 7, 8, 9:
		return "MODIFY " + w.oldName() + " " + w.columnType() + w.position()
	case 10, 11:
		return "CHANGE " + w.oldName() + " " + w.anyName() + " " + w.columnType() + w.position()
	case 12, 13, 14:
		return "RENAME COLUMN " + w.oldName() + " TO " + w.anyName()
	case 15:
		return "ADD " + w.pick("UNIQUE ", "UNIQUE KEY k1 ", "INDEX ", "KEY i2 ", "CONSTRAINT c3 UNIQUE ") + "(" + w.columns() + ")"
	case 16:
		return "DROP INDEX " + index
	case 17:
		return w.pick("DROP PRIMARY KEY", "ADD PRIMARY KEY ("+w.oldName()+")", "DROP PRIMARY KEY, ADD PRIMARY KEY ("+w.oldName()+")")
	case 18:
		return "RENAME INDEX " + index + " TO " + w.pick("r1", "r2")
	case 19:
		return w.pick("DEFAULT CHARSET latin1", "COLLATE utf8mb4_general_ci", "COMMENT 'c, d'", "ALGORITHM=COPY", "ENGINE=InnoDB", "FORCE")
	case 20:
		return "ALTER " + w.oldName() + " " + w.pick("DROP DEFAULT", "SET DEFAULT 1")
	}
	return "ADD (" + w.anyName() + " " + w.columnType() + ", " + w.anyName() + " " + w.columnType() + ")"
}

// sameParts are columns that give each other their names and places, as types that are
// the same let them.
func (w *twin) sameParts() string {
	a := w.now.Schema.Columns[w.rand.IntN(len(w.now.Schema.Columns))]
	b := w.now.Schema.Columns[w.rand.IntN(len(w.now.Schema.Columns))]
	an, bn := Quote(a.Name), Quote(b.Name)
	return w.pick(
		"RENAME COLUMN "+an+" TO "+bn+", RENAME COLUMN "+bn+" TO "+an,
		"CHANGE "+an+" "+bn+" "+a.Native+", CHANGE "+bn+" "+an+" "+b.Native,
		"CHANGE "+an+" "+bn+" "+a.Native+w.position()+", CHANGE "+bn+" "+an+" "+b.Native+w.position(),
		"RENAME COLUMN "+an+" TO "+bn+", DROP COLUMN "+bn,
		"CHANGE "+an+" "+bn+" "+a.Native+", DROP "+bn,
		"RENAME COLUMN "+an+" TO "+bn+", CHANGE "+bn+" "+an+" "+b.Native+w.position(),
		"DROP COLUMN "+an+", ADD "+an+" "+w.columnType()+w.position(),
		"RENAME COLUMN "+an+" TO zz, ADD "+an+" INT AFTER zz, ADD yy INT AFTER "+bn,
		"ADD zz INT FIRST, ADD yy INT AFTER zz, MODIFY "+an+" "+a.Native+" AFTER yy",
	)
}

func (w *twin) alterTable() string {
	parts := []string{w.alterPart()}
	if w.chance(25) {
		parts = []string{w.sameParts()}
	}
	for w.chance(35) {
		parts = append(parts, w.alterPart())
	}
	return w.pick("ALTER TABLE ", "ALTER TABLE ", "ALTER /* x */ TABLE ", "/* tool */ ALTER TABLE ", "-- line\nALTER TABLE ") +
		w.name.Table + " " + strings.Join(parts, w.pick(", ", ",", " , -- c\n"))
}
