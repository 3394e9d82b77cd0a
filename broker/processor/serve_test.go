package processor

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/millrace/millrace/remoting"
	"github.com/millrace/millrace/remoting/rpc"
)

// serveOn puts a processor behind a socket.
func serveOn(t *testing.T, p *Processor) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rpc.NewServer(rpc.ServerConfig{}, p, slog.New(slog.DiscardHandler)).Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// serve is serveOn with a client: it returns how to ask, as a Java client does.
func serve(t *testing.T, p *Processor) (ask func(code int) *remoting.Command) {
	t.Helper()
	addr := serveOn(t, p)
	client := rpc.NewClient(rpc.ClientConfig{}, slog.New(slog.DiscardHandler))
	t.Cleanup(client.Close)
	return func(code int) *remoting.Command {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
		defer cancel()
		req := remoting.NewRequest(code)
		req.Language = remoting.LanguageJava
		ans, err := client.Invoke(ctx, addr, req)
		if err != nil {
			t.Fatalf("%d: %v", code, err)
		}
		return ans
	}
}
