package faults

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// cluster is a name server and a broker in processes of their own.
type cluster struct {
	names, broker         *program
	namesAddr, brokerAddr string
	store                 string
}

func startCluster(t *testing.T, brokerArgs ...string) *cluster {
	t.Helper()
	dir := t.TempDir()
	c := &cluster{namesAddr: loopback(freePort(t)), brokerAddr: loopback(freePort(t)), store: filepath.Join(dir, "store")}
	c.names = &program{t: t, dir: dir, name: "namesrv", args: []string{"namesrv", "--listen", c.namesAddr}}
	c.broker = &program{t: t, dir: dir, name: "broker",
		args: append([]string{"broker", "--listen", c.brokerAddr, "--namesrv", c.namesAddr, "--data", c.store}, brokerArgs...)}
	c.names.start()
	c.broker.start()
	listening(t, c.names, c.namesAddr)
	listening(t, c.broker, c.brokerAddr)
	return c
}

// brokerConfig names the broker "part".
func brokerConfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broker.yaml")
	if err := os.WriteFile(path, []byte("brokerName: part\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// listening waits until a program takes connections.
func listening(t *testing.T, p *program, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	inprocess.Until(ctx, t, "wait until "+p.name+" listens", 20*time.Millisecond, func() (bool, string) {
		p.alive()
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return false, err.Error()
		}
		return nc.Close() == nil, ""
	})
}

// wire is a bare connection to a server.
type wire struct {
	t  *testing.T
	nc net.Conn
}

func dial(t *testing.T, addr string) *wire {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatalf("the server takes no connections: %v", err)
	}
	return &wire{t, nc}
}

func (w *wire) close() { _ = w.nc.Close() }

// ask sends a request and returns the answer, or nil when the server closed the
// connection. A server that does neither for ten seconds fails the test.
func (w *wire) ask(c *remoting.Command) *remoting.Command {
	w.t.Helper()
	b, err := remoting.AppendFrame(nil, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.send(b)
}

// send writes bytes and returns the first frame that comes back, or nil.
func (w *wire) send(b []byte) *remoting.Command {
	w.t.Helper()
	_ = w.nc.SetDeadline(time.Now().Add(25 * time.Second))
	if _, err := w.nc.Write(b); err != nil {
		return nil
	}
	return w.receive()
}

func (w *wire) receive() *remoting.Command {
	w.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(w.nc, head[:]); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.t.Fatalf("neither an answer nor the end of the connection within 25 s")
		}
		return nil
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(w.nc, frame); err != nil {
		return nil
	}
	c, err := remoting.ParseFrame(frame)
	if err != nil {
		w.t.Fatalf("the server answers with garbage: %v", err)
	}
	return c
}

// exchange sends a request and reads its answer; nil says that the connection broke.
func exchange(nc net.Conn, c *remoting.Command) *remoting.Command {
	b, err := remoting.AppendFrame(nil, c)
	if err != nil {
		return nil
	}
	_ = nc.SetDeadline(time.Now().Add(25 * time.Second))
	if _, err := nc.Write(b); err != nil {
		return nil
	}
	var head [4]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return nil
	}
	frame := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(nc, frame); err != nil {
		return nil
	}
	ans, err := remoting.ParseFrame(frame)
	if err != nil {
		return nil
	}
	return ans
}

// request makes a request with the given header fields, name after value.
func request(code int, fields ...string) *remoting.Command {
	c := remoting.NewRequest(code)
	for i := 0; i+1 < len(fields); i += 2 {
		c.Ext.Set(fields[i], fields[i+1])
	}
	return c
}

func send(topic string, queue int, body string, properties ...string) *remoting.Command {
	props := map[string]string{}
	for i := 0; i+1 < len(properties); i += 2 {
		props[properties[i]] = properties[i+1]
	}
	c := request(protocol.SendMessageV2, "a", "group", "b", topic, "c", "TBW102", "d", "4", "e", strconv.Itoa(queue), "f", "0",
		"g", "1", "h", "0", "i", string(message.AppendProperties(nil, props)), "j", "0", "k", "false", "m", "false")
	c.Body = []byte(body)
	return c
}

// rss is the resident memory of a process in MiB.
func rss(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatalf("the process is gone: %v", err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kb / 1024
		}
	}
	return 0
}

// served fails the test unless the cluster still does its work for others.
func (c *cluster) served(t *testing.T, after string) {
	t.Helper()
	c.names.alive()
	c.broker.alive()
	for addr, req := range map[string]*remoting.Command{c.namesAddr: request(protocol.GetBrokerClusterInfo), c.brokerAddr: send("alive", 0, "x")} {
		w := dial(t, addr)
		ans := w.ask(req)
		w.close()
		if ans == nil || ans.Code != protocol.Success {
			t.Fatalf("after %s: %s answers %v", after, addr, ans)
		}
	}
}

func frameOf(announced uint32, header []byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, announced)
	b = binary.BigEndian.AppendUint32(b, uint32(len(header)))
	return append(append(b, header...), body...)
}

func jsonFrame(header string, body ...byte) []byte {
	return frameOf(uint32(4+len(header)+len(body)), []byte(header), body)
}

// Bytes that are no frame, or a frame that is no request, cost the connection that they
// came over and nothing else.
func TestGarbageBytes(t *testing.T) {
	seed := seedOf(t)
	r := rand.New(rand.NewPCG(seed, 0))
	c := startCluster(t)
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	manyFields := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"code":10,"flag":0,"opaque":1,"extFields":{`)
		for i := range n {
			fmt.Fprintf(&b, `"%x":"",`, i)
		}
		return b.String() + `"z":""}}`
	}
	cases := map[string][]byte{
		"random bytes":      noise,
		"2 GiB":             frameOf(2<<30, nil, nil),
		"4 GiB":             frameOf(math.MaxUint32, nil, nil),
		"nothing announced": {0, 0, 0, 0},
		"header beyond":     binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), 0x00ffffff),
		"form 77":           binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 8), 77<<24|4),
		"TLS hello":         append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, noise[:500]...),
		"HTTP":              []byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
		"a web form":        []byte("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd"),
		"no JSON":           jsonFrame("hello"),
		"deep JSON":         jsonFrame(`{"code":10,"x":` + strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000) + "}"),
		"deep fields":       jsonFrame(`{"code":10,"extFields":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + "}"),
		"code as text":      jsonFrame(`{"code":"ten"}`),
		"code too large":    jsonFrame(`{"code":99999999999999999999}`),
		"fields as list":    jsonFrame(`{"code":10,"extFields":[1,2]}`),
		"400,000 fields":    jsonFrame(manyFields(400_000)),
		"huge remark":       jsonFrame(`{"code":10,"remark":"` + strings.Repeat("x", 8<<20) + `"}`),
	}
	for name, b := range cases {
		for _, addr := range []string{c.namesAddr, c.brokerAddr} {
			w := dial(t, addr)
			_, _ = w.nc.Write(b)
			if tcp, ok := w.nc.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			_ = w.nc.SetReadDeadline(time.Now().Add(25 * time.Second))
			if _, err := io.Copy(io.Discard, w.nc); err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%s: %s neither answers nor closes the connection within 25 s", name, addr)
				}
			}
			w.close()
		}
		c.served(t, name)
	}
	t.Logf("broker %d MiB, name server %d MiB", rss(t, c.broker.proc.Pid()), rss(t, c.names.proc.Pid()))
}

// Requests that are well formed and mean nonsense are answered, and leave nothing behind.
func TestGarbageRequests(t *testing.T) {
	c := startCluster(t)
	c.served(t, "the start")
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	topics := []string{"../../etc/passwd", "a/b", "a\x00b", strings.Repeat("t", 300), "", "..", ".", " ", "%RETRY%",
		"%RETRY%../x", "SCHEDULE_TOPIC_XXXX",
		"RMQ_SYS_TRANS_HALF_TOPIC", "тема", "a\nb", "-", strings.Repeat("é", 100), "TBW102", "alive"}
	numbers := []string{"-1", "2147483647", "2147483648", "-2147483648", "9223372036854775807", "-9223372036854775808",
		"99999999999999999999", "x", "", "1.5", "1e3", "NaN", "0x10"}
	var requests []*remoting.Command
	for _, topic := range topics {
		requests = append(requests, send(topic, 0, "body"), send(topic, -1, "body"),
			request(protocol.GetMaxOffset, "topic", topic, "queueId", "0"),
			request(protocol.UpdateAndCreateTopic, "topic", topic, "defaultTopic", "TBW102", "readQueueNums", "4", "writeQueueNums", "4", "perm",
				"6", "topicFilterType", "SINGLE_TAG", "topicSysFlag", "0", "order", "false"),
			request(protocol.DeleteTopicInBroker, "topic", topic),
			request(protocol.GetTopicStatsInfo, "topic", topic),
			request(protocol.GetRouteInfoByTopic, "topic", topic),
			request(protocol.UpdateConsumerOffset, "consumerGroup", topic, "topic", topic, "queueId", "0", "commitOffset", "1"),
			request(protocol.GetConsumeStats, "consumerGroup", topic, "topic", topic),
			request(protocol.UpdateAndCreateSubscriptionGroup, "x", topic))
	}
	for _, n := range numbers {
		pull := []string{"consumerGroup", "g", "topic", "alive", "queueId", "0", "queueOffset", "0", "maxMsgNums", "32", "sysFlag",
			"4", "commitOffset", "0",
			"suspendTimeoutMillis", "0", "subscription", "*", "subVersion", "0", "expressionType", "TAG"}
		for i := 4; i < len(pull); i += 2 {
			fields := slices.Clone(pull)
			fields[i+1] = n
			requests = append(requests, request(protocol.PullMessage, fields...))
		}
		for i, letter := range []string{"d", "e", "f", "g", "h", "j", "k", "l", "m"} {
			s := send("alive", 0, "body")
			s.Ext.Set(letter, n)
			if i%2 == 0 {
				s.Serialization = remoting.SerializationRocketMQ
			}
			requests = append(requests, s)
		}
		for _, code := range []int{protocol.GetMaxOffset, protocol.GetMinOffset, protocol.GetEarliestMsgStoreTime, protocol.QueryConsumerOffset, protocol.UpdateConsumerOffset, protocol.SearchOffsetByTimestamp, protocol.ViewMessageByID} {
			requests = append(requests,
				request(code, "topic", "alive", "queueId", n, "consumerGroup", "g", "timestamp", "0", "commitOffset", "1", "offset", "0"),
				request(code, "topic", "alive", "queueId", "0", "consumerGroup", "g", "timestamp", n, "commitOffset", n, "offset", n))
		}
		requests = append(requests,
			request(protocol.UpdateAndCreateTopic, "topic", "numbers", "defaultTopic", "TBW102", "readQueueNums", n, "writeQueueNums", n, "perm",
				n, "topicFilterType", "SINGLE_TAG", "topicSysFlag", n, "order", "false"),
			request(protocol.EndTransaction, "producerGroup", "g", "tranStateTableOffset", n, "commitLogOffset", n, "commitOrRollback", "8",
				"fromTransactionCheck", "false", "msgId", "m", "transactionId", "t"),
			request(protocol.EndTransaction, "producerGroup", "g", "tranStateTableOffset", "0", "commitLogOffset", "0", "commitOrRollback", n,
				"fromTransactionCheck", "false", "msgId", "m", "transactionId", "t"),
			request(protocol.OpenWriter, "writer", "w", "term", n, "opener", "o"),
			request(protocol.OpenWriter, "writer", "../w\x00", "term", "1", "opener", strings.Repeat("o", 1<<20)),
			request(protocol.Resolve, "writer", "w", "term", n),
			request(protocol.RegisterBroker, "brokerName", "b", "brokerAddr", "1.2.3.4:5", "clusterName", "c", "haServerAddr", "", "brokerId", n,
				"compressed", "false", "bodyCrc32", "0"),
			request(protocol.WipeWritePermOfBroker, "brokerName", n))
	}
	for code := range 400 {
		requests = append(requests, request(code), request(31000+code), request(200000+code), request(-code), request(math.MaxInt32-code))
	}
	for _, body := range []string{"", "null", "[]", "{}", "x", deep, `{"clientID":5}`, `{"clientID":"c","consumerDataSet":[null]}`, `{"clientID":"c","consumerDataSet":[{"groupName":"g","subscriptionDataSet":[null,{"topic":"../x"}]}]}`,
		`{"commit":[{"id":"x@-1","transactionId":"t"},{"id":"","transactionId":""},null],"rollback":[{"id":"k@9223372036854775807","transactionId":"k"}]}`,
		`{"groupName":"../../x"}`, `{"groupName":"g","retryQueueNums":2147483647}`,
		`{"topicConfigSerializeWrapper":{"topicConfigTable":{"a":null}}}`, strings.Repeat(`{"a":`, 50_000)} {
		for _, code := range []int{protocol.HeartBeat, protocol.Resolve, protocol.UpdateAndCreateSubscriptionGroup, protocol.RegisterBroker, protocol.QueryDataVersion, protocol.SendBatchMessage, protocol.SendMessage} {
			req := request(code, "writer", "w", "term", "1", "brokerName", "b", "brokerAddr", "1.2.3.4:5", "clusterName", "c", "haServerAddr", "",
				"brokerId", "0", "compressed", "true", "bodyCrc32", "0")
			req.Body = []byte(body)
			requests = append(requests, req)
			other := request(code, "writer", "w", "term", "1", "brokerName", "b", "brokerAddr", "1.2.3.4:5", "clusterName", "c", "haServerAddr",
				"", "brokerId", "0", "compressed", "false", "bodyCrc32", "0")
			other.Body = req.Body
			requests = append(requests, other)
		}
	}
	requests = append(requests, batches()...)
	answered := 0
	for _, addr := range []string{c.namesAddr, c.brokerAddr} {
		w := dial(t, addr)
		for _, req := range requests {
			if req.IsOneway() {
				continue
			}
			req.Language = remoting.LanguageJava // one request of a Go client gets no answer, on purpose
			if ans := w.ask(req); ans == nil {
				t.Errorf("%s closed the connection after %s %v", addr, req, req.Ext.Map())
				w.close()
				w = dial(t, addr)
			} else {
				answered++
			}
			c.names.alive()
			c.broker.alive()
		}
		w.close()
	}
	c.served(t, "garbage requests")
	t.Logf("%d requests answered; broker %d MiB, name server %d MiB", answered, rss(t, c.broker.proc.Pid()), rss(t, c.names.proc.Pid()))
	c.broker.terminate()
	c.broker.start()
	listening(t, c.broker, c.brokerAddr)
	c.served(t, "a restart")
	c.broker.terminate()
	c.names.terminate()
	verifyStore(t, c.store)
}

// batches are sends of batches whose items lie about their lengths.
func batches() []*remoting.Command {
	item := func(total, body, props uint32) []byte {
		b := binary.BigEndian.AppendUint32(nil, total)
		b = append(b, make([]byte, 12)...)
		b = binary.BigEndian.AppendUint32(b, body)
		b = append(b, "hello"...)
		return binary.BigEndian.AppendUint16(b, uint16(props))
	}
	good, _ := message.AppendBatchItem(nil, message.BatchItem{Body: []byte("x")})
	empty, _ := message.AppendBatchItem(nil, message.BatchItem{})
	var list []*remoting.Command
	for _, body := range [][]byte{nil, {0}, item(27, 5, 0), item(math.MaxUint32, 5, 0), item(27, math.MaxUint32, 0), item(27, 5, 0xffff), item(0, 5, 0), item(5, 5, 0),
		append(slices.Clone(good), 0), append(slices.Clone(good), good[:10]...), bytes.Repeat(empty, 150_000)} {
		for _, queue := range []int{0, -1, 77} {
			req := send("alive", queue, string(body))
			req.Code = protocol.SendBatchMessage
			req.Ext.Set("m", "true")
			list = append(list, req)
			half := send("alive", queue, string(body), message.PropertyTransactionPrepared, "true")
			half.Ext.Set("f", "4")
			list = append(list, half)
		}
	}
	return list
}

// Queues that belong to a writer let nobody else in.
func TestOwnedQueuesRefuseStrangers(t *testing.T) {
	c := startCluster(t)
	w := dial(t, c.brokerAddr)
	defer w.close()
	must := func(code int, req *remoting.Command, what string) *remoting.Command {
		t.Helper()
		ans := w.ask(req)
		if ans == nil {
			t.Fatalf("%s: the connection was closed", what)
		}
		if ans.Code != code {
			t.Errorf("%s: answered %d (%s), expected %d", what, ans.Code, ans.Remark, code)
		}
		return ans
	}
	must(protocol.Success, request(protocol.UpdateAndCreateTopic, "topic", "owned", "defaultTopic", "TBW102", "readQueueNums", "2", "writeQueueNums", "2", "perm", "6",
		"topicFilterType", "SINGLE_TAG", "topicSysFlag", "0", "order", "false", "attributes", "+millrace.writer=p"), "create")
	link := func(term, lo, hi, prev string) []string {
		return []string{"mr_p", "p", "mr_term", term, "mr_lo", lo, "mr_hi", hi, "mr_prev", prev, "mr_from", "a", "mr_to", "b"}
	}
	must(protocol.MessageIllegal, send("owned", 0, "x"), "no writer properties")
	must(protocol.Fenced, send("owned", 0, "x", link("1", "1", "1", "0")...), "before any opening")
	must(protocol.Success, request(protocol.OpenWriter, "writer", "p", "term", "5", "opener", "me"), "open 5")
	must(protocol.Stale, request(protocol.OpenWriter, "writer", "p", "term", "5", "opener", "other"), "open 5 by another")
	must(protocol.Stale, request(protocol.OpenWriter, "writer", "p", "term", "4", "opener", "me"), "open 4")
	must(protocol.Fenced, send("owned", 0, "x", link("4", "1", "1", "0")...), "stale term")
	must(protocol.Fenced, send("owned", 0, "x", link("6", "1", "1", "0")...), "term of the future")
	must(protocol.Gap, send("owned", 0, "x", link("5", "8", "9", "7")...), "gap")
	must(protocol.Success, send("owned", 0, "x", link("5", "1", "9", "0")...), "first")
	must(protocol.Duplicate, send("owned", 0, "x", link("5", "1", "9", "0")...), "again")
	must(protocol.Gap, send("owned", 0, "x", link("5", "10", "18446744073709551615", "8")...), "gap at the end of numbers")
	for i, bad := range [][]string{link("x", "10", "11", "9"), link("5", "-1", "11", "9"), link("5", "12", "11", "9"), link("5", "10", "", "9"),
		link("18446744073709551616", "10", "11", "9"), {"mr_p", "p"},
		{"mr_p", "other", "mr_term", "5", "mr_lo", "10", "mr_hi", "11", "mr_prev", "9", "mr_from", "a", "mr_to", "b"}} {
		if ans := w.ask(send("owned", 0, "x", bad...)); ans == nil || ans.Code == protocol.Success {
			t.Errorf("bad link %d %v is answered %v", i, bad, ans)
		}
		half := send("owned", 0, "x", append(slices.Clone(bad), message.PropertyTransactionPrepared, "true")...)
		half.Ext.Set("f", "4")
		if ans := w.ask(half); ans == nil || ans.Code == protocol.Success {
			t.Errorf("half with bad link %d %v is answered %v", i, bad, ans)
		}
	}
	good, _ := message.AppendBatchItem(nil, message.BatchItem{Body: []byte("x"), Properties: message.AppendProperties(nil, map[string]string{"mr_p": "p"})})
	batch := send("owned", 0, string(good), link("5", "10", "11", "9")...)
	batch.Code = protocol.SendBatchMessage
	batch.Ext.Set("m", "true")
	must(protocol.MessageIllegal, batch, "batch")
	if ans := w.ask(request(protocol.GetMaxOffset, "topic", "owned", "queueId", "0")); ans == nil {
		t.Fatal("no answer")
	} else if end, _ := ans.Ext.Get("offset"); end != "1" {
		t.Errorf("the owned queue holds %s messages, one was let in", end)
	}
	c.served(t, "strangers at owned queues")
}

// Whatever many peers hold open or ask for at once, memory stays bounded.
func TestFloodsTakeBoundedMemory(t *testing.T) {
	floods := []struct {
		name string
		run  func(addr string) []*wire
	}{
		{"2,000 silent connections", func(addr string) []*wire { return open(t, addr, 2000) }},
		{"half frames of 15 MiB on 150 connections", func(addr string) []*wire {
			return write(open(t, addr, 150), frameOf(16<<20, nil, make([]byte, 15<<20)))
		}},
		{"heartbeats of 20,000 groups", func(addr string) []*wire { return heartbeats(t, addr, 20_000, 1, 1) }},
		{"heartbeats of 60,000 subscriptions", func(addr string) []*wire { return heartbeats(t, addr, 1, 60_000, 8) }},
		{"parked pulls with long filters", func(addr string) []*wire { return pulls(t, addr, 6, 4000) }},
		{"answers that nobody reads", func(addr string) []*wire { return unread(t, addr, 80) }},
		{"registrations that unpack to 64 MiB", func(addr string) []*wire { return registrations(t, addr, 30) }},
	}
	for _, f := range floods {
		c := startCluster(t)
		c.served(t, "the start")
		for name, p := range map[string]*program{c.namesAddr: c.names, c.brokerAddr: c.broker} {
			began := time.Now()
			peak := make(chan int)
			stop := make(chan struct{})
			go func() {
				most := 0
				for {
					select {
					case <-stop:
						peak <- most
						return
					case <-time.After(50 * time.Millisecond):
						most = max(most, rss(t, p.proc.Pid()))
					}
				}
			}()
			held := f.run(name)
			c.served(t, f.name)
			close(stop)
			most := <-peak
			for _, w := range held {
				w.close()
			}
			t.Logf("%s at %s: peak %d MiB, %.1f s", f.name, p.name, most, time.Since(began).Seconds())
			if most > 1000 {
				t.Errorf("%s: %s took %d MiB", f.name, p.name, most)
			}
			c.served(t, f.name+" ended")
		}
	}
}

func open(t *testing.T, addr string, n int) []*wire {
	list := make([]*wire, n)
	for i := range list {
		list[i] = dial(t, addr)
	}
	return list
}

func write(list []*wire, b []byte) []*wire {
	for _, w := range list {
		_ = w.nc.SetWriteDeadline(time.Now().Add(3 * time.Second))
		_, _ = w.nc.Write(b)
	}
	return list
}

func heartbeats(t *testing.T, addr string, groups, subscriptions, rounds int) []*wire {
	list := open(t, addr, 4)
	for i := range rounds {
		beat := protocol.HeartbeatData{ClientID: fmt.Sprint("c", i)}
		for g := range groups {
			d := protocol.ConsumerData{GroupName: fmt.Sprintf("flood_%d_%d", i, g)}
			for s := range subscriptions {
				d.SubscriptionDataSet = append(d.SubscriptionDataSet,
					protocol.SubscriptionData{Topic: fmt.Sprint("t", s), SubString: strings.Repeat("a||b||", 8)})
			}
			beat.ConsumerDataSet = append(beat.ConsumerDataSet, d)
			beat.ProducerDataSet = append(beat.ProducerDataSet, protocol.ProducerData{GroupName: d.GroupName})
		}
		req := request(protocol.HeartBeat)
		req.Body, _ = json.Marshal(beat)
		if b, err := remoting.AppendFrame(nil, req); err != nil {
			t.Fatal(err)
		} else {
			write(list[i%4:i%4+1], b)
		}
	}
	return list
}

func pulls(t *testing.T, addr string, connections, each int) []*wire {
	var tags strings.Builder
	for i := 0; tags.Len() < 16_000; i++ {
		fmt.Fprintf(&tags, "%x||", i)
	}
	req := request(protocol.PullMessage, "consumerGroup", "g", "topic", "alive", "queueId", "1", "queueOffset", "0", "maxMsgNums", "32",
		"sysFlag", "6", "commitOffset", "0",
		"suspendTimeoutMillis", "15000", "subscription", tags.String(), "subVersion", "0", "expressionType", "TAG")
	b, err := remoting.AppendFrame(nil, req)
	if err != nil {
		t.Fatal(err)
	}
	list := open(t, addr, connections)
	for range each {
		write(list, b)
	}
	return list
}

func unread(t *testing.T, addr string, connections int) []*wire {
	w := dial(t, addr)
	for range 40 {
		w.ask(send("alive", 2, strings.Repeat("x", 1<<20)))
	}
	w.close()
	req := request(protocol.PullMessage, "consumerGroup", "g", "topic", "alive", "queueId", "2", "queueOffset", "0", "maxMsgNums", "32",
		"maxMsgBytes", "4194304", "sysFlag", "4",
		"commitOffset", "0", "suspendTimeoutMillis", "0", "subscription", "*", "subVersion", "0", "expressionType", "TAG")
	b, _ := remoting.AppendFrame(nil, req)
	return write(open(t, addr, connections), bytes.Repeat(b, 500))
}

func registrations(t *testing.T, addr string, connections int) []*wire {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, _ = z.Write(binary.BigEndian.AppendUint32(nil, 63<<20))
	for range 63 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	req := request(protocol.RegisterBroker, "brokerName", "b", "brokerAddr", "1.2.3.4:5", "clusterName", "c", "haServerAddr", "",
		"brokerId", "0", "compressed", "true", "bodyCrc32", "0")
	req.Body = packed.Bytes()
	b, _ := remoting.AppendFrame(nil, req)
	return write(open(t, addr, connections), bytes.Repeat(b, 5))
}
