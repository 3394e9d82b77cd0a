package mysql

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/connectors/mysql/snapshot"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// keyless is the snapshot of a table without a key: one consistent snapshot at a place
// where the reader stops, hands all rows over and goes on.
type keyless struct {
	holds  bool // the reader must not move
	at     place
	opened bool
	conn   *snapshot.Conn
	blocks chan block
	cancel context.CancelFunc
}

// block is a part of the table's rows, the last one with done or an error.
type block struct {
	images []event.Image
	done   bool
	err    error
}

func (k *keyless) close() {
	k.cancel()
	if k.conn != nil {
		k.conn.Close()
	}
}

// advanceKeyless opens the snapshot while the reader waits, lets it come to the
// snapshot's place, and hands the rows over there.
func (c *capture) advanceKeyless(a *attempt, here place) error {
	k := a.keyless
	switch {
	case k == nil && a.stage == asked:
		a.stage = asking
		c.askEnd(a)
	case k == nil && a.stage == nearing && seeded.On("keyless-begin-early") && a.ev.Begin == 0 && !here.less(a.goal):
		c.begin(a)
		a.goal = place{file: here.file, pos: here.pos + 1} // the snapshot is opened somewhere behind it
	case k == nil && a.stage == nearing:
		// Waiting at the request's end first keeps the reader's stop short.
		if !here.less(a.goal) {
			c.openKeyless(a, here)
		}
	case k == nil && a.stage == ending:
		c.finish(a)
	case k == nil || !k.opened:
	case here.less(k.at):
		k.holds = false
	case k.at.less(here):
		c.failed(a, fmt.Errorf("the snapshot was opened at %v, where no transaction ends", k.at))
		c.request(a.t, a.ev.Cause)
	default:
		k.holds = true
		c.handKeyless(a)
	}
	return nil
}

func (c *capture) openKeyless(a *attempt, here place) {
	plan, err := snapshot.NewPlan(a.t.ev.Schema, c.o.server.maria)
	if err != nil {
		c.o.pause(a.t, event.PauseSnapshot, err.Error())
		return
	}
	k := &keyless{holds: true, blocks: make(chan block, 1)}
	var ctx context.Context
	ctx, k.cancel = context.WithCancel(a.ctx)
	a.keyless, a.plan = k, plan
	opts, srv, name, rows := c.o.s.snapshotOptions(&c.o.server), c.o.server, a.t.name, c.o.s.cfg.Snapshot.ChunkRows
	c.job(a, func(context.Context) func() {
		conn, at, err := openWhole(ctx, opts, srv, name, here)
		return func() {
			if err != nil {
				k.close()
				a.keyless, a.stage = nil, asked
				c.failed(a, err)
				return
			}
			k.conn, k.at, k.opened = conn, at, true
			c.wg.Add(1)
			go func() {
				defer c.wg.Done()
				streamWhole(ctx, conn, plan, rows, k.blocks, c.o.s.poke)
			}()
		}
	})
}

// openWhole opens a consistent snapshot and finds its place in the log as far as the
// table is concerned. MariaDB tells it; on MySQL a short lock on the table keeps its
// writers away while snapshot and place are taken.
func openWhole(ctx context.Context, opts snapshot.Options, srv server, name event.TableName, low place) (*snapshot.Conn, place, error) {
	conn, err := snapshot.Dial(ctx, opts)
	if err != nil {
		return nil, place{}, err
	}
	if srv.maria {
		at, err := openConsistent(ctx, conn, low)
		if err != nil {
			conn.Close()
		}
		return conn, at, err
	}
	lock, err := snapshot.Dial(ctx, opts)
	if err != nil {
		conn.Close()
		return nil, place{}, err
	}
	defer lock.Close()
	at, err := lockedPlace(ctx, conn, lock, opts, srv, name)
	if err != nil {
		conn.Close()
	}
	return conn, at, err
}

func lockedPlace(ctx context.Context, conn, lock *snapshot.Conn, opts snapshot.Options, srv server, name event.TableName) (place, error) {
	if err := lock.Exec(ctx, "SET SESSION lock_wait_timeout=5"); err != nil {
		return place{}, err
	}
	if err := lock.Exec(ctx, "LOCK TABLES "+schema.QuoteTable(name)+" READ"); err != nil {
		return place{}, fmt.Errorf("a table without a key needs a short read lock (privilege LOCK TABLES): %w", err)
	}
	if err := conn.Exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
		return place{}, err
	}
	j := chunkJob{opts: opts, server: srv}
	return j.end(ctx, lock)
}

// streamWhole reads the table in blocks; it stops while nobody takes them.
func streamWhole(ctx context.Context, conn *snapshot.Conn, plan *snapshot.Plan, rows int, out chan<- block, poke func()) {
	b := block{}
	size := 0
	send := func() error {
		select {
		case out <- b:
			poke()
			b, size = block{}, 0
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := conn.Rows(ctx, plan.SelectAll(), func(vals [][]byte) error {
		img, err := plan.AppendImage(nil, vals)
		if err != nil {
			return err
		}
		b.images = append(b.images, event.Image(img))
		if size += len(img); len(b.images) >= rows || size >= maxBytes {
			return send()
		}
		return nil
	})
	b.done, b.err = true, err
	if errors.Is(err, context.Canceled) {
		return
	}
	_ = send()
}

// handKeyless hands over the blocks that are there.
func (c *capture) handKeyless(a *attempt) {
	k := a.keyless
	if a.ev.Begin == 0 {
		c.begin(a)
	}
	for len(c.o.out) < maxItems {
		select {
		case b := <-k.blocks:
			if b.err != nil {
				c.failed(a, b.err)
				c.request(a.t, a.ev.Cause)
				return
			}
			if len(b.images) > 0 {
				c.hand(a, b.images, nil)
			}
			if b.done {
				k.close()
				a.keyless, a.stage = nil, ending
				c.finish(a)
				return
			}
		default:
			return
		}
	}
}
