package rpc_test

import (
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// BenchmarkPingPong sends V2 send headers with 128 bytes of body over one
// connection of the loopback device and counts round trips, client included.
func BenchmarkPingPong(b *testing.B) {
	for _, bm := range []struct {
		name  string
		depth int
	}{{"depth=1", 1}, {"depth=64", 64}, {"depth=512", 512}} {
		b.Run(bm.name, func(b *testing.B) {
			s := startServer(b, rpc.ServerConfig{}, func(x *rpc.Exchange) {
				if _, err := protocol.DecodeSend(x.Request()); err != nil {
					panic(err)
				}
				ans := remoting.NewResponse(0, "")
				h := protocol.SendResponseHeader{MsgID: "7F00000100002A9F0000000000000000", QueueID: 3, QueueOffset: 12345}
				h.Encode(ans)
				x.Reply(ans)
			})
			c := newClient(b, rpc.ClientConfig{})
			body := make([]byte, 128)
			slots := make(chan struct{}, bm.depth)
			var wg sync.WaitGroup
			b.ReportAllocs()
			for b.Loop() {
				slots <- struct{}{}
				wg.Add(1)
				req := remoting.NewRequest(protocol.SendMessageV2)
				h := protocol.SendHeader{ProducerGroup: "group", Topic: "orders", DefaultTopic: "TBW102", DefaultTopicQueueNums: 4,
					QueueID: 3, BornTimestamp: 1700000000000, Properties: "UNIQ_KEY\x017F0000010000000000000000000000AB\x02WAIT\x01true\x02"}
				h.Encode(req)
				req.Body = body
				c.InvokeAsync(s.addr, req, 25*time.Second, func(_ *remoting.Command, err error) {
					if err != nil {
						b.Error(err)
					}
					<-slots
					wg.Done()
				})
			}
			wg.Wait()
		})
	}
}
