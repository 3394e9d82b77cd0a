package protocol

import (
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/millrace/millrace/remoting"
)

// HeaderError says which field of a header cannot be used, and why.
type HeaderError struct {
	Header string // as RocketMQ calls it
	Field  string
	Value  string // what was there; empty when the field is missing
}

func (e *HeaderError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s: required field %s is missing", e.Header, e.Field)
	}
	return fmt.Sprintf("%s: field %s is %q, which is no number of its range", e.Header, e.Field, e.Value[:min(len(e.Value), 32)])
}

// OptInt32 is a number that a header may leave out.
type OptInt32 struct {
	Value int32
	Set   bool
}

// SomeInt32 is a number that is there.
func SomeInt32(v int32) OptInt32 { return OptInt32{v, true} }

// Or is the number, or def where it was left out.
func (o OptInt32) Or(def int32) int32 {
	if o.Set {
		return o.Value
	}
	return def
}

type need bool

const (
	required need = true
	optional need = false
)

// codec walks over the fields of a header and writes or reads each one, so
// that a header lists its fields once.
type codec struct {
	header string
	ext    *remoting.ExtFields
	read   bool
	at     int    // where the next field is, if it has the order of the walk
	text   []byte // numbers as text: one piece of memory for a whole header
	err    error
}

func encodeHeader(c *remoting.Command, walk func(*codec)) {
	walk(&codec{ext: &c.Ext})
}

func decodeHeader(c *remoting.Command, header string, walk func(*codec)) error {
	k := codec{header: header, ext: &c.Ext, read: true}
	walk(&k)
	return k.err
}

// get finds a field. An optional one that is empty counts as missing, as it
// is in the binary form.
func (k *codec) get(name string, n need) (string, bool) {
	var v string
	ok := false
	if k.at < k.ext.Len() {
		if key, value := k.ext.At(k.at); key == name {
			v, ok = value, true
			k.at++
		}
	}
	if !ok {
		v, ok = k.ext.Get(name)
	}
	if !ok && n == required {
		k.fail(name, "")
	}
	return v, ok
}

func (k *codec) fail(name, value string) {
	if k.err == nil {
		k.err = &HeaderError{Header: k.header, Field: name, Value: value}
	}
}

func (k *codec) str(name string, p *string, n need) {
	if k.read {
		*p, _ = k.get(name, n)
		return
	}
	if *p != "" || n == required {
		k.ext.Set(name, *p)
	}
}

func (k *codec) int64(name string, p *int64, n need) {
	if k.read {
		*p = k.number(name, n, 64)
		return
	}
	if *p != 0 || n == required {
		k.ext.Set(name, k.format(*p))
	}
}

func (k *codec) int32(name string, p *int32, n need) {
	if k.read {
		*p = int32(k.number(name, n, 32))
		return
	}
	if *p != 0 || n == required {
		k.ext.Set(name, k.format(int64(*p)))
	}
}

func (k *codec) optInt32(name string, p *OptInt32) {
	if k.read {
		if _, ok := k.ext.Get(name); ok {
			*p = SomeInt32(int32(k.number(name, optional, 32)))
		} else {
			*p = OptInt32{}
		}
		return
	}
	if p.Set {
		k.ext.Set(name, k.format(int64(p.Value)))
	}
}

func (k *codec) uint64(name string, p *uint64, n need) {
	if k.read {
		*p = 0
		v, ok := k.get(name, n)
		if !ok {
			return
		}
		u, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			k.fail(name, orSpace(v))
			return
		}
		*p = u
		return
	}
	if *p != 0 || n == required {
		k.ext.Set(name, strconv.FormatUint(*p, 10))
	}
}

// bool reads as Java does: what is not "true" is false.
func (k *codec) bool(name string, p *bool, n need) {
	if k.read {
		v, _ := k.get(name, n)
		*p = strings.EqualFold(v, "true")
		return
	}
	if *p || n == required {
		k.ext.Set(name, strconv.FormatBool(*p))
	}
}

func (k *codec) number(name string, n need, bits int) int64 {
	v, ok := k.get(name, n)
	if !ok || v == "" && n == optional {
		return 0
	}
	i, err := strconv.ParseInt(v, 10, bits)
	if err != nil {
		k.fail(name, orSpace(v))
		return 0
	}
	return i
}

// orSpace keeps an empty value apart from a missing one.
func orSpace(v string) string {
	if v == "" {
		return " "
	}
	return v
}

func (k *codec) format(v int64) string {
	if cap(k.text)-len(k.text) < 20 {
		k.text = make([]byte, 0, 96)
	}
	n := len(k.text)
	k.text = strconv.AppendInt(k.text, v, 10)
	return unsafe.String(&k.text[n], len(k.text)-n)
}
