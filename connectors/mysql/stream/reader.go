package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/millrace/millrace/connectors/mysql/account"
)

// Options say whom to read and as whom.
type Options struct {
	Account  account.Account
	ServerID uint32
	MariaDB  bool
	// Annotate asks for the events that MariaDB otherwise keeps back: from 11.4 on,
	// positions can be told only when every event comes.
	Annotate  bool
	Heartbeat time.Duration
}

// Start says from where to read: a place in a file, or a set of transactions that are
// not to be sent.
type Start struct {
	File string
	Pos  uint64
	// Set is used when File is empty.
	Set *Set
}

// Batch is a run of consecutive events. Err is set on the last batch of a reader.
type Batch struct {
	Events []Event
	Bytes  int
	Err    error
}

// batchBytes bounds a batch; one larger event is a batch of its own.
const batchBytes = 256 << 10

// Reader is one connection that receives the log. It reads ahead by no more than about
// two batches.
type Reader struct {
	opts   Options
	conn   *client.Conn
	framer framer
	hand   *handover
	closed atomic.Bool
	once   sync.Once
	wg     sync.WaitGroup
}

// Open connects, asks for the log from start on and begins to receive. ErrPurged and
// ErrBeyond steer; they can also come with a batch.
func Open(ctx context.Context, opts Options, start Start) (*Reader, error) {
	r := &Reader{opts: opts, hand: newHandover()}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if err := r.request(start); err != nil {
		r.conn.Close()
		return nil, classify(err)
	}
	r.framer = framer{file: start.File, pos: start.Pos}
	r.wg.Go(r.hand.run)
	r.wg.Go(r.receive)
	return r, nil
}

// Batches is where the events come.
func (r *Reader) Batches() <-chan Batch { return r.hand.out }

// Recycle gives a batch's slice back; its events must not be used any more, their
// bodies may.
func (r *Reader) Recycle(b Batch) {
	clear(b.Events)
	select {
	case r.hand.free <- b.Events[:0]:
	default:
	}
}

// Close ends the connection and waits for the receiver.
func (r *Reader) Close() {
	r.once.Do(func() {
		r.closed.Store(true)
		close(r.hand.done)
		r.Drop() // the library's own Close touches what the receiver is using
	})
	r.wg.Wait()
}

// Drop closes the connection under the reader as a fault would; the batch with the
// error follows.
func (r *Reader) Drop() { r.conn.Conn.Conn.Close() }

func (r *Reader) connect(ctx context.Context) error {
	conn, err := r.opts.Account.Conn(ctx, func(c *client.Conn) error { c.BufferSize = 64 << 10; return nil })
	if err != nil {
		return err
	}
	r.conn = conn
	return nil
}

// request does what a replica does before it receives events.
func (r *Reader) request(start Start) error {
	_ = r.conn.SetDeadline(time.Now().Add(30 * time.Second))
	// NONE says that checksums are understood; events keep those that the log has.
	statements := []string{
		"SET @master_binlog_checksum='NONE', @source_binlog_checksum='NONE'",
		fmt.Sprintf("SET @master_heartbeat_period=%d, @source_heartbeat_period=%[1]d", r.opts.Heartbeat.Nanoseconds()),
		"SET SESSION net_write_timeout=600, net_read_timeout=600",
	}
	if r.opts.MariaDB {
		statements = append(statements, "SET @mariadb_slave_capability=4")
		if start.File == "" {
			statements = append(statements, "SET @slave_connect_state='"+start.Set.String()+"'", "SET @slave_gtid_strict_mode=1")
		}
	} else {
		// A replica without a name of its own could be mistaken for another one.
		id := fmt.Sprintf("%08x-0000-4000-8000-%012x", r.opts.ServerID, time.Now().UnixMicro()&(1<<48-1))
		statements = append(statements, fmt.Sprintf("SET @slave_uuid='%s', @replica_uuid='%[1]s'", id))
	}
	for _, s := range statements {
		if _, err := r.conn.Execute(s); err != nil {
			return fmt.Errorf("%s: %w", s, plain(err))
		}
	}
	if err := r.register(); err != nil {
		return fmt.Errorf("register as replica %d: %w", r.opts.ServerID, plain(err))
	}
	if err := r.dump(start); err != nil {
		return fmt.Errorf("request the binary log: %w", plain(err))
	}
	return r.conn.SetDeadline(time.Time{})
}

func (r *Reader) register() error {
	r.conn.ResetSequence()
	p := make([]byte, 4, 64)
	p = append(p, mysql.COM_REGISTER_SLAVE)
	p = appendUint32(p, r.opts.ServerID)
	for _, s := range []string{"millrace", "", ""} { // host, user, password to show
		p = append(p, byte(len(s)))
		p = append(p, s...)
	}
	p = append(p, make([]byte, 2+4+4)...) // port, rank, source id
	if err := r.conn.WritePacket(p); err != nil {
		return err
	}
	_, err := r.conn.ReadOKPacket()
	return err
}

// dump asks for the log. The commands' formats are those of the protocol documentation.
func (r *Reader) dump(start Start) error {
	r.conn.ResetSequence()
	if start.File == "" && !r.opts.MariaDB {
		set, err := start.Set.encode()
		if err != nil {
			return err
		}
		p := append(make([]byte, 4, 32+len(set)), mysql.COM_BINLOG_DUMP_GTID)
		p = append(p, 0, 0)
		p = appendUint32(p, r.opts.ServerID)
		p = appendUint32(p, 0)                // no file name
		p = append(p, 4, 0, 0, 0, 0, 0, 0, 0) // position
		p = appendUint32(p, uint32(len(set)))
		return r.conn.WritePacket(append(p, set...))
	}
	flags := byte(0)
	if r.opts.MariaDB && r.opts.Annotate {
		flags = 2
	}
	if start.Pos > 1<<32-1 {
		return fmt.Errorf("position %d of %s is beyond what can be asked for by file; it needs GTIDs", start.Pos, start.File)
	}
	p := append(make([]byte, 4, 32+len(start.File)), mysql.COM_BINLOG_DUMP)
	p = appendUint32(p, uint32(start.Pos))
	p = append(p, flags, 0)
	p = appendUint32(p, r.opts.ServerID)
	return r.conn.WritePacket(append(p, start.File...))
}

func appendUint32(b []byte, v uint32) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
}

// receive runs until the connection ends; the last batch carries the error.
func (r *Reader) receive() {
	err := r.loop()
	if !r.closed.Load() {
		r.hand.end(classify(err))
	}
}

func (r *Reader) loop() error {
	in := newPackets(r.conn.Conn.Conn, 3*r.opts.Heartbeat+time.Second, r.conn.Sequence)
	for {
		packet, err := in.next()
		switch {
		case err != nil:
			return err
		case len(packet) == 0:
			return corrupt("empty packet")
		case packet[0] == mysql.ERR_HEADER:
			return r.conn.HandleErrorPacket(packet)
		case packet[0] == mysql.EOF_HEADER:
			return errors.New("the server ended the log")
		case packet[0] != mysql.OK_HEADER:
			return corrupt("packet begins with %#x", packet[0])
		}
		if err := r.take(packet[1:]); err != nil {
			return err
		}
	}
}

// take frames one raw event and hands over what comes of it.
func (r *Reader) take(raw []byte) error {
	e, err := r.framer.frame(raw)
	if err != nil {
		return err
	}
	if e.Type != TransactionPayload {
		return r.hand.put(e)
	}
	return unpack(&e, r.hand.put)
}
