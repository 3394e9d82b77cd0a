package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Limits of a schema, checked when one is read. MySQL permits 4096 columns and 65535
// members.
const (
	maxColumns = 4096
	maxMembers = 65535
)

// The versions of the encoding: projected schemas carry what they were made of.
const (
	schemaVersion    = 1
	projectedVersion = 2
)

// String is the id in hex.
func (id SchemaID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id names no schema.
func (id SchemaID) IsZero() bool { return id == SchemaID{} }

// MarshalText and UnmarshalText let an id stand in JSON as hex.
func (id SchemaID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the hex form.
func (id *SchemaID) UnmarshalText(b []byte) error {
	if len(b) != 32 {
		return malformed("schema id %q is not 32 hex digits", clip(string(b)))
	}
	_, err := hex.Decode(id[:], b)
	return err
}

// ParseSchemaID reads the hex form.
func ParseSchemaID(s string) (id SchemaID, err error) {
	err = id.UnmarshalText([]byte(s))
	return id, err
}

// NewSchema makes a schema with its id. The columns and key are kept, not copied.
func NewSchema(name TableName, columns []Column, primaryKey []int) *Schema {
	s := &Schema{Name: name, Columns: columns, PrimaryKey: primaryKey}
	s.ID = s.computeID()
	return s
}

// NewProjectedSchema makes the schema of what leaves of a table that is source.
func NewProjectedSchema(source *Schema, projection string, columns []Column, primaryKey []int) *Schema {
	s := &Schema{Name: source.Name, Columns: columns, PrimaryKey: primaryKey, Source: source, Projection: projection}
	s.ID = s.computeID()
	return s
}

func (s *Schema) computeID() SchemaID {
	sum := sha256.Sum256(AppendSchema(nil, s))
	return SchemaID(sum[:16])
}

// AppendSchema appends the canonical encoding of s, without its id, to dst. The id is
// the first 16 bytes of its SHA-256.
func AppendSchema(dst []byte, s *Schema) []byte {
	if s.Source == nil {
		dst = append(dst, 'S', schemaVersion)
	} else {
		dst = append(dst, 'S', projectedVersion)
		dst = appendString(dst, s.Projection)
		dst = appendString(dst, AppendSchema(nil, s.Source))
	}
	dst = appendString(dst, s.Name.DB)
	dst = appendString(dst, s.Name.Table)
	dst = binary.AppendUvarint(dst, uint64(len(s.Columns)))
	for i := range s.Columns {
		dst = appendColumn(dst, &s.Columns[i])
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.PrimaryKey)))
	for _, k := range s.PrimaryKey {
		dst = binary.AppendUvarint(dst, uint64(k))
	}
	return dst
}

// The flag bits of a column.
const (
	colNullable = 1 << iota
	colHasDefault
	colDefaultNull
	colGenerated
	colFlags
)

func appendColumn(dst []byte, c *Column) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.ID))
	dst = appendString(dst, c.Name)
	flags := byte(0)
	if c.Nullable {
		flags |= colNullable
	}
	if c.HasDefault {
		flags |= colHasDefault
		if c.Default == nil {
			flags |= colDefaultNull
		}
	}
	if c.Generated {
		flags |= colGenerated
	}
	dst = append(dst, byte(c.Type), flags)
	dst = appendString(dst, c.Native)
	dst = binary.AppendUvarint(dst, uint64(c.Length))
	dst = binary.AppendUvarint(dst, uint64(c.Precision))
	dst = binary.AppendUvarint(dst, uint64(c.Scale))
	dst = appendString(dst, c.Charset)
	dst = appendString(dst, c.Collation)
	dst = binary.AppendUvarint(dst, uint64(len(c.Members)))
	for _, m := range c.Members {
		dst = appendString(dst, m)
	}
	if c.HasDefault && c.Default != nil {
		dst = appendString(dst, c.Default)
	}
	return dst
}

// ParseSchema reads what AppendSchema wrote and computes the id. The schema keeps
// nothing of b.
func ParseSchema(b []byte) (*Schema, error) { return parseSchema(b, projectedVersion) }

func parseSchema(b []byte, newest byte) (*Schema, error) {
	r := reader{b: b, what: "schema"}
	m, v := r.byte(), r.byte()
	if r.err == nil && (m != 'S' || v < schemaVersion || v > newest) {
		return nil, malformed("schema: magic %#x version %d", m, v)
	}
	s := &Schema{}
	if v == projectedVersion {
		s.Projection = r.string()
		source := r.bytes()
		if r.err != nil {
			return nil, r.err
		}
		var err error
		if s.Source, err = parseSchema(source, schemaVersion); err != nil { // a source is no projection itself
			return nil, err
		}
	}
	s.Name.DB, s.Name.Table = r.string(), r.string()
	n := r.count(maxColumns, minColumn)
	s.Columns = make([]Column, n)
	for i := range s.Columns {
		r.column(&s.Columns[i])
	}
	for range r.count(maxColumns, 1) {
		k := r.uvarint()
		if k >= uint64(n) {
			r.fail("key column %d of %d", k, n)
			break
		}
		s.PrimaryKey = append(s.PrimaryKey, int(k))
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	s.ID = s.computeID()
	return s, nil
}

// minColumn is the fewest bytes a column can take, to check counts before allocating.
const minColumn = 11

func (r *reader) column(c *Column) {
	c.ID = uint32(r.uvarintMax(1<<32 - 1))
	c.Name = r.string()
	c.Type = Type(r.byte())
	flags := r.byte()
	if r.err == nil && (c.Type == 0 || c.Type > TypeUnsupported) {
		r.fail("column %s has type %d", clip(c.Name), c.Type)
	}
	if flags >= colFlags || flags&colDefaultNull != 0 && flags&colHasDefault == 0 {
		r.fail("column %s has flags %#x", clip(c.Name), flags)
	}
	c.Nullable, c.HasDefault, c.Generated = flags&colNullable != 0, flags&colHasDefault != 0, flags&colGenerated != 0
	c.Native = r.string()
	c.Length = int(r.uvarintMax(1<<32 - 1))
	c.Precision = int(r.uvarintMax(1<<16 - 1))
	c.Scale = int(r.uvarintMax(1<<16 - 1))
	c.Charset, c.Collation = r.string(), r.string()
	if m := r.count(maxMembers, 1); m > 0 {
		c.Members = make([]string, m)
		for i := range c.Members {
			c.Members[i] = r.string()
		}
	}
	if c.HasDefault && flags&colDefaultNull == 0 {
		c.Default = append([]byte{}, r.bytes()...)
		if r.err == nil {
			if err := checkValue(c.Type, c.Default); err != nil {
				r.fail("column %s: default: %v", clip(c.Name), err)
			}
		}
	}
}

// ColumnByName is the index of the named column, -1 when there is none.
func (s *Schema) ColumnByName(name string) int {
	for i := range s.Columns {
		if s.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Validate says what makes a schema unusable: it is for schemas made by hand.
func (s *Schema) Validate() error {
	if len(s.Columns) > maxColumns {
		return fmt.Errorf("schema of %s: %d columns", s.Name, len(s.Columns))
	}
	for i := range s.Columns {
		c := &s.Columns[i]
		if c.Type == 0 || c.Type > TypeUnsupported || c.Length < 0 || c.Precision < 0 || c.Scale < 0 || len(c.Members) > maxMembers {
			return fmt.Errorf("schema of %s: column %s is not described properly", s.Name, c.Name)
		}
		if c.HasDefault && c.Default != nil {
			if err := checkValue(c.Type, c.Default); err != nil {
				return fmt.Errorf("schema of %s: default of column %s: %w", s.Name, c.Name, err)
			}
		}
	}
	for _, k := range s.PrimaryKey {
		if k < 0 || k >= len(s.Columns) {
			return fmt.Errorf("schema of %s: key column %d of %d", s.Name, k, len(s.Columns))
		}
	}
	return nil
}
