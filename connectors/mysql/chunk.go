package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/connectors/mysql/snapshot"
	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/pipeline/event"
)

// chunk is what was read of a window.
type chunk struct {
	images []event.Image
	bytes  int
	// high is the place that the reader must have passed.
	high place
	// end is the last row's key; cut says that the window has more rows behind it.
	end snapshot.Key
	cut bool
}

// chunkJob reads one window. It runs on a goroutine of its own and shares nothing.
type chunkJob struct {
	opts     snapshot.Options
	server   server
	plan     *snapshot.Plan
	lo       snapshot.Key
	rows     int
	low      event.Position // the reader's place when the window was opened
	maxBytes int
	found    func(hi snapshot.Key)
}

// run finds the window's end and reads it. On an error the chunk, if any, has the
// place where it happened.
func (j *chunkJob) run(ctx context.Context) (*chunk, error) {
	conn, err := snapshot.Dial(ctx, j.opts)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	hi, err := j.boundary(ctx, conn)
	if err != nil {
		return j.place(ctx, conn, err)
	}
	j.found(hi)
	ch := &chunk{}
	switch {
	case j.server.maria && !seeded.On(seeded.LowByPosition):
		err = j.readMariaDB(ctx, conn, hi, ch)
	case j.server.gtid: // and, with the seeded bug, any
		err = j.readGTID(ctx, conn, hi, ch)
	default:
		err = j.readLocked(ctx, conn, hi, ch)
	}
	if err != nil {
		return j.place(ctx, conn, err)
	}
	return ch, nil
}

// place adds to an error where the server's log ended when it happened.
func (j *chunkJob) place(ctx context.Context, conn *snapshot.Conn, err error) (*chunk, error) {
	if at, e := j.end(ctx, conn); e == nil {
		return &chunk{high: at}, err
	}
	return nil, err
}

func (j *chunkJob) boundary(ctx context.Context, conn *snapshot.Conn) (snapshot.Key, error) {
	var hi snapshot.Key
	err := conn.Rows(ctx, j.plan.Boundary(j.lo, j.rows), func(vals [][]byte) error {
		for _, v := range vals {
			hi = append(hi, append([]byte{}, v...))
		}
		return nil
	})
	if err == nil {
		err = j.plan.Check(hi)
	}
	return hi, err
}

// readGTID is the window of a server with GTIDs: everything that was read must be
// executed, which is to say visible, before the SELECT; the log's end after it bounds
// what the SELECT can have seen. In the log is earlier than visible, and visible is
// earlier than executed, so neither may stand for the other.
func (j *chunkJob) readGTID(ctx context.Context, conn *snapshot.Conn, hi snapshot.Key, ch *chunk) error {
	if j.low.GTIDSet != "" && !seeded.On(seeded.LowByPosition) {
		for {
			row, err := conn.Row(ctx, "SELECT WAIT_FOR_EXECUTED_GTID_SET('"+j.low.GTIDSet+"', 1)")
			if err != nil {
				return err
			}
			if len(row) == 1 && row[0] == "0" {
				break
			}
		}
	}
	if err := conn.Exec(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	if err := j.read(ctx, conn, hi, "", ch); err != nil {
		return err
	}
	return j.setHigh(ctx, conn, ch)
}

// readMariaDB reads in a snapshot whose place in the log the server tells exactly.
func (j *chunkJob) readMariaDB(ctx context.Context, conn *snapshot.Conn, hi snapshot.Key, ch *chunk) error {
	at, err := openConsistent(ctx, conn, place{file: j.low.File, pos: j.low.Pos})
	if err != nil {
		return err
	}
	ch.high = at
	return j.read(ctx, conn, hi, "", ch)
}

// readLocked reads under shared locks: a transaction in the log that is not visible yet
// still holds its own, so the SELECT waits for it.
func (j *chunkJob) readLocked(ctx context.Context, conn *snapshot.Conn, hi snapshot.Key, ch *chunk) error {
	if err := conn.Exec(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	if err := j.read(ctx, conn, hi, " FOR SHARE", ch); err != nil {
		return err
	}
	if ch.cut {
		// The connection ends with the locks; the place is asked for on another.
		return j.setHigh(ctx, conn, ch)
	}
	if err := j.setHigh(ctx, conn, ch); err != nil {
		return err
	}
	return conn.Exec(ctx, "COMMIT")
}

// openConsistent begins a consistent snapshot at a place not before low.
func openConsistent(ctx context.Context, conn *snapshot.Conn, low place) (place, error) {
	for {
		if err := conn.Exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
			return place{}, err
		}
		var at place
		err := conn.Rows(ctx, "SHOW STATUS LIKE 'Binlog_snapshot_%'", func(vals [][]byte) error {
			switch string(vals[0]) {
			case "Binlog_snapshot_file":
				at.file = string(vals[1])
			case "Binlog_snapshot_position":
				n, err := strconv.ParseUint(string(vals[1]), 10, 64)
				at.pos = n
				return err
			}
			return nil
		})
		if err != nil {
			return at, err
		}
		if at.file == "" {
			return at, errors.New("the server does not say where in the log its snapshot is (Binlog_snapshot_file is empty)")
		}
		if !at.less(low) {
			return at, nil
		}
		if err := conn.Exec(ctx, "ROLLBACK"); err != nil {
			return at, err
		}
		if err := pauseFor(ctx, ctx, time.Millisecond); err != nil {
			return at, err
		}
	}
}

func (j *chunkJob) setHigh(ctx context.Context, conn *snapshot.Conn, ch *chunk) (err error) {
	ch.high, err = j.end(ctx, conn)
	return err
}

// end is the end of the server's log. A connection that was ended early is replaced.
func (j *chunkJob) end(ctx context.Context, conn *snapshot.Conn) (place, error) {
	statement := "SHOW MASTER STATUS"
	if !j.server.maria && j.server.number >= 802 {
		statement = "SHOW BINARY LOG STATUS"
	}
	row, err := conn.Row(ctx, statement)
	if err != nil {
		fresh, e := snapshot.Dial(ctx, j.opts)
		if e != nil {
			return place{}, err
		}
		defer fresh.Close()
		if row, err = fresh.Row(ctx, statement); err != nil {
			return place{}, err
		}
	}
	if len(row) < 2 {
		return place{}, fmt.Errorf("%s gave nothing", statement)
	}
	pos, err := strconv.ParseUint(row[1], 10, 64)
	return place{file: row[0], pos: pos}, err
}

// errCut says that a server gave fewer rows than it has.
var errCut = errors.New("the server left out rows of a SELECT")

// read reads the rows up to hi, or up to the bytes that a chunk may have, in a
// transaction. That none was left out is proven by its bounds: in the same view of the
// table no row is behind the last one that came.
func (j *chunkJob) read(ctx context.Context, conn *snapshot.Conn, hi snapshot.Key, lock string, ch *chunk) error {
	block, last := make([]byte, 0, 256<<10), snapshot.Key(nil)
	err := conn.Rows(ctx, j.plan.Select(j.lo, hi)+lock, func(vals [][]byte) error {
		if cap(block)-len(block) < 16<<10 {
			block = make([]byte, 0, 256<<10)
		}
		start := len(block)
		grown, err := j.plan.AppendImage(block, vals)
		if err != nil {
			return err
		}
		block = grown
		ch.images = append(ch.images, event.Image(block[start:len(block):len(block)]))
		ch.bytes += len(block) - start
		last = j.plan.CopyKey(last, vals)
		if ch.bytes > j.maxBytes {
			ch.cut, ch.end = true, last
			return snapshot.ErrStop
		}
		return nil
	})
	if errors.Is(err, snapshot.ErrStop) {
		conn.Close()
		return nil
	}
	if err != nil {
		return err
	}
	if seeded.On(seeded.ChunkCutShort) {
		return nil
	}
	if last == nil {
		last = j.lo
	}
	row, err := conn.Row(ctx, j.plan.Behind(last, hi)+lock)
	if err == nil && row != nil {
		return fmt.Errorf("%w: of a range of the table %d came, and more are there; see sql_select_limit and what stands between", errCut,
			len(ch.images))
	}
	return err
}
