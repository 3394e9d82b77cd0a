package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/namesrv"
)

// cluster runs a name server and brokers until the test ends.
func cluster(t *testing.T, brokers ...string) (names string) {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	run := func(run func(context.Context) error) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
	}
	silent := slog.New(slog.DiscardHandler)
	l := listen()
	ns, err := namesrv.New(namesrv.DefaultConfig(), namesrv.Deps{Listener: l}, silent)
	if err != nil {
		t.Fatal(err)
	}
	run(ns.Run)
	for _, name := range brokers {
		cfg := broker.DefaultConfig()
		cfg.BrokerName, cfg.StorePathRootDir, cfg.NamesrvAddr = name, t.TempDir(), l.Addr().String()
		cfg.MappedFileSizeCommitLog, cfg.MappedFileSizeConsumeQueue = 16<<20, 60000
		b, err := broker.New(cfg, broker.Deps{Listener: listen(), Log: silent})
		if err != nil {
			t.Fatal(err)
		}
		run(b.Run)
	}
	return l.Addr().String()
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func newClient(t *testing.T, brokers ...string) (*Client, string) {
	t.Helper()
	names := cluster(t, brokers...)
	c, err := New(client.WithNameServers(names))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(within(t)) })
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := c.ClusterInfo(within(t))
		if err == nil && len(info.Brokers) == len(brokers) {
			return c, names
		}
		select {
		case <-tick.C:
		case <-within(t).Done():
			t.Fatalf("brokers: %v, %v", info, err)
		}
	}
}

func TestTopicsAreCreatedChangedAndDeleted(t *testing.T) {
	c, _ := newClient(t, "a", "b")
	ctx := within(t)
	if err := c.CreateTopic(ctx, TopicConfig{Name: "everywhere", Queues: 2}, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic(ctx, TopicConfig{Name: "one", Queues: 3, Attributes: map[string]string{AttributeWriter: "pipe"}}, "b"); err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]int{"everywhere": 4, "one": 3} {
		r, err := c.Route(ctx, topic)
		if err != nil || len(r.Read) != want || len(r.Write) != want {
			t.Fatalf("%s: %+v, %v", topic, r, err)
		}
	}
	if err := c.CreateTopic(ctx, TopicConfig{Name: "everywhere", Queues: 5}, "a"); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Route(ctx, "everywhere"); err != nil || len(r.Read) != 7 {
		t.Fatalf("%+v, %v", r, err)
	}
	topics, err := c.Topics(ctx)
	if err != nil || !slices.Contains(topics, "one") || !slices.IsSorted(topics) {
		t.Fatalf("%v, %v", topics, err)
	}
	if err := c.DeleteTopic(ctx, "one", ""); err == nil || !strings.Contains(err.Error(), "pipe") {
		t.Fatalf("deleting a writer's topic: %v", err)
	}
	if r, err := c.Route(ctx, "one"); err != nil || len(r.Read) == 0 {
		t.Fatalf("the route of a topic that was to stay: %+v, %v", r, err)
	}
	if err := c.ForceDeleteTopic(ctx, "one", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Route(ctx, "one"); !errors.Is(err, client.ErrTopicNotFound) {
		t.Fatalf("route of a deleted topic: %v", err)
	}
	if err := c.DeleteTopic(ctx, "one", ""); !errors.Is(err, ErrNoTopic) {
		t.Fatalf("deleting it again: %v", err)
	}
	if err := c.DeleteTopic(ctx, "everywhere", ""); err != nil {
		t.Fatal(err)
	}
}

func TestBadTopicsAreRefused(t *testing.T) {
	c, _ := newClient(t, "a")
	for _, bad := range []TopicConfig{{Name: "", Queues: 1}, {Name: "a/b", Queues: 1}, {Name: "T", Queues: 0}, {Name: "T", Queues: 1 << 30}} {
		if err := c.CreateTopic(within(t), bad, "a"); err == nil {
			t.Errorf("%+v was created", bad)
		}
	}
	if err := c.CreateTopic(within(t), TopicConfig{Name: "T", Queues: 1}, "nobody"); !errors.Is(err, client.ErrBrokerNotFound) {
		t.Errorf("on an unknown broker: %v", err)
	}
}

func TestOffsetsAndFigures(t *testing.T) {
	c, names := newClient(t, "a")
	ctx := within(t)
	if err := c.CreateTopic(ctx, TopicConfig{Name: "T", Queues: 2}, "a"); err != nil {
		t.Fatal(err)
	}
	p, err := client.NewProducer(client.WithNameServers(names))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(within(t)) })
	q := message.Queue{Topic: "T", BrokerName: "a", QueueID: 1}
	for range 3 {
		if _, err := p.SendTo(ctx, q, message.New("T", []byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetConsumerOffset(ctx, "g", q, 2); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for { // messages are readable a moment after they are acknowledged
		got, err := c.ConsumerOffsets(ctx, "g", "T")
		if err != nil {
			t.Fatal(err)
		}
		want := []GroupOffset{{QueueStats{message.Queue{Topic: "T", BrokerName: "a"}, 0, 0}, got[0].Committed}, {QueueStats{q, 0, 3}, 2}}
		if slices.Equal(got, want) && got[0].Committed <= 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%+v", got)
		}
	}
	figures, err := c.BrokerRuntime(ctx, "a")
	if err != nil || figures["brokerVersionDesc"] == "" || figures["bootTimestamp"] == "" {
		t.Fatalf("%v, %v", figures, err)
	}
}
