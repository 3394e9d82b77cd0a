package remoting

import "slices"

// MaxFields is how many extFields a header may have; the longest of RocketMQ's has some
// twenty.
const MaxFields = 1024

const errFields = errText("it has more than 1024 ext fields")

// Field is one extField of a header.
type Field struct{ Key, Value string }

// ExtFields are the named values of a header, in their order, each name once.
// They are few, so that a scan is cheaper than a map. The zero value is empty.
type ExtFields struct{ fields []Field }

// Get returns the value of key.
func (e *ExtFields) Get(key string) (string, bool) {
	for i := range e.fields {
		if e.fields[i].Key == key {
			return e.fields[i].Value, true
		}
	}
	return "", false
}

// Set gives key a value, in place where it has one.
func (e *ExtFields) Set(key, value string) {
	for i := range e.fields {
		if e.fields[i].Key == key {
			e.fields[i].Value = value
			return
		}
	}
	e.Add(key, value)
}

// Add is Set for a key that is known to be new.
func (e *ExtFields) Add(key, value string) {
	if e.fields == nil {
		e.fields = make([]Field, 0, 8)
	}
	e.fields = append(e.fields, Field{key, value})
}

// Delete removes key.
func (e *ExtFields) Delete(key string) {
	e.fields = slices.DeleteFunc(e.fields, func(f Field) bool { return f.Key == key })
}

// Len counts the fields.
func (e *ExtFields) Len() int { return len(e.fields) }

// At returns the field at i, 0 ≤ i < Len.
func (e *ExtFields) At(i int) (key, value string) { return e.fields[i].Key, e.fields[i].Value }

// Grow makes room for n more fields.
func (e *ExtFields) Grow(n int) { e.fields = slices.Grow(e.fields, n) }

// Use takes buf as the memory of fields to come and forgets those there are.
func (e *ExtFields) Use(buf []Field) { e.fields = buf[:0] }

// Reset forgets the fields and keeps their memory.
func (e *ExtFields) Reset() {
	clear(e.fields)
	e.fields = e.fields[:0]
}

// Map returns a copy as a map.
func (e *ExtFields) Map() map[string]string {
	m := make(map[string]string, len(e.fields))
	for _, f := range e.fields {
		m[f.Key] = f.Value
	}
	return m
}

// fieldSet remembers, roughly, which names a parser has seen, so that names
// of a header need not be compared with each other. A name that a peer sent
// twice means its last value, as in encoding/json: were it the first for one
// reader and the last for another, a signature could cover the wrong one.
type fieldSet uint64

// It returns errFields when the header has more names than MaxFields: finding a name is a
// scan, and a header has room for a million of them.
func (seen *fieldSet) put(e *ExtFields, key, value string) error {
	bit := fieldSet(1)
	if n := len(key); n > 0 {
		// One letter, as the names of a V2 send have, is its own bit.
		bit <<= (uint(key[0]) + uint(n-1)*(3*uint(key[n-1])+uint(key[n/2])+uint(n))) & 63
	}
	if *seen&bit != 0 {
		e.Set(key, value)
	} else {
		*seen |= bit
		e.Add(key, value)
	}
	if len(e.fields) > MaxFields {
		return errFields
	}
	return nil
}
