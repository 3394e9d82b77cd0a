package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/e2e/inprocess"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/remoting/protocol"
)

// Every message that a broker with sync flush has acknowledged is there after any number
// of kills, at the offset that was told, and the store's files agree with each other.
func TestAcknowledgedMessagesSurviveKills(t *testing.T) {
	seed := seedOf(t)
	r := rand.New(rand.NewPCG(seed, 2))
	c := startCluster(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	made := dial(t, c.brokerAddr)
	if ans := made.ask(request(protocol.UpdateAndCreateTopic, "topic", "kept", "defaultTopic", "TBW102", "readQueueNums", "4", "writeQueueNums", "4", "perm", "6",
		"topicFilterType", "SINGLE_TAG", "topicSysFlag", "0", "order", "false")); ans == nil || ans.Code != protocol.Success {
		t.Fatalf("create the topic: %v", ans)
	}
	made.close()
	var mu sync.Mutex
	acknowledged := map[string]string{} // body: queue and offset
	var next atomic.Int64
	var senders sync.WaitGroup
	sending, stop := context.WithCancel(ctx)
	for range 8 {
		senders.Go(func() {
			for sending.Err() == nil {
				keepSending(sending, c.brokerAddr, &next, func(body, place string) {
					mu.Lock()
					acknowledged[body] = place
					mu.Unlock()
				})
				select {
				case <-time.After(5 * time.Millisecond):
				case <-sending.Done():
				}
			}
		})
	}
	kills := 0
	for end := time.Now().Add(faultTime(t) / 2); time.Now().Before(end) || kills < 10; kills++ {
		<-time.After(time.Duration(100+r.IntN(1500)) * time.Millisecond)
		c.broker.alive()
		c.broker.kill()
		c.broker.start()
		listening(t, c.broker, c.brokerAddr)
	}
	stop()
	senders.Wait()
	found := readAll(ctx, t, c.namesAddr, "kept")
	for body, place := range acknowledged {
		if found[body] != place {
			t.Errorf("message %s was acknowledged at %s and is at %q", body, place, found[body])
		}
	}
	c.broker.terminate()
	verifyStore(t, c.store)
	t.Logf("%d kills, %d messages acknowledged, %d found", kills, len(acknowledged), len(found))
}

// keepSending sends over one connection until it breaks.
func keepSending(ctx context.Context, addr string, next *atomic.Int64, acknowledged func(body, place string)) {
	nc, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return
	}
	defer nc.Close()
	for ctx.Err() == nil {
		n := next.Add(1)
		body, queue := fmt.Sprint("m", n), int(n%4)
		ans := exchange(nc, send("kept", queue, body))
		if ans == nil {
			return
		}
		if ans.Code == protocol.Success {
			offset, _ := ans.Ext.Get("queueOffset")
			acknowledged(body, fmt.Sprintf("%d/%s", queue, offset))
		}
	}
}

// readAll reads every message of a topic: its body and where it stands.
func readAll(ctx context.Context, t *testing.T, namesrv, topic string) map[string]string {
	t.Helper()
	reader, err := client.NewReader(client.WithNameServers(namesrv))
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close(ctx) }()
	var queues []message.Queue
	inprocess.Until(ctx, t, "find the topic", 200*time.Millisecond, func() (bool, string) {
		queues, err = reader.Queues(ctx, topic)
		return err == nil, fmt.Sprint(err)
	})
	found := map[string]string{}
	for _, q := range queues {
		for at := int64(0); ; {
			r, err := reader.Pull(ctx, q, at, client.PullOptions{MaxMsgs: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range r.Messages {
				found[string(m.Body)] = fmt.Sprintf("%d/%d", m.QueueID, m.QueueOffset)
			}
			if at = r.Next; at >= r.Max {
				break
			}
		}
	}
	return found
}
