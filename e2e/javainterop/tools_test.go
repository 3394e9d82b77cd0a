package javainterop

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/broker"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/client/admin"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/namesrv"
)

// ourCluster is a name server and a broker of ours; it returns the name server's address.
func ourCluster(t *testing.T) string {
	t.Helper()
	cfg := namesrv.DefaultConfig()
	cfg.ListenPort = 0
	n, err := namesrv.New(cfg, namesrv.Deps{}, testLog())
	if err != nil {
		t.Fatal(err)
	}
	s := run(n.Run)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("our name server, on stop: %v", err)
		}
	})
	ourBroker(t, t.TempDir(), n.Addr(), func(c *broker.Config) {
		c.TransactionTimeOut, c.TransactionCheckInterval = 200, 200
	})
	return n.Addr()
}

// inOrder fails unless out has the words one behind the other.
func inOrder(t *testing.T, out string, words ...string) {
	t.Helper()
	rest := out
	for _, w := range words {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("no %q, or not in its place, in:\n%s", w, out)
		}
		rest = after
	}
}

func TestJavaTools(t *testing.T) {
	java, names := testenv.NeedRocketMQ(t), ourCluster(t)
	a := newAdmin(t, names)
	if err := a.CreateTopic(t.Context(), admin.TopicConfig{Name: "orders", Queues: 2}, ""); err != nil {
		t.Fatal(err)
	}
	p := newProducer(t, names, nil)
	q := message.Queue{Topic: "orders", BrokerName: brokerName, QueueID: 1}
	for n := range 7 {
		if _, err := p.SendTo(t.Context(), q, message.New("orders", fmt.Appendf(nil, "%d", n))); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan struct{}, 7)
	c, err := client.NewPushConsumer("tools-c", func(_ context.Context, msgs []*client.ReceivedMessage) error {
		for range msgs {
			got <- struct{}{}
		}
		return nil
	}, client.WithNameServers(names), client.WithSubscription("orders", "*"), client.WithStart(client.StartFirst()),
		client.WithHeartbeatInterval(time.Second))
	if err == nil {
		err = c.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the consumer to get all", func() error {
		if n := len(got); n < cap(got) {
			return fmt.Errorf("it got %d", n)
		}
		return nil
	})
	if err := c.Close(t.Context()); err != nil { // it commits
		t.Fatal(err)
	}
	for _, tc := range []struct {
		command string
		want    []string
	}{
		{"clusterList", []string{"DefaultCluster", brokerName, "127.0.0.1:"}},
		{"topicList", []string{"orders"}},
		{"topicList -c", []string{"DefaultCluster", "orders"}},
		{"topicRoute -t orders", []string{`"brokerName":"` + brokerName + `"`, `"readQueueNums":2`}},
		{"topicStatus -t orders", []string{brokerName, "1", "0", "7"}},
		{"consumerProgress -g tools-c", []string{"orders", brokerName, "1", "7", "7", "Consume Diff Total: 0"}},
		{"brokerStatus -b " + brokerAddr(t, a), []string{"brokerVersionDesc", "Millrace"}},
		{"updateTopic -c DefaultCluster -t by-java -r 3 -w 3", []string{"success", "readQueueNums=3"}},
	} {
		t.Run(tc.command, func(t *testing.T) {
			t.Parallel()
			out, err := java.Admin(t.Context(), t.TempDir(), names, strings.Fields(tc.command)...)
			if err != nil {
				t.Fatal(err)
			}
			inOrder(t, out, tc.want...)
		})
	}
}

func brokerAddr(t *testing.T, a *admin.Client) string {
	t.Helper()
	c, err := a.ClusterInfo(t.Context())
	if err != nil || len(c.Brokers) != 1 {
		t.Fatalf("brokers: %v, %v", c.Brokers, err)
	}
	return c.Brokers[0].Addrs[0]
}

func TestJavaClient(t *testing.T) {
	t.Parallel()
	java, names := testenv.NeedRocketMQ(t), ourCluster(t)
	if err := newAdmin(t, names).CreateTopic(t.Context(), admin.TopicConfig{Name: "peer", Queues: 4}, ""); err != nil {
		t.Fatal(err)
	}
	program, err := filepath.Abs("testdata/Peer.java")
	if err != nil {
		t.Fatal(err)
	}
	out, err := java.Run(t.Context(), t.TempDir(), program, names)
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`(?m)^(pushed|polled|done).*$`).FindAllString(out, -1)
	slices.Sort(got)
	want := []string{"done", "polled blue", "pushed async", "pushed batch-0", "pushed batch-1", "pushed batch-2",
		"pushed batch-3", "pushed batch-4",
		"pushed checked", "pushed committed", "pushed large-compressed com", "pushed oneway", "pushed selected", "pushed sync"}
	if !slices.Equal(got, want) {
		t.Errorf("it got\n%q\nnot\n%q\n%s", got, want, out)
	}
}
