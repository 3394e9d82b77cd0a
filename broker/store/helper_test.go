package store

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/message"
)

// testConfig is a store with files so small that a script of a hundred messages crosses
// several of each kind.
func testConfig(dir string) Config {
	c := DefaultConfig()
	c.Dir = dir
	c.FileSizeCommitLog = 4096
	c.FileSizeConsumeQueue = 20 * 10
	c.IndexSlots, c.IndexEntries = 64, 128
	c.PreWriteBytes = 8192
	c.CheckpointBytes = 8192
	c.FileReservedTime = 0
	c.MaxMessageSize = 2048
	c.StoreHost = netip.MustParseAddrPort("10.0.0.1:10911")
	return c
}

func testRecord(topic string, queue int32, body string, props ...string) *message.Record {
	var p []byte
	for i := 0; i < len(props); i += 2 {
		p = message.AppendProperty(p, props[i], props[i+1])
	}
	return &message.Record{
		Topic: topic, QueueID: queue, Body: []byte(body), Properties: p, BornTimestamp: 1_700_000_000_000,
		BornHost: netip.MustParseAddrPort("10.0.0.2:4711"),
	}
}

// running is a store that runs until it is stopped.
type running struct {
	*Store
	t      testing.TB
	cancel context.CancelFunc
	done   chan error
}

func start(t testing.TB, fsys vfs.FS, cfg Config) *running {
	t.Helper()
	s, err := Open(cfg, fsys, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return run(t, s)
}

func run(t testing.TB, s *Store) *running {
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Store: s, t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(func() { r.stop() })
	return r
}

// stop stops and closes the store; a second time it does nothing.
func (r *running) stop() error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel = nil
	err := <-r.done
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return err
}

func (r *running) mustStop() {
	r.t.Helper()
	if err := r.stop(); err != nil {
		r.t.Fatalf("stop: %v", err)
	}
}

// put appends and waits for the answer.
func (r *running) put(rec *message.Record) PutResult {
	ch := make(chan PutResult, 1)
	r.Put(&PutRequest{Record: rec, Done: func(res PutResult) { ch <- res }})
	return <-ch
}

func (r *running) mustPut(rec *message.Record) PutResult {
	r.t.Helper()
	res := r.put(rec)
	if res.Err != nil {
		r.t.Fatalf("put: %v", res.Err)
	}
	return res
}

// settle waits until everything that was put can be read.
func (r *running) settle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	if err := r.WaitDispatched(ctx, r.MaxPhysical()); err != nil {
		r.t.Fatalf("wait for dispatch: %v", err)
	}
}

// bodies reads a whole queue.
func (r *running) bodies(topic string, queue int32) []string {
	r.t.Helper()
	b, err := bodies(r.Store, topic, queue)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func bodies(s *Store, topic string, queue int32) (out []string, err error) {
	at, top, ok := s.QueueRange(topic, queue)
	if !ok {
		return nil, nil
	}
	for at < top {
		res, err := s.Get(topic, queue, at, GetOptions{MaxMsgs: 32})
		if err != nil {
			return out, err
		}
		if res.Status != Found {
			return out, fmt.Errorf("get %s/%d at %d: status %d, bounds %d to %d", topic, queue, at, res.Status, res.Min, res.Max)
		}
		for _, b := range res.Messages() {
			rec, _, err := message.ParseRecord(b)
			if err != nil {
				return out, err
			}
			if rec.QueueOffset != at || rec.Topic != topic || rec.QueueID != queue {
				return out, fmt.Errorf("get %s/%d at %d: got %s/%d, offset %d", topic, queue, at, rec.Topic, rec.QueueID, rec.QueueOffset)
			}
			out = append(out, string(rec.Body))
			at++
		}
		if at != res.NextOffset {
			return out, fmt.Errorf("get %s/%d: next offset is %d behind offset %d", topic, queue, res.NextOffset, at-1)
		}
	}
	return out, nil
}
