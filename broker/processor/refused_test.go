package processor

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/protocol"
	"github.com/millrace/millrace/remoting/rpc"
)

func TestRefusedCodesAreCountedAndSaid(t *testing.T) {
	var out bytes.Buffer
	reg := prometheus.NewRegistry()
	p := New(Config{}, Deps{Metrics: NewMetrics(reg), Log: slog.New(slog.NewTextHandler(&out, nil))})
	now := time.Unix(1_700_000_000, 0)
	p.Now = func() time.Time { return now }
	ask := serve(t, p)
	for range 3 {
		ask(protocol.LockBatchMQ)
	}
	for code := 7000; code < 7050; code++ { // a peer chooses these: one line, one label
		ask(code)
	}
	now = now.Add(sayRefusedEvery)
	ask(protocol.LockBatchMQ)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), out.String())
	}
	for i, parts := range [][]string{
		{"code=41", "LOCK_BATCH_MQ", "remote=127.0.0.1:", "language=JAVA", "requests=1"},
		{"code=7000", "language=JAVA"},
		{"code=41", "requests=3"}, // two that no line told of, and the one now
	} {
		for _, part := range parts {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d lacks %s: %s", i, part, lines[i])
			}
		}
	}
	for labels, want := range map[[3]string]float64{
		{"41", "LOCK_BATCH_MQ", "JAVA"}: 4,
		{"unknown", "", "JAVA"}:         50,
	} {
		if got := testutil.ToFloat64(p.Metrics.refused.total.WithLabelValues(labels[:]...)); got != want {
			t.Errorf("%v: %v refusals are counted, want %v", labels, got, want)
		}
	}
	if n := testutil.CollectAndCount(p.Metrics.refused.total); n != 2 {
		t.Errorf("%d series", n)
	}
}

// TestWhatWouldBeMisreadGetsNoAnswer looks at answers in the order in which the connection
// brings them: what is asked later is answered, and nothing came before it.
func TestWhatWouldBeMisreadGetsNoAnswer(t *testing.T) {
	p := New(Config{}, Deps{Metrics: NewMetrics(nil)})
	addr := serveOn(t, p)
	var answered []string
	client := rpc.NewClient(rpc.ClientConfig{Hooks: []rpc.Hook{{Answer: func(_ string, req, ans *remoting.Command) rpc.Verdict {
		answered = append(answered, fmt.Sprintf("%s %d: %d", req.Language, req.Code, ans.Code))
		return rpc.Verdict{}
	}}}}, slog.New(slog.DiscardHandler))
	defer client.Close()
	request := func(language remoting.Language, code int) *remoting.Command {
		req := remoting.NewRequest(code)
		req.Language = language
		return req
	}
	conn, err := client.Conn(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.InvokeAsync(request(remoting.LanguageGo, protocol.ConsumerSendMsgBack), time.Minute, func(*remoting.Command, error) {}); err != nil {
		t.Fatal(err)
	}
	for _, req := range []*remoting.Command{request(remoting.LanguageJava, protocol.ConsumerSendMsgBack), request(remoting.LanguageGo, protocol.LockBatchMQ)} {
		if _, err := conn.Invoke(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"JAVA 36: 3", "GO 41: 3"}; !slices.Equal(answered, want) {
		t.Errorf("answered: %q, want %q: the Go client takes any answer to 36 for success", answered, want)
	}
	if n := testutil.ToFloat64(p.Metrics.refused.total.WithLabelValues("36", "CONSUMER_SEND_MSG_BACK", "GO")); n != 1 {
		t.Errorf("%v requests without an answer are counted", n)
	}
}
