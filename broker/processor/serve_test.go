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

// serve puts a processor behind a socket and returns how to ask it.
func serve(t *testing.T, p *Processor) (ask func(code int) *remoting.Command) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rpc.NewServer(rpc.ServerConfig{}, p, log).Serve(ctx, ln) }()
	client := rpc.NewClient(rpc.ClientConfig{}, log)
	t.Cleanup(func() {
		client.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(code int) *remoting.Command {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
		defer cancel()
		ans, err := client.Invoke(ctx, ln.Addr().String(), remoting.NewRequest(code))
		if err != nil {
			t.Fatalf("%d: %v", code, err)
		}
		return ans
	}
}
