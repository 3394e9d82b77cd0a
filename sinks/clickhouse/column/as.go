package column

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/millrace/millrace/pipeline/event"
)

// family is what the values of a type that was chosen are.
type family uint8

const (
	asInt family = iota + 1
	asUint
	asBool
	asFloat
	asDecimal
	asText
	asLow
	asFixed
	asDay
	asMoment
	asUUID
)

// As is a type that the configuration chooses for a column, in place of its own.
type As struct {
	Name     string // as ClickHouse writes it, without Nullable
	Nullable bool   // it was said; else the source decides

	family      family
	size        int
	prec, scale int
	zone        string
}

// Chosen are the types that can be chosen, for messages.
const Chosen = "Int8 … Int64, UInt8 … UInt64, Bool, Float32, Float64, Decimal(p, s), String, LowCardinality(String), FixedString(n), " +
	"Date, Date32, DateTime, DateTime64(p), UUID, each in Nullable( ) too"

var (
	sized1   = regexp.MustCompile(`^(U?)Int(8|16|32|64)$`)
	decimal2 = regexp.MustCompile(`^Decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)$`)
	fixed1   = regexp.MustCompile(`^FixedString\(\s*(\d{1,5})\s*\)$`)
	moment   = regexp.MustCompile(`^DateTime(?:\(\s*'([A-Za-z0-9_+/-]+)'\s*\))?$`)
	moment64 = regexp.MustCompile(`^DateTime64\(\s*([0-6])\s*(?:,\s*'([A-Za-z0-9_+/-]+)'\s*)?\)$`)
)

// ParseAs reads a type as the configuration names it.
func ParseAs(text string) (As, error) {
	name, nullable := strings.TrimSpace(text), false
	if inner, ok := strings.CutPrefix(name, "Nullable("); ok && strings.HasSuffix(inner, ")") {
		name, nullable = strings.TrimSpace(strings.TrimSuffix(inner, ")")), true
	}
	if name == "LowCardinality(Nullable(String))" {
		name, nullable = "LowCardinality(String)", true
	}
	a, err := parseAs(name)
	a.Nullable = nullable
	if err != nil {
		return As{}, fmt.Errorf("%q can't be chosen: there are %s", text, Chosen)
	}
	return a, nil
}

func parseAs(name string) (As, error) {
	switch name {
	case "Bool":
		return As{Name: name, family: asBool, size: 1}, nil
	case "Float32":
		return As{Name: name, family: asFloat, size: 4}, nil
	case "Float64":
		return As{Name: name, family: asFloat, size: 8}, nil
	case "String":
		return As{Name: name, family: asText}, nil
	case "LowCardinality(String)":
		return As{Name: name, family: asLow}, nil
	case "Date":
		return As{Name: name, family: asDay, size: 2}, nil
	case "Date32":
		return As{Name: name, family: asDay, size: 4}, nil
	case "UUID":
		return As{Name: name, family: asUUID, size: 16}, nil
	}
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	if m := sized1.FindStringSubmatch(name); m != nil {
		a := As{Name: name, family: asInt, size: number(m[2]) / 8}
		if m[1] != "" {
			a.family = asUint
		}
		return a, nil
	}
	if m := decimal2.FindStringSubmatch(name); m != nil {
		t := decimalType(&event.Column{Precision: number(m[1]), Scale: number(m[2])})
		if t.kind == kindDecimal {
			return As{Name: t.Name, family: asDecimal, size: t.size, prec: t.prec, scale: t.scale}, nil
		}
	}
	if m := fixed1.FindStringSubmatch(name); m != nil && number(m[1]) > 0 {
		return As{Name: fmt.Sprintf("FixedString(%d)", number(m[1])), family: asFixed, size: number(m[1])}, nil
	}
	zone := func(s string) string {
		if s == "" {
			return "UTC"
		}
		return s
	}
	if m := moment.FindStringSubmatch(name); m != nil {
		return As{Name: fmt.Sprintf("DateTime('%s')", zone(m[1])), family: asMoment, size: 4, zone: zone(m[1])}, nil
	}
	if m := moment64.FindStringSubmatch(name); m != nil {
		name := fmt.Sprintf("DateTime64(%d, '%s')", number(m[1]), zone(m[2]))
		return As{Name: name, family: asMoment, size: 8, scale: number(m[1]), zone: zone(m[2])}, nil
	}
	return As{}, fmt.Errorf("there is no type %s", name)
}

// Text is the choice as ParseAs reads it.
func (a As) Text() string {
	if a.Nullable {
		return "Nullable(" + a.Name + ")"
	}
	return a.Name
}

// takes are the families that hold values of a source type, by what a reader gets back of them.
var takes = map[event.Type][]family{
	event.TypeInt:       {asInt, asUint, asBool, asFloat, asDecimal, asText, asLow},
	event.TypeUint:      {asInt, asUint, asBool, asFloat, asDecimal, asText, asLow},
	event.TypeBit:       {asInt, asUint, asBool, asText, asLow},
	event.TypeYear:      {asInt, asUint, asText, asLow},
	event.TypeDecimal:   {asInt, asUint, asFloat, asDecimal, asText, asLow},
	event.TypeFloat:     {asFloat, asText},
	event.TypeDouble:    {asFloat, asText},
	event.TypeDate:      {asDay, asText, asLow},
	event.TypeDateTime:  {asMoment, asText},
	event.TypeTimestamp: {asMoment, asText},
	event.TypeText:      {asInt, asUint, asFloat, asText, asLow, asFixed, asUUID},
	event.TypeBinary:    {asText, asFixed, asUUID},
	event.TypeEnum:      {asText, asLow},
	event.TypeSet:       {asText, asLow},
	event.TypeJSON:      {asText},
}

// Of is the type of the target's column for c as it was chosen. A key's must hold each value that
// the source's type has: what it can't hold would be refused, row by row.
func (a As) Of(c *event.Column, key bool) (Type, error) {
	fits := !IsVector(c)
	if fits {
		fits = false
		for _, f := range takes[c.Type] {
			fits = fits || f == a.family
		}
	}
	if !fits {
		return Type{}, a.refused(c, "", "its values have no form there")
	}
	if c.Type == event.TypeDateTime && a.family == asMoment && a.zone != "UTC" {
		return Type{}, a.refused(c, "", "a wall clock has no time zone; say 'UTC', in which it is shown as it is")
	}
	if key && !a.Covers(c) {
		return Type{}, a.refused(c, " of the key", "it does not hold each of its values, and two keys could become one")
	}
	if key && a.Nullable && !c.Nullable {
		return Type{}, a.refused(c, " of the key", "a key has no NULL")
	}
	t := Type{
		Name: a.Name, Nullable: c.Nullable || a.Nullable, Key: key, kind: kindAs, size: a.size, prec: a.prec, scale: a.scale,
		family: a.family, As: a.Text(),
	}
	switch a.family {
	case asInt:
		if c.Type == event.TypeInt && a.Covers(c) {
			t.kind = kindInt
		}
	case asUint:
		if c.Type != event.TypeInt && a.Covers(c) {
			t.kind = kindUint
		}
	case asDecimal:
		t.kind = kindDecimal
	case asText:
		t.size = 0
		if c.Type == event.TypeText || c.Type == event.TypeBinary || c.Type == event.TypeJSON {
			t.kind = kindText
		}
	case asLow:
		t.kind = kindLow
	case asDay:
		t.kind = kindDate
	case asMoment:
		t.kind = kindDateTime
		if c.Type == event.TypeTimestamp {
			t.kind = kindTimestamp
		}
	}
	return t, nil
}

func (a As) refused(c *event.Column, which, why string) error {
	return fmt.Errorf("type %s can't be chosen for column %s%s, which is %s: %s", a.Text(), c.Name, which, c.Native, why)
}

// Covers reports whether the type holds each value of the source's type.
func (a As) Covers(c *event.Column) bool {
	if a.family == asText || a.family == asLow {
		return true
	}
	bits := 8 * width(c.Precision, false)
	switch c.Type {
	case event.TypeBit:
		return a.family == asUint && 8*a.size >= c.Length || a.family == asInt && 8*a.size > c.Length || a.family == asBool && c.Length == 1
	case event.TypeYear:
		return (a.family == asInt || a.family == asUint) && a.size > 1
	case event.TypeInt, event.TypeUint:
		unsigned := c.Type == event.TypeUint
		switch a.family {
		case asInt:
			return 8*a.size > bits || 8*a.size == bits && !unsigned
		case asUint:
			return unsigned && 8*a.size >= bits
		case asFloat:
			return a.size == 8 && bits <= 32 || a.size == 4 && bits <= 16
		case asDecimal:
			return a.prec-a.scale >= len(strconv.FormatUint(1<<(bits-1)-1+1<<(bits-1), 10))
		}
	case event.TypeDecimal:
		return a.family == asDecimal && a.scale >= c.Scale && a.prec-a.scale >= c.Precision-c.Scale
	case event.TypeFloat:
		return a.family == asFloat
	case event.TypeDouble:
		return a.family == asFloat && a.size == 8
	case event.TypeDateTime, event.TypeTimestamp: // as the column's own, but for what follows zero_date
		return a.family == asMoment && a.size == 8 && a.scale >= digits(c)
	case event.TypeDate:
		return a.family == asDay && a.size == 4
	case event.TypeBinary:
		exactly := fmt.Sprintf("binary(%d)", a.size)
		return (a.family == asFixed || a.family == asUUID) && strings.EqualFold(strings.TrimSpace(c.Native), exactly)
	}
	return false
}
