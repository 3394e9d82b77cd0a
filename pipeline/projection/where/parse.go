package where

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a condition: what is beyond them is no rule that somebody reads.
const (
	mostBytes = 16 << 10
	mostDepth = 50
	mostTests = 1000
	mostList  = 1000
)

// Parse reads a condition:
//
//	condition = part { OR part }
//	part      = one { AND one }
//	one       = NOT one | "(" condition ")" | test
//	test      = [BINARY] column ( compare constant | [NOT] IN "(" constant { "," constant } ")"
//	          | [NOT] BETWEEN constant AND constant | [NOT] LIKE text [ESCAPE text] | IS [NOT] NULL )
//	compare   = "=" | "<>" | "!=" | "<" | "<=" | ">" | ">="
//	column    = a name, or anything in backquotes
//	constant  = digits [ "." digits ], with a sign or not | TRUE | FALSE | 'text' | x'hex' | 0xhex
//
// Keywords and names have no case. An error says at which character it is.
func Parse(text string) (*Expr, error) {
	switch {
	case len(text) > mostBytes:
		return nil, errors.New("the condition is longer than 16 KiB")
	case !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) || strings.ContainsRune(text, 0):
		return nil, errors.New("the condition has bytes that are no character")
	}
	p := &parser{lex: lexer{in: text}}
	if err := p.step(); err != nil {
		return nil, err
	}
	if p.now.kind == end {
		return nil, errors.New("the condition is empty")
	}
	root, err := p.condition(0)
	if err != nil {
		return nil, err
	}
	if p.now.kind != end {
		return nil, fault(p.now.at, "%s stands where AND, OR or the end is expected", p.now)
	}
	return &Expr{root: root, columns: p.columns}, nil
}

type parser struct {
	lex     lexer
	now     token
	tests   int
	columns []string
}

func (p *parser) step() (err error) {
	p.now, err = p.lex.next()
	return err
}

// take steps over a keyword if it is there.
func (p *parser) take(keyword string) (bool, error) {
	if !p.now.is(keyword) {
		return false, nil
	}
	return true, p.step()
}

// need steps over a sign or fails.
func (p *parser) need(s string) error {
	if p.now.kind != sign || p.now.text != s {
		return fault(p.now.at, "%s stands where %q is expected", p.now, s)
	}
	return p.step()
}

func (p *parser) condition(depth int) (node, error) {
	parts, err := p.joined("OR", func() (node, error) {
		ones, err := p.joined("AND", func() (node, error) { return p.one(depth) })
		if err != nil || len(ones) == 1 {
			return first(ones), err
		}
		return and(ones), nil
	})
	if err != nil || len(parts) == 1 {
		return first(parts), err
	}
	return or(parts), nil
}

func first(nodes []node) node {
	if len(nodes) == 0 {
		return nil
	}
	return nodes[0]
}

// joined reads what a keyword joins.
func (p *parser) joined(keyword string, one func() (node, error)) (out []node, err error) {
	for {
		n, err := one()
		if err != nil {
			return nil, err
		}
		switch n := n.(type) { // what stood in parentheses and need not
		case and:
			if keyword == "AND" {
				out = append(out, n...)
			} else {
				out = append(out, n)
			}
		case or:
			if keyword == "OR" {
				out = append(out, n...)
			} else {
				out = append(out, n)
			}
		default:
			out = append(out, n)
		}
		more, err := p.take(keyword)
		if err != nil {
			return nil, err
		}
		if !more {
			return out, nil
		}
	}
}

func (p *parser) one(depth int) (node, error) {
	if depth > mostDepth {
		return nil, fault(p.now.at, "more than %d levels of NOT and parentheses", mostDepth)
	}
	if negated, err := p.take("NOT"); err != nil {
		return nil, err
	} else if negated {
		n, err := p.one(depth + 1)
		return not{n}, err
	}
	if p.now.kind == sign && p.now.text == "(" {
		if err := p.step(); err != nil {
			return nil, err
		}
		n, err := p.condition(depth + 1)
		if err != nil {
			return nil, err
		}
		return n, p.need(")")
	}
	return p.test()
}

// reserved are words that are no names of columns unless in backquotes.
var reserved = []string{"and", "or", "not", "in", "is", "null", "like", "between", "binary", "escape", "true", "false", "xor", "div",
	"mod", "exists", "case",
	"select", "interval", "regexp", "rlike", "collate"}

func (p *parser) test() (node, error) {
	if p.tests++; p.tests > mostTests {
		return nil, fault(p.now.at, "more than %d comparisons", mostTests)
	}
	t := &test{at: p.now.at}
	var err error
	if t.binary, err = p.take("BINARY"); err != nil {
		return nil, err
	}
	switch {
	case p.now.kind == word && slices.Contains(reserved, strings.ToLower(p.now.text)):
		return nil, fault(p.now.at, "%s stands where a column is expected; a column of that name stands in backquotes", p.now)
	case p.now.kind != word && p.now.kind != quoted:
		return nil, fault(p.now.at, "%s stands where a column is expected: a test is a column, an operator and a constant, in this order", p.now)
	}
	t.column = p.now.text
	if !slices.ContainsFunc(p.columns, func(c string) bool { return strings.EqualFold(c, t.column) }) {
		p.columns = append(p.columns, t.column)
	}
	if err := p.step(); err != nil {
		return nil, err
	}
	if p.now.kind == sign && (p.now.text == "(" || p.now.text == ".") {
		return nil, fault(p.now.at, "functions and names of tables are not taken: a test is a column, an operator and a constant")
	}
	return p.tail(t)
}

// tail reads what is asked of a column.
func (p *parser) tail(t *test) (node, error) {
	if p.now.kind == sign && p.now.text == "<=>" {
		return nil, fault(p.now.at, "<=> is not taken: write IS NULL or =")
	}
	if o, ok := ops[p.now.text]; ok && p.now.kind == sign {
		t.op = o
		if err := p.step(); err != nil {
			return nil, err
		}
		return t, p.constants(t, 1)
	}
	if yes, err := p.take("IS"); err != nil {
		return nil, err
	} else if yes {
		return p.null(t)
	}
	negated, err := p.take("NOT")
	if err != nil {
		return nil, err
	}
	if err := p.wordOp(t); err != nil {
		return nil, err
	}
	if negated {
		return not{t}, nil
	}
	return t, nil
}

func (p *parser) wordOp(t *test) error {
	asked := strings.ToUpper(p.now.text)
	if p.now.kind != word || asked != "IN" && asked != "BETWEEN" && asked != "LIKE" {
		return fault(p.now.at, "%s stands behind the column %s where =, <>, <, <=, >, >=, IN, BETWEEN, LIKE or IS is expected", p.now, t.column)
	}
	if err := p.step(); err != nil {
		return err
	}
	switch asked {
	case "IN":
		t.op = in
		return p.list(t)
	case "BETWEEN":
		t.op = between
		if err := p.constants(t, 1); err != nil {
			return err
		}
		if yes, err := p.take("AND"); err != nil {
			return err
		} else if !yes {
			return fault(p.now.at, "%s stands where the AND of BETWEEN is expected", p.now)
		}
		return p.constants(t, 1)
	}
	t.op = like
	if err := p.constants(t, 1); err != nil {
		return err
	}
	escaped, err := p.take("ESCAPE")
	if err != nil || !escaped {
		return err
	}
	if p.now.kind != str || len(p.now.text) != 1 || p.now.text == "%" {
		return fault(p.now.at, "%s stands where ESCAPE has one ASCII character in quotes, other than %%", p.now)
	}
	t.escape = p.now.text
	return p.step()
}

func (p *parser) null(t *test) (node, error) {
	negated, err := p.take("NOT")
	if err != nil {
		return nil, err
	}
	if !p.now.is("NULL") {
		return nil, fault(p.now.at, "%s stands behind IS where NULL is expected", p.now)
	}
	t.op = isNull
	if err := p.step(); err != nil {
		return nil, err
	}
	if negated {
		return not{t}, nil
	}
	return t, nil
}

func (p *parser) list(t *test) error {
	if err := p.need("("); err != nil {
		return err
	}
	for {
		if err := p.constants(t, 1); err != nil {
			return err
		}
		if len(t.args) > mostList {
			return fault(t.at, "the column %s is compared with more than %d constants", t.column, mostList)
		}
		if p.now.kind != sign || p.now.text != "," {
			return p.need(")")
		}
		if err := p.step(); err != nil {
			return err
		}
	}
}

// constants reads n of them.
func (p *parser) constants(t *test, n int) error {
	for range n {
		c := constant{kind: p.now.kind, text: p.now.text}
		switch {
		case p.now.is("TRUE"), p.now.is("FALSE"):
			c = constant{number, "0"}
			if p.now.is("TRUE") {
				c.text = "1"
			}
		case p.now.is("NULL"):
			return fault(p.now.at, "a comparison with NULL is never true: write IS NULL")
		case p.now.kind == sign && (p.now.text == "-" || p.now.text == "+"):
			minus := p.now.text == "-"
			if err := p.step(); err != nil {
				return err
			}
			if p.now.kind != number {
				return fault(p.now.at, "%s stands where a number is expected", p.now)
			}
			c = constant{number, p.now.text}
			if minus {
				c.text = "-" + c.text
			}
		case p.now.kind != number && p.now.kind != str && p.now.kind != bytesLiteral:
			return fault(p.now.at, "%s stands where a constant is expected: a number, TRUE, FALSE, 'text' or x'hex'", p.now)
		}
		t.args = append(t.args, c)
		if err := p.step(); err != nil {
			return err
		}
	}
	return nil
}
