package wire_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/millrace/millrace/internal/testenv/chserver/wire"
)

func reader(b []byte) wire.Reader {
	return wire.Reader{Reader: bufio.NewReaderSize(bytes.NewReader(b), 16)}
}

// The client is clickhouse-go's own encoder.
func hello() []byte {
	var b chproto.Buffer
	(&proto.ClientHandshake{ProtocolVersion: proto.DBMS_TCP_PROTOCOL_VERSION, ClientName: "test", ClientVersion: proto.Version{Major: 2, Minor: 51}}).Encode(&b)
	for _, s := range []string{"shop", "sink", "s3cret"} {
		b.PutString(s)
	}
	return b.Buf
}

func query(t testing.TB, traced bool) []byte {
	t.Helper()
	q := proto.Query{
		ID: "orders/7/1", ClientName: "test", ClientTCPProtocolVersion: proto.DBMS_TCP_PROTOCOL_VERSION, Compression: true,
		Body:       "SELECT {p:UInt8}",
		Settings:   proto.Settings{{Key: "async_insert", Value: 0, Important: true}, {Key: "SQL_own", Value: "it's", Custom: true}},
		Parameters: proto.Parameters{{Key: "p", Value: "1"}},
	}
	var b chproto.Buffer
	if err := q.Encode(&b, wire.Revision); err != nil {
		t.Fatal(err)
	}
	if !traced {
		return b.Buf
	}
	// In front of the settings stand three numbers of replicas, and whether there is a trace.
	at := bytes.Index(b.Buf, []byte("\x0casync_insert")) - 4
	span := append([]byte{1}, make([]byte, 16+8)...)
	span = append(span, "\x05state\x01"...)
	return slices.Concat(b.Buf[:at], span, b.Buf[at+1:])
}

func TestAHelloIsRead(t *testing.T) {
	in := hello()
	got, err := reader(in).Hello()
	want := wire.Hello{Client: "test", Major: 2, Minor: 51, Revision: wire.Revision, Database: "shop", User: "sink", Password: "s3cret"}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range in {
		if _, err := reader(in[:n]).Hello(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(in), err)
		}
	}
	old := bytes.Replace(in, binary.AppendUvarint(nil, wire.Revision), binary.AppendUvarint(nil, 54400), 1)
	if _, err := reader(old).Hello(); err == nil || !strings.Contains(err.Error(), "revision 54400") {
		t.Errorf("an old client: %v", err)
	}
}

func TestAQueryIsRead(t *testing.T) {
	for _, traced := range []bool{false, true} {
		in := query(t, traced)
		r := reader(append(bytes.Clone(in), "behind"...))
		got, err := r.Query()
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != "orders/7/1" || got.Client != "test" || !got.Compressed || got.Body != "SELECT {p:UInt8}" ||
			!slices.Equal(got.Settings, []wire.Pair{{Key: "async_insert", Value: "0"}, {Key: "SQL_own", Value: `'it\'s'`, Custom: true}}) ||
			!slices.Equal(got.Parameters, []wire.Pair{{Key: "p", Value: "'1'", Custom: true}}) {
			t.Errorf("%+v", got)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "behind" {
			t.Errorf("%q is left", rest)
		}
		for n := range in {
			if _, err := reader(in[:n]).Query(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d of %d bytes: %v", n, len(in), err)
			}
		}
	}
}

func TestClaimsAreLimited(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<40)
	if _, err := reader(huge).Hello(); err == nil || !strings.Contains(err.Error(), "65536 are the limit") {
		t.Errorf("a name: %v", err)
	}
	// What a claim below the limit costs is what has come of it.
	if _, err := reader(binary.AppendUvarint(nil, 1<<16)).Name(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a claim: %v", err)
	}
}

// The other side is clickhouse-go's own decoder.
func TestWhatAServerSaysIsUnderstood(t *testing.T) {
	p := wire.Packet(nil).Hello(wire.Greeting{Name: "ClickHouse", Major: 26, Minor: 7, Patch: 2, Timezone: "UTC", Display: "here"}).
		Exception(469, "Constraint `open` is violated").
		Progress(1, 2, 3, 4, 5).
		Profile(6, 7, 8).
		TableColumns("text").
		Pong().EndOfStream()
	r := chproto.NewReader(bytes.NewReader(p))
	next := func(want byte) {
		t.Helper()
		if got, err := r.ReadByte(); err != nil || got != want {
			t.Fatalf("packet %d, %v; %d was expected", got, err, want)
		}
	}
	next(proto.ServerHello)
	var h proto.ServerHandshake
	if err := h.Decode(r); err != nil || h.Name != "ClickHouse" || h.Version.String() != "26.7.2" || h.Revision != wire.Revision ||
		h.Timezone.String() != "UTC" {
		t.Errorf("%+v, %v", h, err)
	}
	next(proto.ServerException)
	var e proto.Exception
	if err := e.Decode(r); err != nil || e.Code != 469 || e.Name != "DB::Exception" || e.Message != "Constraint `open` is violated" {
		t.Errorf("%+v, %v", e, err)
	}
	next(proto.ServerProgress)
	var progress proto.Progress
	if err := progress.Decode(r, wire.Revision); err != nil || progress.Rows != 1 || progress.Bytes != 2 || progress.WroteRows != 3 ||
		progress.WroteBytes != 4 {
		t.Errorf("%+v, %v", progress, err)
	}
	next(proto.ServerProfileInfo)
	var profile proto.ProfileInfo
	if err := profile.Decode(r, wire.Revision); err != nil || profile.Rows != 6 || profile.Blocks != 7 || profile.Bytes != 8 {
		t.Errorf("%+v, %v", profile, err)
	}
	next(proto.ServerTableColumns)
	var columns proto.TableColumns
	if err := columns.Decode(r, wire.Revision); err != nil || columns.Second != "text" {
		t.Errorf("%+v, %v", columns, err)
	}
	next(proto.ServerPong)
	next(proto.ServerEndOfStream)
}

// FuzzClient reads what a client may say: a hello, or a query.
func FuzzClient(f *testing.F) {
	f.Add(hello())
	f.Add(query(f, false))
	f.Add(query(f, true))
	f.Fuzz(func(t *testing.T, in []byte) {
		if h, err := reader(in).Hello(); err == nil && len(h.Client)+len(h.Database)+len(h.User)+len(h.Password) > len(in) {
			t.Fatalf("%+v came of %d bytes", h, len(in))
		}
		if q, err := reader(in).Query(); err == nil && len(q.ID)+len(q.Body)+len(q.Settings)+len(q.Parameters) > len(in) {
			t.Fatalf("%+v came of %d bytes", q, len(in))
		}
	})
}
