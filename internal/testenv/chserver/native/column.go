package native

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// column walks over the values of one type. The prefix of a whole column, nested types
// included, stands in front of all values.
type column interface {
	prefix(s *source) error
	values(s *source, rows uint64) error
}

// newColumn makes the walker of a type.
func newColumn(text string, depth int) (column, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("types nested deeper than %d", maxDepth)
	}
	t, err := parseType(text)
	if err != nil {
		return nil, err
	}
	if width, ok := fixedWidth(t); ok {
		return plain(width), nil
	}
	switch t.name {
	case "String":
		return texts{}, nil
	case "Nullable":
		return t.wrap(depth, func(inner column) column { return nullable{inner} })
	case "Array":
		return t.wrap(depth, func(inner column) column { return array{inner} })
	case "LowCardinality":
		return t.wrap(depth, func(inner column) column { return lowCardinality{inner} })
	case "Map":
		elements, err := t.elements(depth)
		return array{tuple(elements)}, err
	case "Nested":
		elements, err := t.elements(depth)
		return array{tuple(elements)}, err
	case "Tuple":
		elements, err := t.elements(depth)
		if len(elements) == 0 {
			return plain(1), err
		}
		return tuple(elements), err
	case "SimpleAggregateFunction":
		if len(t.args) < 2 {
			return nil, fmt.Errorf("type %.200q: a function and a type are wanted", t.text)
		}
		return newColumn(t.args[len(t.args)-1], depth+1)
	case "Variant":
		elements, err := t.elements(depth)
		return variant(elements), err
	case "Dynamic":
		return &dynamic{depth: depth}, nil
	case "JSON":
		return newObject(t, depth)
	}
	if named, ok := geometry(t.name); ok {
		return newColumn(named, depth+1)
	}
	return nil, fmt.Errorf("type %.200q is not known here", t.text)
}

// fixedWidth is the width of types whose values have one.
func fixedWidth(t typeName) (uint64, bool) {
	switch t.name {
	case "Int8", "UInt8", "Bool", "Enum8", "Nothing":
		return 1, true
	case "Int16", "UInt16", "Date", "Enum16", "BFloat16":
		return 2, true
	case "Int32", "UInt32", "Float32", "Date32", "DateTime", "IPv4", "Decimal32", "Time":
		return 4, true
	case "Int64", "UInt64", "Float64", "DateTime64", "Decimal64", "Time64":
		return 8, true
	case "Int128", "UInt128", "UUID", "IPv6", "Decimal128":
		return 16, true
	case "Int256", "UInt256", "Decimal256":
		return 32, true
	}
	if strings.HasPrefix(t.name, "Interval") {
		return 8, true
	}
	if len(t.args) == 0 || (t.name != "FixedString" && t.name != "Decimal") {
		return 0, false
	}
	n, err := strconv.ParseUint(t.args[0], 10, 31)
	if err != nil || n == 0 {
		return 0, false
	}
	if t.name == "FixedString" {
		return n, true
	}
	switch {
	case n <= 9:
		return 4, true
	case n <= 18:
		return 8, true
	case n <= 38:
		return 16, true
	}
	return 32, n <= 76
}

// geometry is what the named types of points and lines stand for.
func geometry(name string) (string, bool) {
	const point, line, polygon = "Tuple(Float64, Float64)", "Array(Point)", "Array(Ring)"
	switch name {
	case "Point":
		return point, true
	case "Ring", "LineString":
		return line, true
	case "Polygon", "MultiLineString":
		return polygon, true
	case "MultiPolygon":
		return "Array(Polygon)", true
	}
	return "", false
}

func (t typeName) wrap(depth int, around func(column) column) (column, error) {
	if len(t.args) != 1 {
		return nil, fmt.Errorf("type %.200q: one argument is wanted", t.text)
	}
	inner, err := newColumn(t.args[0], depth+1)
	if err != nil {
		return nil, err
	}
	return around(inner), nil
}

func (t typeName) elements(depth int) ([]column, error) {
	columns := make([]column, 0, len(t.args))
	for _, arg := range t.args {
		_, typ := element(arg)
		c, err := newColumn(typ, depth+1)
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, nil
}

func prefixes(s *source, columns []column) error {
	for _, c := range columns {
		if err := c.prefix(s); err != nil {
			return err
		}
	}
	return nil
}

// plain has values of one width.
type plain uint64

func (plain) prefix(*source) error                  { return nil }
func (p plain) values(s *source, rows uint64) error { return s.each(rows, uint64(p)) }

// texts has values with their length in front.
type texts struct{}

func (texts) prefix(*source) error                { return nil }
func (texts) values(s *source, rows uint64) error { return s.strings(rows) }

// nullable has a byte for each row in front: 1 is NULL.
type nullable struct{ column }

func (n nullable) values(s *source, rows uint64) error {
	if err := s.each(rows, 1); err != nil {
		return err
	}
	return n.column.values(s, rows)
}

// array has the end of each row in front.
type array struct{ column }

func (a array) values(s *source, rows uint64) error {
	if rows == 0 {
		return a.column.values(s, 0)
	}
	if err := s.each(rows-1, 8); err != nil {
		return err
	}
	total, err := s.fixed64()
	if err != nil {
		return err
	}
	return a.column.values(s, total)
}

// tuple has its elements one behind the other.
type tuple []column

func (t tuple) prefix(s *source) error { return prefixes(s, t) }

func (t tuple) values(s *source, rows uint64) error {
	for _, c := range t {
		if err := c.values(s, rows); err != nil {
			return err
		}
	}
	return nil
}

// lowCardinality has a version in front of the column; then, where there are rows, flags
// with the width of an index, the dictionary, and one index a row.
type lowCardinality struct{ column }

const (
	lowCardinalityVersion = 1
	flagGlobalDictionary  = 1 << 8
	flagAdditionalKeys    = 1 << 9
)

func (lowCardinality) prefix(s *source) error {
	v, err := s.fixed64()
	if err == nil && v != lowCardinalityVersion {
		return fmt.Errorf("LowCardinality of version %d: %d is known", v, lowCardinalityVersion)
	}
	return err
}

func (l lowCardinality) values(s *source, rows uint64) error {
	if rows == 0 {
		return nil
	}
	flags, err := s.fixed64()
	if err != nil {
		return err
	}
	if flags&0xff > 3 || flags&flagGlobalDictionary != 0 {
		return fmt.Errorf("LowCardinality with flags %#x: a dictionary of its own and indexes of 1 to 8 bytes are known", flags)
	}
	if flags&flagAdditionalKeys != 0 {
		keys, err := s.fixed64()
		if err != nil {
			return err
		}
		if err := dictionary(l.column).values(s, keys); err != nil {
			return err
		}
	}
	indexes, err := s.fixed64()
	if err != nil {
		return err
	}
	if indexes != rows {
		return fmt.Errorf("LowCardinality with %d indexes for %d rows", indexes, rows)
	}
	return s.each(rows, 1<<(flags&0xff))
}

// dictionary is the column of the keys, which are never NULL.
func dictionary(c column) column {
	if n, ok := c.(nullable); ok {
		return n.column
	}
	return c
}

// variant has the number of its type for each row, 255 for none, and then each type's
// values. Types come sorted by name.
type variant []column

func (v variant) prefix(s *source) error {
	mode, err := s.fixed64()
	if err != nil {
		return err
	}
	if mode != 0 {
		return fmt.Errorf("Variant of mode %d: 0 is known", mode)
	}
	return prefixes(s, v)
}

func (v variant) values(s *source, rows uint64) error {
	return discriminated(s, v, rows, 1)
}

// discriminated takes a number of a type, of that width, for each row, and then the values
// of each. Numbers of no type are rows without value.
func discriminated(s *source, columns []column, rows, width uint64) error {
	if width != 0 && rows > MaxBlock/width {
		return errTooBig
	}
	b, err := s.take(rows * width)
	if err != nil {
		return err
	}
	counts := make([]uint64, len(columns))
	for ; len(b) > 0; b = b[width:] {
		var n uint64
		for i := range width {
			n |= uint64(b[i]) << (8 * i)
		}
		if n < uint64(len(counts)) {
			counts[n]++
		}
	}
	for i, c := range columns {
		if err := c.values(s, counts[i]); err != nil {
			return err
		}
	}
	return nil
}

// dynamic names its types in front of the column.
type dynamic struct {
	depth   int
	flat    bool
	columns []column
}

// Versions of Dynamic and of JSON. The flat one has neither a limit nor shared values.
const (
	versionFirst  = 1 // and for JSON 0
	versionSecond = 2
	versionFlat   = 3
	jsonFirst     = 0
	jsonText      = 1
)

// sharedVariant holds, as strings, values of types that a Dynamic has no room for.
const sharedVariant = "SharedVariant"

func (d *dynamic) prefix(s *source) error {
	version, err := s.fixed64()
	if err != nil {
		return err
	}
	switch version {
	case versionFirst:
		if _, err := s.number(); err != nil {
			return err
		}
	case versionSecond:
	case versionFlat:
		d.flat = true
	default:
		return fmt.Errorf("Dynamic of version %d is not known", version)
	}
	names, err := s.names()
	if err != nil {
		return err
	}
	if !d.flat {
		names = append(names, sharedVariant)
		slices.Sort(names)
	}
	d.columns = d.columns[:0]
	for _, name := range names {
		if name == sharedVariant && !d.flat {
			name = "String"
		}
		c, err := newColumn(name, d.depth+1)
		if err != nil {
			return err
		}
		d.columns = append(d.columns, c)
	}
	if d.flat {
		return prefixes(s, d.columns)
	}
	return variant(d.columns).prefix(s)
}

// names takes a list of strings.
func (s *source) names() ([]string, error) {
	n, err := s.number()
	if err != nil {
		return nil, err
	}
	if n > maxTypes {
		return nil, fmt.Errorf("a list of %d names: %d are the limit", n, maxTypes)
	}
	var names []string
	for range n {
		name, err := s.name()
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

func (d *dynamic) values(s *source, rows uint64) error {
	width := uint64(1)
	if d.flat && len(d.columns) > 0xff {
		width = 2
	}
	return discriminated(s, d.columns, rows, width)
}

// object is a JSON: paths of declared types, paths of any, and in versions that are not flat
// a map of those that there was no room for.
type object struct {
	depth   int
	typed   []column
	version uint64
	paths   []column
}

func newObject(t typeName, depth int) (column, error) {
	o := &object{depth: depth}
	typed := map[string]column{}
	for _, arg := range t.args {
		if strings.HasPrefix(arg, "SKIP ") || strings.HasPrefix(arg, "max_dynamic_") {
			continue
		}
		path, typ := element(arg)
		c, err := newColumn(typ, depth+1)
		if err != nil {
			return nil, err
		}
		typed[path] = c
	}
	paths := make([]string, 0, len(typed))
	for path := range typed {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		o.typed = append(o.typed, typed[path])
	}
	return o, nil
}

func (o *object) prefix(s *source) error {
	var err error
	if o.version, err = s.fixed64(); err != nil {
		return err
	}
	o.paths = o.paths[:0]
	switch o.version {
	case jsonText:
		return nil
	case jsonFirst:
		if _, err := s.number(); err != nil {
			return err
		}
	case versionSecond, versionFlat:
	default:
		return fmt.Errorf("JSON of version %d is not known", o.version)
	}
	names, err := s.names()
	if err != nil {
		return err
	}
	if err := prefixes(s, o.typed); err != nil {
		return err
	}
	for range names {
		o.paths = append(o.paths, &dynamic{depth: o.depth + 1})
	}
	return prefixes(s, o.paths)
}

func (o *object) values(s *source, rows uint64) error {
	if o.version == jsonText {
		return s.strings(rows)
	}
	if err := tuple(o.typed).values(s, rows); err != nil {
		return err
	}
	if err := tuple(o.paths).values(s, rows); err != nil {
		return err
	}
	if o.version == versionFlat {
		return nil
	}
	return array{tuple{texts{}, texts{}}}.values(s, rows)
}
