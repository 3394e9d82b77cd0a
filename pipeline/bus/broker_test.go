package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/namesrv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

// cluster is a name server and a broker in this process, on a disk.
type cluster struct {
	t     testing.TB
	dir   string
	names string
	stop  func()
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	s, err := namesrv.New(namesrv.DefaultConfig(), namesrv.Deps{Listener: l}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, s.Run)
	c := &cluster{t: t, dir: t.TempDir(), names: l.Addr().String()}
	c.start()
	return c
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func runUntilEnd(t testing.TB, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("service: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func (c *cluster) start() {
	c.t.Helper()
	cfg := broker.DefaultConfig()
	cfg.BrokerName, cfg.StorePathRootDir, cfg.NamesrvAddr = "b", c.dir, c.names
	cfg.MappedFileSizeCommitLog, cfg.MappedFileSizeConsumeQueue = 16<<20, 60000
	b, err := broker.New(cfg, broker.Deps{Listener: listen(c.t, "127.0.0.1:0"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.stop = runUntilEnd(c.t, b.Run)
	c.waitRegistered()
}

// waitRegistered waits until the name server tells of the broker.
func (c *cluster) waitRegistered() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	a, err := admin.New(client.WithNameServers(c.names))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := a.Start(ctx); err != nil {
		c.t.Fatal(err)
	}
	defer a.Close(ctx)
	for {
		info, err := a.ClusterInfo(ctx)
		if err == nil && len(info.Brokers) == 1 {
			return
		}
		if err := pause.For(ctx, 5*time.Millisecond); err != nil {
			c.t.Fatalf("the broker did not register: %v", err)
		}
	}
}

// connect makes a publisher's connections, with a short patience for answers that the
// hook drops.
func (c *cluster) connect(hook rpc.Hook) func(context.Context) (publisherDeps, error) {
	e := NewEndpoint(EndpointConfig{NameServers: c.names, Broker: "b", Worker: "w", Options: []client.Option{
		client.WithHook(hook), client.WithRetryBackoff(5 * time.Millisecond),
	}}, slog.New(slog.DiscardHandler))
	if hook.Answer != nil {
		e.writerOptions = []client.WriterOption{client.WithSendTimeout(500 * time.Millisecond)}
	}
	return e.connectPublisher("p", "b")
}

// snapshot reads everything that the broker holds into a twin, which check reads.
func (c *cluster) snapshot(s *script) *twin {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := client.NewReader(client.WithNameServers(c.names))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := r.Start(ctx); err != nil {
		c.t.Fatal(err)
	}
	defer r.Close(ctx)
	t := newTwin()
	topics := map[string]int{event.CheckpointTopic("p"): 1}
	for table, n := range s.queues {
		topics[event.TopicName("p", table)] = n
	}
	for topic, n := range topics {
		for i := range n {
			q := message.Queue{Topic: topic, BrokerName: "b", QueueID: int32(i)}
			if err := copyQueue(ctx, r, q, t.queueLocked(q)); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	return t
}

func copyQueue(ctx context.Context, r *client.Reader, q message.Queue, to *twinQueue) error {
	_, end, err := bounds(ctx, r, q)
	if err != nil {
		return err
	}
	for at := int64(0); at < end; {
		got, err := r.Pull(ctx, q, at, client.PullOptions{MaxMsgs: 100})
		if err != nil {
			return err
		}
		for i := range got.Messages {
			m := &got.Messages[i]
			number := func(key string) uint64 {
				v, _ := m.Property(key)
				n, _ := strconv.ParseUint(v, 10, 64)
				return n
			}
			from, _ := m.Property(message.PropertyFrom)
			end, _ := m.Property(message.PropertyTo)
			to.messages = append(to.messages, twinMessage{
				m: message.Message{Topic: q.Topic, Body: m.Body},
				link: client.Link{Lo: number(message.PropertyLo), Hi: number(message.PropertyHi),
					Prev: number(message.PropertyPrev), From: from, To: end},
			})
		}
		at = got.Next
	}
	return nil
}

// publish is one opening over the real broker.
func (c *cluster) publish(ctx context.Context, rig *rig, hook rpc.Hook) error {
	p, err := newPublisher(rig.cfg, rig.log, c.connect(hook))
	if err != nil {
		return err
	}
	resume, err := p.Open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	err = rig.publish(ctx, p, resume)
	cancel()
	return errors.Join(err, ignoreCanceled(<-ran))
}

func TestScriptOverTheBroker(t *testing.T) {
	c := newCluster(t)
	rng := rand.New(rand.NewPCG(seed(t), 0))
	rig := newRig(newScript(rng, 40), tight(rng))
	if err := c.publish(t.Context(), rig, rpc.Hook{}); err != nil {
		t.Fatal(err)
	}
	if err := check(c.snapshot(rig.s), rig.s, "p"); err != nil {
		t.Fatal(err)
	}
}

// writes are the requests at which the broker suite crashes.
var writes = map[int]bool{
	protocol.OpenWriter: true, protocol.Resolve: true, protocol.SendMessage: true, protocol.SendMessageV2: true,
}

// TestCrashesOverTheBroker fails requests and loses answers at random, and restarts the
// broker between publishers.
func TestCrashesOverTheBroker(t *testing.T) {
	s := seed(t)
	for run := range 4 {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			c := newCluster(t)
			rng := rand.New(rand.NewPCG(s, uint64(run)))
			rig := newRig(newScript(rng, 30), tight(rng))
			for opening := 0; ; opening++ {
				ctx, cancel := context.WithCancel(t.Context())
				left := atomic.Int64{}
				left.Store(int64(1 + rng.IntN(60)))
				lose := rng.IntN(2) == 0
				if opening > 8 {
					left.Store(1 << 40)
				}
				err := c.publish(ctx, rig, rpc.Hook{
					Request: func(_ string, req *remoting.Command) error {
						if writes[req.Code] && !lose && left.Add(-1) <= 0 {
							cancel()
							return errCrash
						}
						return nil
					},
					Answer: func(_ string, req, _ *remoting.Command) rpc.Verdict {
						if writes[req.Code] && lose && left.Add(-1) <= 0 {
							cancel()
							return rpc.Verdict{Drop: true}
						}
						return rpc.Verdict{}
					},
				})
				cancel()
				if err == nil {
					break
				}
				if errors.Is(err, errBroken) || opening > 20 {
					t.Fatal(err)
				}
				if rng.IntN(3) == 0 {
					c.stop()
					c.start()
				}
			}
			if err := check(c.snapshot(rig.s), rig.s, "p"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestADeliveryIsItsReadersUntilDone reads what a broker holds and keeps deliveries for a
// while before it looks at them: the memory of pulls and slices is used again, and none of it
// while somebody has it.
func TestADeliveryIsItsReadersUntilDone(t *testing.T) {
	const messages, topic = 60, "plain"
	c := newCluster(t)
	deps, err := c.connect(rpc.Hook{})(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := deps.topics.CreateTopic(t.Context(), admin.TopicConfig{Name: topic, Queues: 1}, "b"); err != nil {
		t.Fatal(err)
	}
	p, err := client.NewProducer(client.WithNameServers(c.names), client.WithCompression(message.CompressionZLIB, -1))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	rng := rand.New(rand.NewPCG(seed(t), 0))
	var bodies [][]byte
	for n := event.Seq(0); n < messages; n++ {
		s := rowSlice(n*10, n*10+2, n*10+10) // frames that the connection lends out are large
		for i := range s.Rows {
			s.Rows[i].After = bytes.Repeat([]byte{byte(rng.Uint32())}, 50_000+rng.IntN(100_000))
		}
		s.Table = subTable
		body, err := event.AppendSlice(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Send(t.Context(), &message.Message{Topic: topic, Body: body}); err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	e := NewEndpoint(EndpointConfig{NameServers: c.names, Broker: "b", Worker: "w"}, slog.New(slog.DiscardHandler))
	defer e.Close(context.Background())
	sub, err := e.Subscribe(t.Context(), "p", "lake",
		SubscriptionConfig{Table: subTable, Queues: []pipeline.QueueID{{Broker: "b", Topic: topic}}})
	if err != nil {
		t.Fatal(err)
	}
	defer runUntilEnd(t, sub.Run)()
	look := func(d Delivery) {
		if got, err := event.AppendSlice(nil, d.Slice); err != nil || !bytes.Equal(got, bodies[d.Offset]) {
			t.Errorf("the message at offset %d is another one when it is looked at: %v", d.Offset, err)
		}
		sub.Done(d)
	}
	var kept []Delivery
	for range messages {
		d, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for kept = append(kept, d); len(kept) > rng.IntN(20); {
			i := rng.IntN(len(kept))
			look(kept[i])
			kept[i] = kept[len(kept)-1]
			kept = kept[:len(kept)-1]
		}
	}
	for _, d := range kept {
		look(d)
	}
}
