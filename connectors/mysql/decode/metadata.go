package decode

// The fields of a TABLE_MAP's optional metadata that are read.
const (
	metaSignedness         = 1
	metaDefaultCharset     = 2
	metaColumnCharset      = 3
	metaColumnName         = 4
	metaSetMembers         = 5
	metaEnumMembers        = 6
	metaPrimaryKey         = 8
	metaPrimaryKeyPrefixes = 9
	metaEnumDefaultCharset = 10
	metaEnumColumnCharset  = 11
)

func (tm *TableMap) optional(r *wire) error {
	for len(r.b) > 0 {
		typ := r.uint(1)
		field := wire{b: r.take(int(r.lenenc()))}
		if r.bad {
			return malformed("TABLE_MAP of %s.%s: optional metadata is cut short", tm.DB, tm.Table)
		}
		tm.field(byte(typ), &field)
		if field.bad {
			return malformed("TABLE_MAP of %s.%s: optional metadata %d is cut short", tm.DB, tm.Table, typ)
		}
	}
	return nil
}

func (tm *TableMap) field(typ byte, r *wire) {
	switch typ {
	case metaSignedness:
		tm.signedness(r.b)
	case metaDefaultCharset:
		tm.text.byDefault(r)
	case metaColumnCharset:
		tm.text.each(r)
	case metaColumnName:
		for range tm.Types {
			tm.Names = append(tm.Names, string(r.take(int(r.lenenc()))))
		}
	case metaSetMembers:
		tm.sets = members(r)
	case metaEnumMembers:
		tm.enums = members(r)
	case metaPrimaryKey, metaPrimaryKeyPrefixes:
		for len(r.b) > 0 && !r.bad {
			if k := r.lenenc(); k < uint64(len(tm.Types)) {
				tm.Key = append(tm.Key, int(k))
			}
			if typ == metaPrimaryKeyPrefixes {
				r.lenenc()
			}
		}
	case metaEnumDefaultCharset:
		tm.enumOrSets.byDefault(r)
	case metaEnumColumnCharset:
		tm.enumOrSets.each(r)
	}
}

// signedness has one bit, the highest first, for each column of a numeric type.
func (tm *TableMap) signedness(b []byte) {
	tm.Unsigned = make([]bool, len(tm.Types))
	k := 0
	for i, t := range tm.Types {
		switch t {
		case wireTiny, wireShort, wireInt24, wireLong, wireLongLong, wireDecimal, wireFloat, wireDouble, wireYear:
			if k/8 < len(b) {
				tm.Unsigned[i] = b[k/8]&(0x80>>(k%8)) != 0
			}
			k++
		}
	}
}

// members reads the names of each column's members.
func members(r *wire) (all [][]string) {
	for len(r.b) > 0 && !r.bad {
		n := r.lenenc()
		if n > uint64(len(r.b)) {
			r.bad = true
			return nil
		}
		names := make([]string, n)
		for i := range names {
			names[i] = string(r.take(int(r.lenenc())))
		}
		all = append(all, names)
	}
	return all
}

// collations are the numbers of collations of the columns that have one, in the columns'
// order; which columns these are depends on the kind of server.
type collations struct {
	said   bool
	list   []uint16          // one each, or
	def    uint16            // one for all that
	others map[uint64]uint16 // are not here
}

func (c *collations) each(r *wire) {
	*c = collations{said: true}
	for len(r.b) > 0 && !r.bad {
		c.list = append(c.list, uint16(r.lenenc()))
	}
}

func (c *collations) byDefault(r *wire) {
	*c = collations{said: true, def: uint16(r.lenenc()), others: map[uint64]uint16{}}
	for len(r.b) > 0 && !r.bad {
		k := r.lenenc()
		c.others[k] = uint16(r.lenenc())
	}
}

// at is the collation of the k-th column that has one, 0 when it is not said.
func (c *collations) at(k int) uint16 {
	if !c.said {
		return 0
	}
	if c.list != nil {
		if k < len(c.list) {
			return c.list[k]
		}
		return 0
	}
	if id, ok := c.others[uint64(k)]; ok {
		return id
	}
	return c.def
}

// collations finds each column's collation, 0 for those that have none. Both servers
// count text and BLOB columns, MySQL also VECTOR, and MariaDB also geometry; ENUM and SET
// columns are counted apart.
func (tm *TableMap) collations(maria bool) []uint16 {
	out := make([]uint16, len(tm.Types))
	texts, enums := 0, 0
	for i, t := range tm.Types {
		switch t {
		case wireVarchar, wireVarString, wireString, wireBlob, 249, 250, 251:
		case wireVector:
			if maria {
				continue
			}
		case wireGeometry:
			if !maria {
				continue
			}
		case wireEnum, wireSet:
			out[i] = tm.enumOrSets.at(enums)
			enums++
			continue
		default:
			continue
		}
		out[i] = tm.text.at(texts)
		texts++
	}
	return out
}

// memberNames are the names of the members of each ENUM and SET column, in its charset;
// nil for others and where the server does not say.
func (tm *TableMap) memberNames() [][]string {
	out := make([][]string, len(tm.Types))
	enums, sets := tm.enums, tm.sets
	for i, t := range tm.Types {
		from := &enums
		switch t {
		case wireEnum:
		case wireSet:
			from = &sets
		default:
			continue
		}
		if len(*from) > 0 {
			out[i], *from = (*from)[0], (*from)[1:]
		}
	}
	return out
}
