package protocol_test

import (
	"testing"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
)

// BenchmarkSendV2 is what a broker does per send before it looks at the
// message: parse the frame, read the header, write the answer.
func BenchmarkSendV2(b *testing.B) {
	for _, form := range []remoting.Serialization{remoting.SerializationJSON, remoting.SerializationRocketMQ} {
		b.Run(map[remoting.Serialization]string{0: "JSON", 1: "ROCKETMQ"}[form], func(b *testing.B) {
			req := remoting.NewRequest(protocol.SendMessageV2)
			req.Serialization = form
			h := protocol.SendHeader{ProducerGroup: "group_p", Topic: "orders", DefaultTopic: "TBW102", DefaultTopicQueueNums: 4,
				BornTimestamp: 1700000000123, Properties: "UNIQ_KEY\x017F0000010BB818B4AAC27D2B5E6A0000\x02WAIT\x01true\x02",
				MaxReconsumeTimes: protocol.SomeInt32(16)}
			h.Encode(req)
			req.Body = make([]byte, 128)
			frame, err := remoting.AppendFrame(nil, req)
			if err != nil {
				b.Fatal(err)
			}
			var c remoting.Command
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Parse(frame[4:]); err != nil {
					b.Fatal(err)
				}
				got, err := protocol.DecodeSend(&c)
				if err != nil {
					b.Fatal(err)
				}
				ans := remoting.NewResponse(protocol.Success, "").AnswerTo(&c)
				r := protocol.SendResponseHeader{MsgID: "7F00000100002A9F0000000000001000", QueueID: got.QueueID, QueueOffset: 12345}
				r.Encode(ans)
				if out, err = remoting.AppendFrame(out[:0], ans); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
