package schema

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pingcap/tidb/pkg/parser/ast"
	"github.com/pingcap/tidb/pkg/parser/format"
	"github.com/pingcap/tidb/pkg/parser/opcode"
	"github.com/pingcap/tidb/pkg/parser/test_driver"

	"github.com/millrace/millrace/connectors/mysql/decode"
	"github.com/millrace/millrace/pipeline/event"
)

// constant is the canonical value of a DEFAULT expression, if it is one.
func constant(c *event.Column, e ast.ExprNode, maria bool) (v event.Value, null bool, err error) {
	text, bin, null, err := literalText(e)
	if err != nil || null {
		return nil, null, err
	}
	v, err = constantText(c, text, bin, maria)
	return v, false, err
}

// literalText is what a literal stands for; bin says that it was given as bytes.
func literalText(e ast.ExprNode) (text string, bin, null bool, err error) {
	switch n := e.(type) {
	case *ast.ParenthesesExpr:
		return literalText(n.Expr)
	case *ast.UnaryOperationExpr:
		text, bin, null, err = literalText(n.V)
		switch {
		case err != nil || null:
			return "", false, null, err
		case n.Op == opcode.Minus && !strings.HasPrefix(text, "-"):
			return "-" + text, false, false, nil
		case n.Op == opcode.Plus:
			return text, bin, false, nil
		}
	case *test_driver.ValueExpr:
		switch n.Kind() {
		case test_driver.KindNull:
			return "", false, true, nil
		case test_driver.KindInt64:
			return strconv.FormatInt(n.GetInt64(), 10), false, false, nil
		case test_driver.KindUint64:
			return strconv.FormatUint(n.GetUint64(), 10), false, false, nil
		case test_driver.KindString:
			return n.GetString(), false, false, nil
		case test_driver.KindBytes:
			return string(n.GetBytes()), false, false, nil
		case test_driver.KindBinaryLiteral:
			return string(n.GetBytes()), true, false, nil
		case test_driver.KindMysqlDecimal:
			return n.GetMysqlDecimal().String(), false, false, nil
		case test_driver.KindFloat64:
			return strconv.FormatFloat(n.GetFloat64(), 'g', -1, 64), false, false, nil
		}
	}
	return "", false, false, errNotConstant
}

// constantText converts a literal as the server does on storing it; what would need
// rounding, a time zone or a guess is an error.
func constantText(c *event.Column, text string, bin, maria bool) (event.Value, error) {
	refuse := func() (event.Value, error) { return nil, fmt.Errorf("%q for type %s", text, c.Native) }
	switch c.Type {
	case event.TypeText:
		if decode.BaseType(c.Native) == "char" {
			text = strings.TrimRight(text, " ")
		}
		return event.Value(text), nil
	case event.TypeEnum:
		for i, m := range c.Members {
			if strings.EqualFold(m, strings.TrimRight(text, " ")) {
				return decode.TextValue(c, strconv.AppendInt(nil, int64(i+1), 10), maria)
			}
		}
		return refuse()
	case event.TypeSet:
		var mask uint64
		for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
			i := slices.IndexFunc(c.Members, func(m string) bool { return strings.EqualFold(m, name) })
			if i < 0 {
				return refuse()
			}
			mask |= 1 << i
		}
		return decode.TextValue(c, strconv.AppendUint(nil, mask, 10), maria)
	case event.TypeBit:
		if bin {
			return decode.TextValue(c, []byte(text), maria)
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return refuse()
		}
		b := []byte{byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
		return decode.TextValue(c, b, maria)
	case event.TypeTimestamp:
		if !strings.HasPrefix(text, "0000-00-00") {
			return nil, fmt.Errorf("%q depends on a time zone", text)
		}
	case event.TypeYear:
		if len(text) != 4 && text != "0" {
			return refuse()
		}
	case event.TypeJSON:
		if !maria {
			return refuse()
		}
	case event.TypeGeometry, event.TypeUnsupported:
		return refuse()
	case event.TypeDate:
		if len(text) > 10 {
			return refuse()
		}
	}
	if bin && c.Type != event.TypeBinary {
		return refuse()
	}
	if _, frac, ok := strings.Cut(text, "."); ok && (c.Type == event.TypeDateTime || c.Type == event.TypeTime) && len(frac) > c.Scale {
		return refuse()
	}
	return decode.TextValue(c, []byte(text), maria)
}

func restore(n ast.Node) string {
	var b strings.Builder
	if err := n.Restore(format.NewRestoreCtx(format.DefaultRestoreFlags, &b)); err != nil {
		return ""
	}
	return b.String()
}

var errNotConstant = errors.New("not a constant")
