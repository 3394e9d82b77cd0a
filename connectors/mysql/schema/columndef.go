package schema

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pingcap/tidb/pkg/parser/ast"
	"github.com/pingcap/tidb/pkg/parser/mysql"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// extras are what a column's definition says beyond its type.
type extras struct {
	primary, unique, autoIncrement bool
	hasDefault                     bool
	def                            ast.ExprNode
	explicitNull                   bool
}

func hasOption(d *ast.ColumnDef, tp ast.ColumnOptionType) bool {
	for _, o := range d.Options {
		if o.Tp == tp {
			return true
		}
	}
	return false
}

func isText(d *ast.ColumnDef) bool {
	switch d.Tp.GetType() {
	case mysql.TypeString, mysql.TypeVarchar, mysql.TypeVarString, mysql.TypeEnum, mysql.TypeSet,
		mysql.TypeBlob, mysql.TypeTinyBlob, mysql.TypeMediumBlob, mysql.TypeLongBlob:
		return d.Tp.GetCharset() != "binary"
	}
	return false
}

// column makes a column out of its definition; ok is false, and unclear set, when that
// cannot be done with certainty.
func (b *build) column(d *ast.ColumnDef) (c event.Column, x extras, ok bool) {
	nullable, collation := true, strings.ToLower(d.Tp.GetCollate())
	charset := strings.ToLower(d.Tp.GetCharset())
	json, generated, said := false, false, false // said: NULL or NOT NULL
	for _, o := range d.Options {
		switch o.Tp {
		case ast.ColumnOptionPrimaryKey:
			x.primary, nullable = true, false
		case ast.ColumnOptionNotNull:
			nullable, said = false, true
		case ast.ColumnOptionNull:
			said = true
			x.explicitNull = true
		case ast.ColumnOptionUniqKey:
			x.unique = true
		case ast.ColumnOptionAutoIncrement:
			x.autoIncrement, nullable = true, false
		case ast.ColumnOptionDefaultValue:
			x.hasDefault, x.def = true, o.Expr
		case ast.ColumnOptionGenerated:
			generated = true
		case ast.ColumnOptionCollate:
			collation = strings.ToLower(o.StrValue)
		case ast.ColumnOptionCheck:
			json = json || isJSONValid(o.Expr)
		}
	}
	if isText(d) {
		charset, collation = b.textCharset(charset, collation)
		if charset == "" {
			b.isUnclear("the charset of column %s is not said", d.Name.Name.O)
			return c, x, false
		}
		if mysql.HasBinaryFlag(d.Tp.GetFlag()) && charset != "binary" { // CHAR(3) BINARY
			collation = charset + "_bin"
		}
	}
	if !validText(d) {
		b.isUnclear("the definition of column %s is not UTF-8", strings.ToValidUTF8(d.Name.Name.O, "?"))
		return c, x, false
	}
	native := nativeText(d, charset)
	c, err := Column(d.Name.Name.O, native, charset, collation, nullable)
	if err != nil {
		b.isUnclear("%v", err)
		return c, x, false
	}
	c.Generated = generated
	if c.Type == event.TypeTimestamp && !said && !generated && b.s.Timestamps != On {
		c.Nullable = false
		if b.s.Timestamps == NotKnown {
			b.isUnclear("whether column %s may be NULL depends on a setting that is not in the log", c.Name)
		}
	}
	if b.s.MariaDB && (decode.BaseType(native) == "json" || json && native == "longtext") {
		c.Native, c.Type = "longtext", event.TypeJSON
	}
	return c, x, true
}

// validText reports whether a column's name and members are UTF-8: members can be given
// as bytes of the column's charset.
func validText(d *ast.ColumnDef) bool {
	return utf8.ValidString(d.Name.Name.O) && !slices.ContainsFunc(d.Tp.GetElems(), func(e string) bool { return !utf8.ValidString(e) })
}

// nativeText is the type as information_schema would show it.
func nativeText(d *ast.ColumnDef, charset string) string {
	tp := *d.Tp
	if charset != "" && isText(d) {
		tp.SetCharset(charset)
	}
	text := strings.ToLower(tp.CompactStr())
	if tp.GetType() == mysql.TypeEnum || tp.GetType() == mysql.TypeSet {
		quoted := make([]string, len(tp.GetElems()))
		for i, e := range tp.GetElems() {
			quoted[i] = quoteMember(strings.TrimRight(e, " "))
		}
		text = map[bool]string{true: "enum", false: "set"}[tp.GetType() == mysql.TypeEnum] + "(" + strings.Join(quoted, ",") + ")"
	}
	switch tp.GetType() {
	case mysql.TypeBlob:
		text = blobText(text, tp.GetFlen(), charset)
	case mysql.TypeTinyBlob, mysql.TypeMediumBlob, mysql.TypeLongBlob, mysql.TypeYear:
		text = decode.BaseType(text)
	}
	if mysql.HasUnsignedFlag(tp.GetFlag()) {
		text += " unsigned"
	}
	if mysql.HasZerofillFlag(tp.GetFlag()) {
		text += " zerofill"
	}
	return text
}

// blobText picks the kind of BLOB or TEXT that the server takes for a length.
func blobText(text string, flen int, charset string) string {
	base := decode.BaseType(text)
	if flen <= 0 {
		return base
	}
	size := flen
	if base == "text" {
		size *= charWidth(charset)
	}
	switch {
	case size < 1<<8:
		return "tiny" + base
	case size < 1<<16:
		return base
	case size < 1<<24:
		return "medium" + base
	}
	return "long" + base
}

// charWidth is the most bytes that a character takes.
func charWidth(charset string) int {
	switch charset {
	case "utf8mb4", "utf16", "utf16le", "utf32", "gb18030":
		return 4
	case "utf8mb3", "ujis", "eucjpms":
		return 3
	case "ucs2", "big5", "gbk", "gb2312", "sjis", "cp932", "euckr":
		return 2
	}
	return 1
}

// isJSONValid reports whether a CHECK is the one that MariaDB makes a JSON column of.
func isJSONValid(e ast.ExprNode) bool {
	for {
		switch n := e.(type) {
		case *ast.ParenthesesExpr:
			e = n.Expr
		case *ast.FuncCallExpr:
			return n.FnName.L == "json_valid"
		default:
			return false
		}
	}
}

// textCharset is the charset and collation of a text column that may name them: the one
// decides the other, and where neither is said, the table's hold. MariaDB's collations
// of Unicode's newer versions have no charset in their names and leave it as it is.
func (b *build) textCharset(charset, collation string) (string, string) {
	charset = charsetName(charset)
	named := CharsetOf(collation)
	switch {
	case named == "uca1400" && charset == "":
		return b.charset, b.charset + "_" + collation
	case named == "uca1400":
		return charset, charset + "_" + collation
	case collation != "":
		return named, collation
	case charset == "":
		return b.charset, b.collation
	}
	return charset, ""
}

// fill sets what older rows show in an added column, or says that it cannot be known.
func (b *build) fill(c *event.Column, x extras) {
	switch {
	case c.Generated:
		b.isDue("column %s is generated", c.Name)
		return
	case x.autoIncrement:
		b.isDue("column %s is AUTO_INCREMENT", c.Name)
		return
	case c.Type == event.TypeUnsupported:
		return
	}
	if !x.hasDefault {
		if c.Type == event.TypeTimestamp && !x.explicitNull {
			b.isDue("the default of column %s depends on the server's settings", c.Name)
			return
		}
		if c.Nullable {
			c.HasDefault = true
			return
		}
		if v, ok := implicitDefault(c, b.s.MariaDB); ok {
			c.HasDefault, c.Default = true, v
		} else {
			b.isDue("column %s has no default that is known", c.Name)
		}
		return
	}
	v, null, err := b.constant(c, x.def)
	if err != nil {
		if !seeded.On(seeded.LogTakenAtItsWord) {
			b.isDue("the default of column %s is not a constant that is understood: %v", c.Name, err)
		}
		return
	}
	c.HasDefault = true
	if !null {
		c.Default = v
	}
}

// implicitDefault is what a NOT NULL column without a default shows in older rows.
func implicitDefault(c *event.Column, maria bool) (event.Value, bool) {
	text := "0"
	switch c.Type {
	case event.TypeInt, event.TypeUint, event.TypeYear, event.TypeSet, event.TypeFloat, event.TypeDouble, event.TypeDecimal:
	case event.TypeEnum:
		text = "1"
	case event.TypeDate:
		text = "0000-00-00"
	case event.TypeDateTime, event.TypeTimestamp:
		text = "0000-00-00 00:00:00"
	case event.TypeTime:
		text = "00:00:00"
	case event.TypeText:
		text = ""
	case event.TypeBit:
		text = "\x00"
	case event.TypeBinary:
		return make(event.Value, fixedLength(c)), true
	case event.TypeJSON:
		if text = "null"; maria {
			text = ""
		}
	default:
		return nil, false
	}
	v, err := decode.TextValue(c, []byte(text), maria)
	return v, err == nil
}

// fixedLength is the length of types that are padded, 0 of others.
func fixedLength(c *event.Column) int {
	switch decode.BaseType(c.Native) {
	case "binary", "uuid", "inet4", "inet6":
		return c.Length
	}
	return 0
}
