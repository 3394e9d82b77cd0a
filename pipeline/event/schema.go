package event

// Type is the class of a column's value; it decides the value's encoding.
type Type uint8

// The column types. The comment gives the canonical encoding of a non-null value in
// an Image. uvarint and zigzag are as in encoding/binary; "bytes" is uvarint length +
// bytes.
const (
	TypeInt     Type = iota + 1 // zigzag varint: TINYINT … BIGINT, signed
	TypeUint                    // uvarint: the same, UNSIGNED
	TypeDecimal                 // bytes: exact text as MySQL prints it, e.g. "-12.50"
	TypeFloat                   // 4 bytes little endian IEEE 754
	TypeDouble                  // 8 bytes little endian IEEE 754
	TypeDate                    // uvarint: year<<9 | month<<5 | day; zero and partial dates keep their parts
	// uvarint: ((year<<9|month<<5|day)<<17 | hour<<12|minute<<6|second) <<20 | microseconds (civil, zero parts kept)
	TypeDateTime
	TypeTimestamp   // zigzag varint: microseconds since the epoch, UTC; the zero timestamp is math.MinInt64
	TypeTime        // zigzag varint: microseconds, ±838:59:59.999999
	TypeYear        // uvarint
	TypeText        // bytes: UTF-8
	TypeBinary      // bytes: BINARY re-padded to its length, VARBINARY and BLOB as they are
	TypeEnum        // uvarint: ordinal, 0 = '' (invalid); names are in the schema
	TypeSet         // uvarint: bit mask; names are in the schema
	TypeBit         // uvarint
	TypeJSON        // bytes: JSON text as MySQL prints it (MariaDB: the stored text)
	TypeGeometry    // bytes: 4 bytes little endian SRID + WKB, or none
	TypeUnsupported // never in an image: the table pauses
)

// Column is one column of a Schema.
type Column struct {
	// ID is the column's identity, unique in the table's life: kept through RENAME and
	// MODIFY, new for a column dropped and added again.
	ID   uint32
	Name string
	Type Type
	// Native is the full type text, e.g. "bigint(20) unsigned", "enum('a','b')".
	Native    string
	Length    int // characters or bytes of CHAR/VARCHAR/BINARY/VARBINARY, bits of BIT
	Precision int // DECIMAL; integers: width in bytes (1,2,3,4,8)
	Scale     int // DECIMAL; fractional digits of temporal types
	Nullable  bool
	Charset   string
	Collation string
	Members   []string // ENUM and SET
	// HasDefault says that Default holds the encoded constant that older rows show
	// (nil = NULL). A default that is an expression has HasDefault false.
	HasDefault bool
	Default    []byte
	Generated  bool
}

// Schema is a table's columns at one time. It is immutable. ID is the first 128 bits
// of SHA-256 over its canonical encoding.
type Schema struct {
	ID      SchemaID
	Name    TableName
	Columns []Column
	// PrimaryKey holds the indexes of the key columns in key order: the primary key,
	// else the first unique key over NOT NULL columns, else nil.
	PrimaryKey []int
	// Source is set where what leaves is not the table as it is: its definition at the
	// source, without the defaults of the columns that are kept back. Projection says what
	// was made of it. Targets look at neither.
	Source     *Schema
	Projection string
}

// SchemaID is a schema's content hash.
type SchemaID [16]byte
