package broker

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

func TestTopicsAreCreatedChangedAndDeleted(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 4, "+millrace.writer=shop,+color=red")
	r.createTopic("orders", 6, "-color")
	c, ok := r.broker.topics.Get("orders")
	if !ok || c.Queues() != 6 || c.Writer() != "shop" || len(c.Attributes) != 1 {
		t.Fatalf("%+v", c)
	}
	var table protocol.TopicConfigTable
	if err := protocol.DecodeBody(r.ok(protocol.GetAllTopicConfig, nil, nil).Body, &table); err != nil {
		t.Fatal(err)
	}
	if table.TopicConfigTable["orders"].WriteQueueNums != 6 || table.DataVersion.Counter == 0 {
		t.Fatalf("%+v", table.TopicConfigTable["orders"])
	}
	ans := r.call(protocol.DeleteTopicInBroker, &protocol.DeleteTopicHeader{Topic: "orders"}, nil)
	if ans.Code != protocol.NoPermission || !strings.Contains(ans.Remark, "millrace pipeline delete shop") {
		t.Fatalf("deleting a writer's topic: %d %s", ans.Code, ans.Remark)
	}
	if _, ok := r.broker.topics.Get("orders"); !ok {
		t.Fatal("a writer's topic is gone without force")
	}
	for _, missing := range []bool{false, true} {
		ans := r.ok(protocol.DeleteTopicInBroker, &protocol.DeleteTopicHeader{Topic: "orders", Force: true}, nil)
		var h protocol.DeleteTopicResponseHeader
		if err := h.Decode(ans); err != nil || h.Missing != missing {
			t.Fatalf("the answer says missing: %v, %v; want %v", h.Missing, err, missing)
		}
	}
	if ans := r.ask(r.names.Addr(), protocol.GetRouteInfoByTopic, &protocol.GetRouteInfoHeader{Topic: "orders"}, nil); ans.Code != protocol.TopicNotExist {
		t.Fatalf("the route of a deleted topic: %d", ans.Code)
	}
}

// TestAWritersMessagesMakeNoTopic: a topic that is made by a send has no owner, and the
// writer whose topic was deleted would go on into it unchecked.
func TestAWritersMessagesMakeNoTopic(t *testing.T) {
	r := newRig(t, nil)
	props := map[string]string{"mr_p": "shop", "mr_term": "1", "mr_lo": "1", "mr_hi": "2", "mr_prev": "0"}
	half := sendHeader("shop--half", 0, props)
	half.SysFlag = message.WithTransactionState(0, message.TransactionPrepared)
	batch := sendHeader("shop--batch", 0, nil)
	batch.Batch = true
	item, err := message.AppendBatchItem(nil, message.BatchItem{Body: []byte("x"), Properties: message.AppendProperties(nil, props)})
	if err != nil {
		t.Fatal(err)
	}
	for name, ans := range map[string]*remoting.Command{
		"shop--single": r.call(protocol.SendMessageV2, sendHeader("shop--single", 0, props), []byte("x")),
		"shop--half":   r.call(protocol.SendMessageV2, half, []byte("x")),
		"shop--batch":  r.call(protocol.SendBatchMessage, batch, item),
	} {
		if ans.Code != protocol.TopicNotExist || !strings.Contains(ans.Remark, "shop") {
			t.Errorf("%s: %d %s", name, ans.Code, ans.Remark)
		}
		if _, ok := r.broker.topics.Get(name); ok {
			t.Errorf("%s was made, and belongs to nobody", name)
		}
	}
	r.send("anybodys", 0, "x", nil)
}

func TestADeletedTopicBeginsAnew(t *testing.T) {
	r := newRig(t, nil)
	r.createTopic("orders", 1, "")
	for range 3 {
		r.send("orders", 0, "old", nil)
	}
	r.ok(protocol.DeleteTopicInBroker, &protocol.DeleteTopicHeader{Topic: "orders"}, nil)
	r.createTopic("orders", 1, "")
	if h := r.send("orders", 0, "new", nil); h.QueueOffset != 0 {
		t.Fatalf("the first message has offset %d", h.QueueOffset)
	}
	waitFor(t, "the new message", func() bool { return r.pull(pullHeader("orders", 0, 0)).bodies == "new" })
}

func TestTopicsThatAreRefused(t *testing.T) {
	r := newRig(t, nil)
	for _, name := range []string{"../etc", "a/b", "", "a b", "TBW102", "broker-a", "SCHEDULE_TOPIC_XXXX", strings.Repeat("x", 128)} {
		h := &protocol.CreateTopicHeader{Topic: name, DefaultTopic: "TBW102", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6,
			TopicFilterType: "SINGLE_TAG"}
		if ans := r.call(protocol.UpdateAndCreateTopic, h, nil); ans.Code != protocol.InvalidParameter && name != "" ||
			ans.Code == protocol.Success {
			t.Errorf("create %q: %v", name, protocol.AsError(ans))
		}
	}
	for _, name := range []string{"../etc", "TBW102", "broker-a"} {
		if ans := r.call(protocol.DeleteTopicInBroker, &protocol.DeleteTopicHeader{Topic: name}, nil); ans.Code != protocol.InvalidParameter {
			t.Errorf("delete %q: %v", name, protocol.AsError(ans))
		}
	}
}

func TestRuntimeInformation(t *testing.T) {
	r := newRig(t, nil)
	r.send("orders", 0, "x", nil)
	var table protocol.KVTable
	if err := protocol.DecodeBody(r.ok(protocol.GetBrokerRuntimeInfo, nil, nil).Body, &table); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"brokerVersionDesc", "bootTimestamp", "putTps", "getTransferredTps", "commitLogMaxOffset", "commitLogDiskRatio", "runtime"} {
		if table.Table[key] == "" {
			t.Errorf("%s is missing", key)
		}
	}
	if table.Table["msgPutTotalTodayNow"] != "1" || table.Table["brokerActive"] != "true" {
		t.Errorf("%v", table.Table)
	}
	ans := r.ok(protocol.GetBrokerConfig, nil, nil)
	if p := protocol.DecodeProperties(ans.Body); p["brokerName"] != "broker-a" || p["flushDiskType"] != "SYNC_FLUSH" {
		t.Errorf("%s", ans.Body)
	}
	if v, ok := ans.Ext.Get("version"); !ok || v == "" {
		t.Error("the configuration has no version")
	}
	for name, want := range map[string]float64{"rocketmq_messages_in_total": 1, "rocketmq_throughput_in_total": 1, "rocketmq_broker_permission": 6, "millrace_remoting_connections": 1} {
		if got := r.metric(name, nil); got != want {
			t.Errorf("%s is %v", name, got)
		}
	}
	if r.metric("rocketmq_rpc_latency", map[string]string{"request_code": "310"}) != 1 {
		t.Error("the send's latency is not measured")
	}
}

// TestGarbageCostsItsOwnConnectionOnly sends what is no frame and looks whether others
// are served on.
func TestGarbageCostsItsOwnConnectionOnly(t *testing.T) {
	r := newRig(t, nil)
	frame := func(length uint32, rest string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, length), rest...)
	}
	for name, bytes := range map[string][]byte{
		"2 GiB announced": frame(2<<30, "\x00\x00\x00\x10"),
		"negative":        frame(0xFFFFFFFF, "abcd"),
		"no header":       frame(4, "\x00\xFF\xFF\xFF"),
		"no JSON":         frame(8, "\x00\x00\x00\x04abcd"),
		"TLS":             []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
		"HTTP":            []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		c := r.dial()
		if _, err := c.Write(bytes); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if closed := readUntilClosed(t, c); !closed {
			t.Errorf("%s: the connection stays open", name)
		}
		r.send("orders", 0, "x", nil)
	}
	silent := r.dial()
	r.send("orders", 0, "x", nil)
	silent.Close()
}

func readUntilClosed(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(25 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestConfigurationSaysAllItsMistakes(t *testing.T) {
	c := testConfig("/tmp/x")
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for key, change := range map[string]func(*Config){
		"brokerName":                func(c *Config) { c.BrokerName = "a/b" },
		"brokerClusterName":         func(c *Config) { c.BrokerClusterName = "" },
		"brokerRole":                func(c *Config) { c.BrokerRole = "SLAVE" },
		"listenPort":                func(c *Config) { c.ListenPort = 1 << 20 },
		"--insecure":                func(c *Config) { c.BindAddress = "192.0.2.1" },
		"brokerIP1":                 func(c *Config) { c.BindAddress, c.Insecure = "0.0.0.0", true },
		"brokerIP1 is":              func(c *Config) { c.BrokerIP1 = "localhost" },
		"namesrvAddr":               func(c *Config) { c.NamesrvAddr = "a:1;b" },
		"flushDiskType":             func(c *Config) { c.FlushDiskType = "SOMETIMES" },
		"storePathRootDir":          func(c *Config) { c.StorePathRootDir = "" },
		"maxMessageSize":            func(c *Config) { c.MaxMessageSize = 1 << 30 },
		"maxTopics":                 func(c *Config) { c.MaxTopics = 0 },
		"maxTransferBytesOnMessage": func(c *Config) { c.MaxTransferBytes = 1 << 30 },
		"storePathCommitLog":        func(c *Config) { c.StorePathCommitLog = "/disk1/log:/disk2/log" },
		"maxPendingBytes":           func(c *Config) { c.MaxPendingBytes = 1 },
	} {
		bad := c
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	c.BrokerName, c.ListenPort = "", -1
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "brokerName") || !strings.Contains(err.Error(), "listenPort") {
		t.Errorf("two mistakes: %v", err)
	}
	public := testConfig("/tmp/x")
	public.BindAddress = "192.0.2.1"
	if c.loopback() != true || c.autoCreate() != true || public.autoCreate() != false {
		t.Error("topics are created on loopback only")
	}
}

func TestASecondBrokerOnTheSameStoreIsRefused(t *testing.T) {
	r := newRig(t, nil)
	if _, err := New(r.cfg, Deps{Log: testLog()}); err == nil {
		t.Fatal("two brokers share a directory")
	}
	r.send("orders", 0, "x", nil)
}

func TestAViewThatNamesAnotherTopicFindsNothing(t *testing.T) {
	r := newRig(t, nil)
	h := r.send("orders", 0, "x", nil)
	_, phys, err := message.ParseOffsetMsgID(h.MsgID)
	if err != nil {
		t.Fatal(err)
	}
	if ans := r.call(protocol.ViewMessageByID, &protocol.ViewMessageHeader{Offset: phys, Topic: "users"}, nil); ans.Code == protocol.Success {
		t.Fatal("a message is served as one of another topic")
	}
}
