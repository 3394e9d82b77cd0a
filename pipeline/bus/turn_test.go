package bus

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/message"
	"github.com/millrace/millrace/pipeline/event"
)

// stuck is a broker that does not answer pulls, until it is told to.
type stuck struct {
	*twin
	asked chan struct{} // somebody waits for an answer
	on    chan struct{} // closed: it answers
}

func (s stuck) Pull(ctx context.Context, q message.Queue, offset int64, o client.PullOptions) (client.PullResult, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	select {
	case <-s.on:
		return s.twin.Pull(ctx, q, offset, o)
	case <-ctx.Done():
		return client.PullResult{}, ctx.Err()
	}
}

func stuckTwin(t *testing.T, topic string, bodies ...[]byte) stuck {
	t.Helper()
	tw := newTwin()
	if err := tw.CreateTopic(t.Context(), ownedTopic(topic, topic), "b"); err != nil {
		t.Fatal(err)
	}
	conn := &twinConn{t: tw, name: topic, terms: map[string]uint64{}}
	if _, err := conn.Open(t.Context(), "b", 1, "w"); err != nil {
		t.Fatal(err)
	}
	for i, body := range bodies {
		n := uint64(i + 1)
		_, err := conn.Send(t.Context(), message.Queue{Topic: topic, BrokerName: "b"}, &message.Message{Topic: topic, Body: body}, client.Link{Lo: n, Hi: n, Prev: n - 1})
		if err != nil {
			t.Fatal(err)
		}
	}
	return stuck{tw, make(chan struct{}, 1), make(chan struct{})}
}

// TestAKnownSchemaWaitsForNobody: one table's unknown schema is asked for at a broker that
// does not answer. Tables whose schemas are known go on, and who asks besides leaves when he
// is told to.
func TestAKnownSchemaWaitsForNobody(t *testing.T) {
	table := event.TableName{DB: "shop", Table: "orders"}
	one, two := scriptSchema(table, 0), scriptSchema(table, 1)
	tw := stuckTwin(t, event.SchemaTopic("p"), event.AppendSchema(nil, one), event.AppendSchema(nil, two))
	s := NewSchemas(tw, "p", "b")
	s.known[one.ID] = one
	found := make(chan error, 1)
	go func() {
		_, err := s.Schema(t.Context(), two.ID)
		found <- err
	}()
	<-tw.asked
	if got, err := s.Schema(t.Context(), one.ID); got != one || err != nil {
		t.Errorf("the known one: %v, %v", got, err)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.Schema(left, two.ID); err == nil {
		t.Error("who has left has got an answer")
	}
	close(tw.on)
	if err := <-found; err != nil {
		t.Error(err)
	}
}

// TestWhoWaitsToClaimMayLeave: another claim hangs at a broker that does not answer.
func TestWhoWaitsToClaimMayLeave(t *testing.T) {
	topic := event.ControlTopic("p")
	tw := stuckTwin(t, topic, []byte(`{"kind":"claim","sink":"lake","table":"shop.orders","generation":7}`))
	c := NewControl(&twinConn{t: tw.twin, name: topic, terms: map[string]uint64{}}, tw, "p", "b", "w1")
	claimed := make(chan uint64, 1)
	go func() {
		n, err := c.Claim(t.Context(), "lake", event.TableName{DB: "shop", Table: "orders"}, 0)
		if err != nil {
			t.Error(err)
		}
		claimed <- n.Generation
	}()
	<-tw.asked
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Claim(left, "lake", event.TableName{DB: "shop", Table: "items"}, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("who has left: %v", err)
	}
	close(tw.on)
	if n := <-claimed; n != 8 {
		t.Errorf("generation %d, want 8", n)
	}
}

// TestAClosedEndpointOpensNothing: what is asked of it later would stay for ever.
func TestAClosedEndpointOpensNothing(t *testing.T) {
	e := NewEndpoint(EndpointConfig{NameServers: "127.0.0.1:1", Broker: "b"}, slog.New(slog.DiscardHandler))
	if _, err := e.Schemas(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Subscribe(t.Context(), "p", "lake", SubscriptionConfig{}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("of a closed endpoint: %v", err)
	}
}
