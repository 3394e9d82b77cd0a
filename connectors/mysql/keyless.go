package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/connectors/mysql/snapshot"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// wholeTable is the snapshot of a table without a key: one consistent snapshot at a place
// where the reader stops, hands all rows over and goes on.
type wholeTable struct {
	at     place
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

func (k *wholeTable) close() {
	k.cancel()
	if k.conn != nil {
		k.conn.Close()
	}
}

// approachWhole opens the snapshot at the request's end; waiting for it first keeps the
// reader's stop short.
func (as *attempts) approachWhole(a *attempt, here place) {
	switch {
	case here.less(a.goal):
	case seeded.On(seeded.KeylessBeginEarly) && a.ev.Begin == 0:
		as.begin(a)
		a.goal = place{file: here.file, pos: here.pos + 1} // the snapshot is opened somewhere behind it
	default:
		as.openTable(a, here)
	}
}

// arrive lets the reader come to the snapshot's place and hands the rows over there.
func (as *attempts) arrive(a *attempt, here place) {
	switch at := a.whole.at; {
	case here.less(at):
	case at.less(here):
		as.failed(a, fmt.Errorf("the snapshot was opened at %v, where no transaction ends", at))
		as.anew(a)
	default:
		if a.stage == stageArriving {
			a.enter(stageHanding)
		}
		as.handTable(a)
	}
}

func (as *attempts) openTable(a *attempt, here place) {
	plan, err := snapshot.NewPlan(a.t.ev.Schema, as.server.maria, as.tables.lossy(a.t))
	if err != nil {
		as.tables.pause(a.t, pauseSnapshot, err.Error())
		return
	}
	k := &wholeTable{blocks: make(chan block, 1)}
	var ctx context.Context
	ctx, k.cancel = context.WithCancel(a.ctx)
	a.whole = k
	a.enter(stageOpening)
	opts, srv, name, rows := as.options(), *as.server, a.t.name, as.source.cfg.Snapshot.ChunkRows
	as.job(a, func(context.Context) func() {
		conn, at, err := openWhole(ctx, opts, srv, name, here)
		return func() {
			if err != nil {
				k.close()
				a.whole = nil
				a.enter(stageDue)
				as.failed(a, err)
				return
			}
			k.conn, k.at = conn, at
			a.enter(stageArriving)
			as.wg.Add(1)
			go func() {
				defer as.wg.Done()
				streamWhole(ctx, conn, plan, rows, k.blocks, as.source.poke)
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
	size, all := 0, 0
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
		all++
		if size += len(img); len(b.images) >= rows || size >= maxBytes {
			return send()
		}
		return nil
	})
	if err == nil {
		err = counted(ctx, conn, plan, all)
	}
	b.done, b.err = true, err
	if errors.Is(err, context.Canceled) {
		return
	}
	_ = send()
}

// counted proves, in the same view of the table, that no row was left out.
func counted(ctx context.Context, conn *snapshot.Conn, plan *snapshot.Plan, came int) error {
	row, err := conn.Row(ctx, plan.CountAll())
	if err != nil {
		return err
	}
	if (len(row) != 1 || row[0] != strconv.Itoa(came)) && !seeded.On(seeded.ChunkCutShort) {
		return fmt.Errorf("%w: %d came of %v; see sql_select_limit and what stands between", errCut, came, row)
	}
	return nil
}

// handTable hands over the blocks that are there.
func (as *attempts) handTable(a *attempt) {
	if a.ev.Begin == 0 {
		as.begin(a)
	}
	for !as.stand.full() {
		select {
		case b := <-a.whole.blocks:
			if b.err != nil {
				as.failed(a, b.err)
				as.anew(a)
				return
			}
			if len(b.images) > 0 {
				as.hand(a, b.images, nil)
			}
			if b.done {
				a.whole.close()
				a.whole = nil
				a.enter(stageResolving)
				as.finish(a)
				return
			}
		default:
			return
		}
	}
}
