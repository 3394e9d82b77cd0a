package event

// Image is an encoded row: for n columns, ceil(n/8) bytes of presence bits, ceil(n/8)
// bytes of null bits (bit i of byte i/8 is column i), then the value of each column
// that is present and not null, in schema order, encoded by its Type.
//
// Captured rows are full images: every column is present. The presence bits have
// their place for partial ones.
type Image []byte
