package remoting_test

import (
	"testing"

	"github.com/millrace/millrace/remoting"
)

func BenchmarkParseSendV2(b *testing.B) {
	for _, form := range []string{"JSON", "ROCKETMQ"} {
		frame := golden(b)["send-v2-"+form][4:]
		b.Run(form, func(b *testing.B) {
			var c remoting.Command
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				if err := c.Parse(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendSendV2(b *testing.B) {
	for _, form := range []string{"JSON", "ROCKETMQ"} {
		frame := golden(b)["send-v2-"+form][4:]
		b.Run(form, func(b *testing.B) {
			c, err := remoting.ParseFrame(frame)
			if err != nil {
				b.Fatal(err)
			}
			var buf []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				if buf, err = remoting.AppendFrame(buf[:0], c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
