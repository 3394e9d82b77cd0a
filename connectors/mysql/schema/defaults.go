package schema

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pingcap/tidb/pkg/parser/ast"
	"github.com/pingcap/tidb/pkg/parser/mysql"
	"github.com/pingcap/tidb/pkg/parser/opcode"
	"github.com/pingcap/tidb/pkg/parser/test_driver"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/pipeline/event"
)

// literal is a constant as a statement writes it.
type literal struct {
	kind literalKind
	text string
}

type literalKind uint8

const (
	literalNull literalKind = iota
	literalText
	literalInt
	literalDecimal
	literalFloat
	literalBytes // hexadecimal or binary
)

var errNotConstant = errors.New("not a constant")

// literalOf is the constant that an expression is.
func literalOf(e ast.ExprNode) (literal, error) {
	switch n := e.(type) {
	case *ast.ParenthesesExpr:
		return literalOf(n.Expr)
	case *ast.UnaryOperationExpr:
		return signed(n)
	case *test_driver.ValueExpr:
		switch n.Kind() {
		case test_driver.KindNull:
			return literal{}, nil
		case test_driver.KindInt64:
			return literal{literalInt, strconv.FormatInt(n.GetInt64(), 10)}, nil
		case test_driver.KindUint64:
			return literal{literalInt, strconv.FormatUint(n.GetUint64(), 10)}, nil
		case test_driver.KindString:
			if cs := n.GetType().GetCharset(); cs != "" && cs != mysql.DefaultCharset && !ascii(n.GetString()) { // of an introducer
				return literal{}, fmt.Errorf("a text in charset %s", cs)
			}
			return literal{literalText, n.GetString()}, nil
		case test_driver.KindBytes, test_driver.KindBinaryLiteral:
			return literal{literalBytes, string(n.GetBytes())}, nil
		case test_driver.KindMysqlDecimal:
			return literal{literalDecimal, n.GetMysqlDecimal().String()}, nil
		case test_driver.KindFloat64:
			return literal{literalFloat, strconv.FormatFloat(n.GetFloat64(), 'g', -1, 64)}, nil
		}
	}
	return literal{}, errNotConstant
}

// signed is a number with a sign in front. A sign in front of zero is left to the server,
// as one in front of anything else is.
func signed(n *ast.UnaryOperationExpr) (literal, error) {
	v, err := literalOf(n.V)
	number := v.kind == literalInt || v.kind == literalDecimal || v.kind == literalFloat
	switch {
	case err != nil:
		return literal{}, err
	case n.Op == opcode.Plus && number:
		return v, nil
	case n.Op == opcode.Minus && number && !strings.HasPrefix(v.text, "-") && strings.Trim(v.text, "0.") != "":
		v.text = "-" + v.text
		return v, nil
	}
	return literal{}, errNotConstant
}

// basic reports whether a text is of characters in Unicode's first plane.
func basic(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0xffff }) < 0
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// constant is the canonical value of a DEFAULT expression, if it is one.
func (b *build) constant(c *event.Column, e ast.ExprNode) (v event.Value, null bool, err error) {
	l, err := literalOf(e)
	if err != nil || l.kind == literalNull {
		return nil, err == nil, err
	}
	if l.kind == literalText && l.text == "" && b.s.MariaDB && b.s.Mode&EmptyStringIsNull != 0 {
		return nil, true, nil
	}
	v, err = convert(c, l, b.s.MariaDB)
	return v, false, err
}

// The forms of texts that are stored as they are.
var (
	wholeForm    = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,18})$`)
	decimalForm  = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)
	dateForm     = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	dateTimeForm = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$`)
	timeForm     = regexp.MustCompile(`^-?[0-9]{2,3}:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?$`)
)

// convert makes the value that the server stores for a literal. It converts only where
// nothing has to be rounded, cut, padded by a rule of the session, or looked up in a
// collation or a time zone; everything else is an error, and due. What is due is told to
// people and to the broker, so the error does not say the value.
func convert(c *event.Column, l literal, maria bool) (event.Value, error) {
	if text, ok := plain(c, l, maria); ok {
		return decode.TextValue(c, []byte(text), maria)
	}
	return nil, fmt.Errorf("the server converts it to %s", c.Native)
}

// plain is the literal as the server would print it from the column.
func plain(c *event.Column, l literal, maria bool) (string, bool) {
	number := l.kind == literalInt || l.kind == literalDecimal || l.kind == literalFloat
	switch c.Type {
	case event.TypeInt, event.TypeUint:
		return l.text, (l.kind == literalInt || l.kind == literalText) && wholeForm.MatchString(l.text) && fitsInt(c, l.text)
	case event.TypeDecimal:
		return l.text, (number && l.kind != literalFloat || l.kind == literalText) && fitsDecimal(c, l.text)
	case event.TypeFloat, event.TypeDouble:
		return l.text, number && fitsFloat(c, l)
	case event.TypeText:
		return plainText(c, l)
	case event.TypeBinary:
		return plainBinary(c, l)
	case event.TypeEnum:
		i := slices.Index(c.Members, strings.TrimRight(l.text, " "))
		return strconv.Itoa(i + 1), l.kind == literalText && i >= 0
	case event.TypeSet:
		return plainSet(c, l)
	case event.TypeBit:
		return plainBit(c, l)
	case event.TypeYear:
		return plainYear(l)
	case event.TypeJSON:
		return l.text, maria && l.kind == literalText
	case event.TypeTimestamp: // others depend on the session's time zone
		return l.text, l.kind == literalText && dateTimeForm.MatchString(l.text) && strings.Trim(l.text, "0-: .") == "" && fitsFraction(c, l.text)
	case event.TypeDate:
		return l.text, l.kind == literalText && dateForm.MatchString(l.text)
	case event.TypeDateTime:
		return l.text, l.kind == literalText && dateTimeForm.MatchString(l.text) && fitsFraction(c, l.text)
	case event.TypeTime:
		return l.text, l.kind == literalText && timeForm.MatchString(l.text) && fitsFraction(c, l.text) && !strings.HasPrefix(l.text, "-00:00:00")
	}
	return "", false
}

func fitsInt(c *event.Column, text string) bool {
	bits := 8 * c.Precision
	if c.Type == event.TypeUint {
		_, err := strconv.ParseUint(text, 10, bits)
		return err == nil
	}
	_, err := strconv.ParseInt(text, 10, bits)
	return err == nil
}

func fitsDecimal(c *event.Column, text string) bool {
	if !decimalForm.MatchString(text) {
		return false
	}
	negative := strings.HasPrefix(text, "-")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if negative && (strings.Contains(strings.ToLower(c.Native), "unsigned") || strings.Trim(whole+fraction, "0") == "") {
		return false
	}
	return len(strings.TrimLeft(whole, "0")) <= c.Precision-c.Scale && len(fraction) <= c.Scale
}

// fitsFloat leaves out columns that round to so many digits, unless there is nothing to
// round, and signs where there can be none.
func fitsFloat(c *event.Column, l literal) bool {
	f, err := strconv.ParseFloat(l.text, 64)
	args, _ := typeArgs(c.Native)
	switch {
	case err != nil, f < 0 && strings.Contains(strings.ToLower(c.Native), "unsigned"), f == 0 && strings.HasPrefix(l.text, "-"):
		return false
	case len(args) == 2:
		return l.kind == literalInt && len(strings.TrimPrefix(l.text, "-")) <= min(atoi(args[0])-atoi(args[1]), 6)
	}
	return c.Type == event.TypeDouble || f == 0 || f > -1e38 && f < 1e38 && (f > 1e-37 || f < -1e-37)
}

func atoi(s string) int {
	n, _ := strconv.Atoi(strings.TrimSpace(s))
	return n
}

// plainText is a text that fits, of characters that the column's charset surely has.
func plainText(c *event.Column, l literal) (string, bool) {
	switch {
	case l.kind == literalInt:
		return l.text, fitsLength(c, len(l.text))
	case l.kind != literalText:
		return "", false
	case !ascii(l.text) && c.Charset != "utf8mb4" && (c.Charset != "utf8mb3" || !basic(l.text)):
		return "", false
	case decode.BaseType(c.Native) == "char":
		text := strings.TrimRight(l.text, " ")
		return text, fitsLength(c, utf8.RuneCountInString(text))
	}
	return l.text, fitsLength(c, utf8.RuneCountInString(l.text))
}

// fitsLength leaves out lengths beyond any TEXT's as well.
func fitsLength(c *event.Column, n int) bool {
	switch decode.BaseType(c.Native) {
	case "char", "varchar", "binary", "varbinary":
		return n <= c.Length
	}
	return n < 64
}

// plainBinary is bytes that fit: of a text, those of its characters in the session's
// charset, which are the same for ASCII alone.
func plainBinary(c *event.Column, l literal) (string, bool) {
	switch decode.BaseType(c.Native) {
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return l.text, (l.kind == literalBytes || l.kind == literalText && ascii(l.text)) && fitsLength(c, len(l.text))
	}
	return "", false
}

func plainSet(c *event.Column, l literal) (string, bool) {
	if l.kind != literalText {
		return "", false
	}
	var mask uint64
	if l.text != "" {
		for _, name := range strings.Split(l.text, ",") {
			i := slices.Index(c.Members, name)
			if i < 0 {
				return "", false
			}
			mask |= 1 << i
		}
	}
	return strconv.FormatUint(mask, 10), true
}

func plainBit(c *event.Column, l literal) (string, bool) {
	switch l.kind {
	case literalBytes:
		text := strings.TrimLeft(l.text, "\x00")
		return text, len(text)*8 <= c.Length || len(text) == c.Length/8+1 && text[0]>>(c.Length%8) == 0
	case literalInt:
		n, err := strconv.ParseUint(l.text, 10, 64)
		b := []byte{byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
		return string(b), err == nil && (c.Length >= 64 || n>>c.Length == 0)
	}
	return "", false
}

// plainYear is a year in four digits; shorter ones mean a century, and which one differs
// for texts and numbers.
func plainYear(l literal) (string, bool) {
	n, full := atoi(l.text), len(l.text) == 4 && wholeForm.MatchString(l.text)
	return l.text, (l.kind == literalInt || l.kind == literalText) && full && n >= 1901 && n <= 2155
}

// fitsFraction reports whether the column has room for a time's fraction.
func fitsFraction(c *event.Column, text string) bool {
	_, fraction, _ := strings.Cut(text, ".")
	return len(fraction) <= c.Scale
}
