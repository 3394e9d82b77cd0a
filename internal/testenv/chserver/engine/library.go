package engine

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is what is used of libchdb. A pointer that the library returns is a uintptr here:
// its memory is the library's.
type library struct {
	version func() uintptr

	connect   func(argc int32, argv unsafe.Pointer) uintptr
	closeConn func(conn uintptr)
	classify  func(conn uintptr, sql unsafe.Pointer, sqlLen uintptr, db unsafe.Pointer, dbLen uintptr, out unsafe.Pointer) int32

	query func(conn uintptr, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
		names, nameLens, values, valueLens unsafe.Pointer, params uintptr) uintptr
	stream func(conn uintptr, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
		names, nameLens, values, valueLens unsafe.Pointer, params uintptr) uintptr
	fetch        func(conn, result uintptr) uintptr
	cancelStream func(conn, result uintptr)

	insert func(conn uintptr, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
		names, nameLens, values, valueLens unsafe.Pointer, params uintptr) uintptr
	insertError   func(insert uintptr) uintptr
	appendData    func(insert uintptr, data unsafe.Pointer, n uintptr) int32
	insertDone    func(insert uintptr) uintptr
	cancelInsert  func(insert uintptr)
	destroyInsert func(insert uintptr)

	resultError   func(result uintptr) uintptr
	buffer        func(result uintptr) uintptr
	length        func(result uintptr) uintptr
	rowsRead      func(result uintptr) uint64
	bytesRead     func(result uintptr) uint64
	rowsWritten   func(result uintptr) uint64
	bytesWritten  func(result uintptr) uint64
	destroyResult func(result uintptr)
}

// load opens the library and finds its functions.
func load(path string) (lib *library, err error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load libchdb: %w", err)
	}
	lib = new(library)
	for name, function := range map[string]any{
		"chdb_version":                     &lib.version,
		"chdb_connect":                     &lib.connect,
		"chdb_close_conn":                  &lib.closeConn,
		"chdb_classify_query_n":            &lib.classify,
		"chdb_query_with_params_n":         &lib.query,
		"chdb_stream_query_with_params_n":  &lib.stream,
		"chdb_stream_fetch_result":         &lib.fetch,
		"chdb_stream_cancel_query":         &lib.cancelStream,
		"chdb_stream_insert_with_params_n": &lib.insert,
		"chdb_stream_insert_error":         &lib.insertError,
		"chdb_stream_append":               &lib.appendData,
		"chdb_stream_done":                 &lib.insertDone,
		"chdb_stream_cancel_insert":        &lib.cancelInsert,
		"chdb_destroy_insert_stream":       &lib.destroyInsert,
		"chdb_result_error":                &lib.resultError,
		"chdb_result_buffer":               &lib.buffer,
		"chdb_result_length":               &lib.length,
		"chdb_result_rows_read":            &lib.rowsRead,
		"chdb_result_bytes_read":           &lib.bytesRead,
		"chdb_result_rows_written":         &lib.rowsWritten,
		"chdb_result_bytes_written":        &lib.bytesWritten,
		"chdb_destroy_query_result":        &lib.destroyResult,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("%s is not the libchdb that this was written for: %w", path, err)
		}
		purego.RegisterFunc(function, symbol)
	}
	return lib, nil
}

// text copies a C string of the library's; "" for none.
func text(p uintptr) string {
	if p == 0 {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(foreign(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(foreign(p)), n))
}

// foreign makes a pointer of an address in the library's own memory, which Go's collector
// neither owns nor moves.
func foreign(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// arguments are a C argv whose memory stays where it is until the pinner lets go.
func arguments(pin *runtime.Pinner, args []string) (argc int32, argv unsafe.Pointer) {
	list := make([]*byte, len(args)+1)
	for i, arg := range args {
		b := append([]byte(arg), 0)
		pin.Pin(&b[0])
		list[i] = &b[0]
	}
	pin.Pin(&list[0])
	return int32(len(args)), unsafe.Pointer(&list[0])
}

// Param is a named parameter of a statement, {name:Type}, in ClickHouse's escaped text.
type Param struct{ Name, Value string }

// call is a statement's memory as the library wants it.
type call struct {
	pin                                runtime.Pinner
	sql, format                        unsafe.Pointer
	sqlLen, formatLen, count           uintptr
	names, nameLens, values, valueLens unsafe.Pointer
}

// newCall pins a statement; unpin after the call.
func newCall(sql, format string, params []Param) *call {
	c := &call{sqlLen: uintptr(len(sql)), formatLen: uintptr(len(format)), count: uintptr(len(params))}
	c.sql, c.format = c.bytes(sql), c.bytes(format)
	if len(params) == 0 {
		return c
	}
	names, values := make([]unsafe.Pointer, len(params)), make([]unsafe.Pointer, len(params))
	nameLens, valueLens := make([]uintptr, len(params)), make([]uintptr, len(params))
	for i, p := range params {
		names[i], nameLens[i] = c.bytes(p.Name), uintptr(len(p.Name))
		values[i], valueLens[i] = c.bytes(p.Value), uintptr(len(p.Value))
	}
	for _, p := range []any{&names[0], &values[0], &nameLens[0], &valueLens[0]} {
		c.pin.Pin(p)
	}
	c.names, c.values = unsafe.Pointer(&names[0]), unsafe.Pointer(&values[0])
	c.nameLens, c.valueLens = unsafe.Pointer(&nameLens[0]), unsafe.Pointer(&valueLens[0])
	return c
}

// bytes are the text with a zero behind it, which no length counts.
func (c *call) bytes(s string) unsafe.Pointer {
	b := append([]byte(s), 0)
	c.pin.Pin(&b[0])
	return unsafe.Pointer(&b[0])
}

func (c *call) unpin() { c.pin.Unpin() }
