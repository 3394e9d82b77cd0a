package protocol_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

type header interface {
	Encode(*remoting.Command)
	Decode(*remoting.Command) error
}

// headers has one of each type.
func headers() []header {
	return []header{
		&protocol.SendResponseHeader{MsgRegion: "r"},
		&protocol.PullHeader{}, &protocol.PullResponseHeader{}, &protocol.QueryMessageHeader{}, &protocol.QueryMessageResponseHeader{},
		&protocol.ViewMessageHeader{}, &protocol.QueryConsumerOffsetHeader{}, &protocol.UpdateConsumerOffsetHeader{},
		&protocol.SearchOffsetHeader{}, &protocol.QueueHeader{}, &protocol.OffsetResponseHeader{}, &protocol.TimestampResponseHeader{},
		&protocol.UnregisterClientHeader{}, &protocol.ConsumerSendMsgBackHeader{}, &protocol.ConsumerGroupHeader{},
		&protocol.ProducerGroupHeader{}, &protocol.GroupHeader{}, &protocol.DeleteSubscriptionGroupHeader{},
		&protocol.EndTransactionHeader{}, &protocol.CheckTransactionStateHeader{},
		&protocol.CreateTopicHeader{}, &protocol.TopicHeader{}, &protocol.DeleteTopicInNamesrvHeader{}, &protocol.GetTopicsByClusterHeader{},
		&protocol.GetConsumeStatsHeader{}, &protocol.PageHeader{}, &protocol.PageResponseHeader{}, &protocol.GroupPageHeader{},
		&protocol.GroupPageResponseHeader{}, &protocol.GetBrokerConfigResponseHeader{},
		&protocol.GetRouteInfoHeader{}, &protocol.RegisterBrokerHeader{}, &protocol.RegisterBrokerResponseHeader{},
		&protocol.UnregisterBrokerHeader{}, &protocol.QueryDataVersionResponseHeader{}, &protocol.KVConfigHeader{},
		&protocol.KVConfigResponseHeader{}, &protocol.WritePermHeader{},
		&protocol.OpenWriterHeader{}, &protocol.OpenWriterResponseHeader{}, &protocol.ResolveHeader{}, &protocol.RefusalHeader{},
	}
}

// fill gives every field a value of its own.
func fill(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name + " \x01\"ü")
		case reflect.Int32, reflect.Int64:
			f.SetInt(int64(-7 - i))
		case reflect.Uint64:
			f.SetUint(1<<63 + uint64(i))
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Struct:
			f.Set(reflect.ValueOf(protocol.SomeInt32(0)))
		}
	}
}

func TestHeadersComeBack(t *testing.T) {
	for _, zero := range headers() {
		for _, full := range []bool{false, true} {
			want := reflect.New(reflect.TypeOf(zero).Elem())
			want.Elem().Set(reflect.ValueOf(zero).Elem())
			if full {
				fill(want.Elem())
			}
			got := roundTrip(t, 0, want.Interface().(header))
			if !reflect.DeepEqual(got, want.Interface()) {
				t.Errorf("%T\n  got %+v\n want %+v", zero, got, want.Interface())
			}
		}
	}
}

func TestSendHeadersComeBackInBothForms(t *testing.T) {
	for _, code := range []int{protocol.SendMessage, protocol.SendMessageV2, protocol.SendBatchMessage, protocol.SendReplyMessage, protocol.SendReplyMessageV2} {
		for _, full := range []bool{false, true} {
			want := new(protocol.SendHeader)
			if full {
				fill(reflect.ValueOf(want).Elem())
			}
			if got := roundTrip(t, code, want); !reflect.DeepEqual(got, want) {
				t.Errorf("%d\n  got %+v\n want %+v", code, got, want)
			}
		}
	}
}

// roundTrip sends h through a frame and returns what is read from it.
func roundTrip(t *testing.T, code int, h header) header {
	t.Helper()
	c := remoting.NewRequest(code)
	h.Encode(c)
	b, err := remoting.AppendFrame(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	c, err = remoting.ParseFrame(b[4:])
	if err != nil {
		t.Fatal(err)
	}
	got := reflect.New(reflect.TypeOf(h).Elem()).Interface().(header)
	if err := got.Decode(c); err != nil {
		t.Fatalf("%T: %v", h, err)
	}
	return got
}

func TestMissingFieldIsNamed(t *testing.T) {
	for _, h := range append(headers(), &protocol.SendHeader{}) {
		fill(reflect.ValueOf(h).Elem())
		c := remoting.NewRequest(protocol.SendMessage)
		h.Encode(c)
		for i := range c.Ext.Len() {
			name, value := c.Ext.At(i)
			short := remoting.NewRequest(protocol.SendMessage)
			h.Encode(short)
			short.Ext.Delete(name)
			err := reflect.New(reflect.TypeOf(h).Elem()).Interface().(header).Decode(short)
			var he *protocol.HeaderError
			if err != nil && (!errors.As(err, &he) || he.Field != name || !strings.Contains(err.Error(), name)) {
				t.Errorf("%T without %s: %v", h, name, err)
			}
			if value[0] != '-' && value[0] != '9' {
				continue
			}
			for _, bad := range []string{"", "x", "1.5", "99999999999999999999999"} {
				short.Ext.Set(name, bad)
				err := reflect.New(reflect.TypeOf(h).Elem()).Interface().(header).Decode(short)
				if err != nil && (!errors.As(err, &he) || he.Field != name) || err == nil && bad != "" {
					t.Errorf("%T with %s=%q: %v", h, name, bad, err)
				}
			}
		}
	}
	// What RocketMQ requires, in one example each.
	for _, tc := range []struct {
		code   int
		h      header
		fields string
	}{
		{protocol.SendMessage, &protocol.SendHeader{}, "producerGroup topic defaultTopic defaultTopicQueueNums queueId sysFlag bornTimestamp flag"},
		{protocol.SendMessageV2, &protocol.SendHeader{}, "a b c d e f g h"},
		{protocol.PullMessage, &protocol.PullHeader{}, "consumerGroup topic queueId queueOffset maxMsgNums sysFlag commitOffset suspendTimeoutMillis subVersion"},
		{protocol.OpenWriter, &protocol.OpenWriterHeader{}, "writer term opener"},
	} {
		for _, name := range strings.Fields(tc.fields) {
			c := remoting.NewRequest(tc.code)
			tc.h.Encode(c)
			c.Ext.Delete(name)
			var he *protocol.HeaderError
			if err := tc.h.Decode(c); !errors.As(err, &he) || he.Field != name {
				t.Errorf("%d without %s: %v", tc.code, name, err)
			}
		}
	}
}

func TestSendHeaderDecodesWithoutMemory(t *testing.T) {
	c := remoting.NewRequest(protocol.SendMessageV2)
	h := protocol.SendHeader{ProducerGroup: "g", Topic: "t", Properties: "p"}
	h.Encode(c)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := protocol.DecodeSend(c); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func TestCodesHaveNames(t *testing.T) {
	for code, name := range map[int]string{10: "SEND_MESSAGE", 310: "SEND_MESSAGE_V2", 200050: "POP_MESSAGE", 31001: "OPEN_WRITER", 31002: "RESOLVE", -1: ""} {
		if got := protocol.RequestName(code); got != name {
			t.Errorf("request %d is %q", code, got)
		}
	}
	for code, name := range map[int]string{0: "SUCCESS", 17: "TOPIC_NOT_EXIST", 31101: "STALE", 31105: "GONE", 99999: ""} {
		if got := protocol.ResponseName(code); got != name {
			t.Errorf("response %d is %q", code, got)
		}
	}
}

func TestErrorsCompareByCode(t *testing.T) {
	err := error(protocol.Errorf(protocol.TopicNotExist, "topic[%s] not exist", "x"))
	if !errors.Is(err, &protocol.Error{Code: protocol.TopicNotExist}) || errors.Is(err, &protocol.Error{Code: protocol.SystemError}) {
		t.Error("errors.Is")
	}
	if want := "TOPIC_NOT_EXIST (17): topic[x] not exist"; err.Error() != want {
		t.Errorf("got %q", err)
	}
	for code, retriable := range map[int]bool{protocol.SystemBusy: true, protocol.MessageIllegal: false, protocol.Fenced: false, protocol.GoAway: true} {
		if (&protocol.Error{Code: code}).Retriable() != retriable {
			t.Errorf("code %d", code)
		}
	}
}

func TestPropertiesTextComesBack(t *testing.T) {
	want := map[string]string{"brokerName": "a", "path": `C:\x`, "text": "a\nb=c", "empty": ""}
	if got := protocol.DecodeProperties(protocol.EncodeProperties(want)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	got := protocol.DecodeProperties([]byte("# c\r\n! d\n  a = 1\r\nb:2\n\nnone\n"))
	if !reflect.DeepEqual(got, map[string]string{"a": "1", "b": "2", "none": ""}) {
		t.Errorf("got %q", got)
	}
}

func TestDialectsOfJSON(t *testing.T) {
	for in, ok := range map[string]bool{
		`{"brokerAddrs":{0:"a",1:"b"}}`: true, `{"brokerAddrs":{"0":"a","1":"b"}}`: true, ` {"brokerAddrs" : { 0 : "a" , 1 : "b" } } `: true,
		`{"brokerAddrs":{0:"a",1:"b"}`: false, `{"brokerAddrs":{0"a"}}`: false, `{"brokerAddrs":{x:"a"}}`: false, `{`: false, ``: false,
		strings.Repeat(`{"a":`, 100): false,
	} {
		var b protocol.BrokerData
		if err := protocol.DecodeBody([]byte(in), &b); (err == nil) != ok || ok && (b.BrokerAddrs[0] != "a" || b.BrokerAddrs[1] != "b") {
			t.Errorf("%s: %+v, %v", in, b, err)
		}
	}
}

func TestWriterBodiesCarryFullNumbers(t *testing.T) {
	want := &protocol.OpenWriterState{Queues: []protocol.WriterQueue{{Topic: "t", Hi: 1<<64 - 1, To: "x", Offset: 1, Max: 2}},
		Halves: []protocol.WriterHalf{{ID: "a@1", Lo: 1, Hi: 2, Prev: 1<<63 + 1, Term: 3, Size: 4}}, Base: -1}
	b, err := protocol.EncodeBody(want)
	if err != nil || !strings.Contains(string(b), `"hi":"18446744073709551615"`) || !strings.Contains(string(b), `"base":-1`) {
		t.Fatalf("%s, %v", b, err)
	}
	got := new(protocol.OpenWriterState)
	if err := protocol.DecodeBody(b, got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	b, err = protocol.EncodeBody(&protocol.ResolveResponse{})
	if err != nil || string(b) != `{"results":[]}` {
		t.Errorf("%s, %v", b, err)
	}
}
