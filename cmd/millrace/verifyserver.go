package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
)

// boundServer is the server that a pipeline reads, by its identity, as its daemon says; where
// that can't be told, identity is "" and why says why.
type boundServer struct{ identity, daemon, why string }

// askServer asks the daemon. One that is away may be so for good reasons: the comparison goes
// on with whatever server the address leads to, and that is said.
func askServer(ctx context.Context, daemon, name string) boundServer {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	status, err := httpapi.NewClient(daemon).Pipeline(ctx, name)
	switch {
	case err != nil:
		return boundServer{why: err.Error()}
	case status.Source.Server == "":
		return boundServer{why: fmt.Sprintf("the daemon at %s has not opened the source of %s since it was started", daemon, name)}
	}
	return boundServer{identity: status.Source.Server, daemon: daemon}
}

// bind has a reader read from that server alone.
func (b *boundServer) bind(source pipeline.Reader) {
	if one, ok := source.(pipeline.OneServer); ok && b.identity != "" {
		one.Of(b.identity)
	}
}

// explain says what it means that the address leads to another server.
func (b *boundServer) explain(err error) error {
	if b.identity == "" || !errors.Is(err, pipeline.ErrStrayed) {
		return err
	}
	return fmt.Errorf("%w; the pipeline reads %s, as the daemon at %s says: nothing was compared. Let source.address lead there, "+
		"or verify again when the pipeline has followed to the other server", err, b.identity, b.daemon)
}
