package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// SourceConfig configures a source over a script.
type SourceConfig struct {
	// ChunkRows is how many rows a chunk of a snapshot has (3).
	ChunkRows int
	// FailOpen and FailNext, where set, are asked first; their error is returned.
	FailOpen func() error
	FailNext func(read int) error
	// Captures, where set, leaves out the tables that it is false for. Route, where set,
	// changes what the script says of a table's queues and key columns.
	Captures func(event.TableName) bool
	Route    func(*event.Table)
	// Beat, where set, is how often a reader at the log's end says so, with the time.
	Beat time.Duration
	// Snapshots, where set, holds the steps of snapshots back while it is false.
	Snapshots func() bool
}

// ScriptSource reads a Script. See the package's comment for what it cannot prove.
type ScriptSource struct {
	s   *Script
	cfg SourceConfig

	mu       sync.Mutex
	wishes   []wish
	wake     chan struct{}
	status   pipeline.SourceStatus
	resolved event.Position

	// Of the goroutine that calls Open, Next and Close.
	server  string
	epoch   uint16
	at      int // transactions read
	counter uint64
	done    event.Seq
	reserve []event.Reservation
	tables  map[event.TableName]*sourceTable
	order   []event.TableName
	tries   []*try
	stream  bool      // a transaction goes before the next step of a snapshot
	end     event.Seq // of the last transaction read
	time    int64     // up to which the position is known to hold
	beat    time.Time
	out     []event.Item
}

type wish struct {
	table  event.TableName
	cause  string // of a snapshot
	paused *bool
}

type sourceTable struct {
	now    *event.Table
	paused *event.PauseReason
	rows   uint64
}

// NewSource makes a source; it is opened once.
func NewSource(s *Script, cfg SourceConfig) *ScriptSource {
	if cfg.ChunkRows <= 0 {
		cfg.ChunkRows = 3
	}
	return &ScriptSource{s: s, cfg: cfg, wake: make(chan struct{}, 1), tables: map[event.TableName]*sourceTable{}}
}

var _ pipeline.Source = (*ScriptSource)(nil)

// Preflight finds nothing.
func (c *ScriptSource) Preflight(context.Context) ([]pipeline.Problem, error) { return nil, nil }

// Open implements pipeline.Source.
func (c *ScriptSource) Open(_ context.Context, r pipeline.Resume) (pipeline.Opened, error) {
	if c.cfg.FailOpen != nil {
		if err := c.cfg.FailOpen(); err != nil {
			return pipeline.Opened{}, err
		}
	}
	opened, err := c.open(r)
	if err == nil {
		c.report(nil)
	}
	return opened, err
}

func (c *ScriptSource) open(r pipeline.Resume) (pipeline.Opened, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	c.server = s.server
	opened := pipeline.Opened{Server: s.server, Version: "script"}
	if !r.Position.IsZero() && r.Position.Server != s.server && !r.NewServer {
		return opened, fmt.Errorf("the position is of %s, this is %s: %w", r.Position.Server, s.server, pipeline.ErrOtherServer)
	}
	c.epoch, c.counter = r.Epoch, 2
	if r.Position.IsZero() {
		s.start, c.at = s.shown, s.shown // what came before is the first snapshot's
	} else {
		c.time = r.Position.Time
		c.at, c.counter, c.done = int(r.Position.Pos), max(r.Position.Counter, 2), r.Position.Done
		if r.Position.Epoch != r.Epoch {
			c.done = 0 // numbered anew: what was handed over is known by its identity
		}
		if c.at < s.purged {
			return opened, fmt.Errorf("the log begins with transaction %d, the position is %d: %w", s.purged, c.at, pipeline.ErrHistory)
		}
		c.reserve = slices.Clone(r.Reserved)
	}
	for _, name := range s.names {
		if c.cfg.Captures != nil && !c.cfg.Captures(name) {
			continue
		}
		t := &sourceTable{now: c.table(s.states[c.at][name])}
		if why, ok := r.Paused[name]; ok {
			t.paused = &why
		}
		c.tables[name], c.order = t, append(c.order, name)
		opened.Tables = append(opened.Tables, t.now)
	}
	for _, a := range r.Attempts {
		if c.tables[a.Table] == nil {
			continue
		}
		if c.tables[a.Table].now.Keyless { // its snapshot is gone: only a new attempt can follow
			a = event.Attempt{Table: a.Table, Cause: a.Cause}
		}
		c.tries = append(c.tries, &try{Attempt: a, from: s.shown})
	}
	opened.Position = c.position()
	return opened, nil
}

func (c *content) table() *event.Table {
	t := &event.Table{Name: c.schema.Name, Schema: c.schema, KeyColumns: c.schema.PrimaryKey, Keyless: c.keyless, Queues: c.queues}
	if c.keyless {
		for i := range c.schema.Columns {
			t.KeyColumns = append(t.KeyColumns, i)
		}
	}
	return t
}

// table is a table as the configuration routes it.
func (c *ScriptSource) table(now *content) *event.Table {
	t := now.table()
	if c.cfg.Route != nil {
		c.cfg.Route(t)
	}
	return t
}

func (c *ScriptSource) position() event.Position {
	return event.Position{Server: c.server, File: "script", Pos: uint64(c.at), Epoch: c.epoch, Counter: c.counter, Time: c.time}
}

func (c *ScriptSource) seq(n uint64) event.Seq { return event.MakeSeq(c.epoch, n) }

// Next implements pipeline.Source: one transaction, or one step of a snapshot.
func (c *ScriptSource) Next(ctx context.Context) ([]event.Item, error) {
	for {
		if c.cfg.FailNext != nil {
			if err := c.cfg.FailNext(c.at); err != nil {
				c.report(err)
				return nil, err
			}
		}
		c.out = c.out[:0]
		c.skipReserved()
		if c.done == 0 {
			c.grant()
		}
		if len(c.out) == 0 && (c.done != 0 || !c.attemptStep()) {
			if wait := c.transaction(); wait != nil {
				if c.stream { // no transaction is left to go first
					c.stream = false
					continue
				}
				c.report(nil)
				if c.heartbeat() {
					return c.out, nil
				}
				select {
				case <-wait:
				case <-c.wake:
				case <-c.untilBeat():
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				continue
			}
		}
		c.report(nil)
		if len(c.out) > 0 {
			return c.out, nil
		}
	}
}

// heartbeat says, when it is time, that the reader stands at the log's end.
func (c *ScriptSource) heartbeat() bool {
	now := time.Now()
	if c.cfg.Beat == 0 || now.Sub(c.beat) < c.cfg.Beat {
		return false
	}
	c.beat, c.time = now, now.UnixMicro()
	at := c.position()
	c.out = append(c.out, event.Item{Kind: event.KindHeartbeat, Seq: c.end, Commit: &at})
	c.report(nil)
	return true
}

func (c *ScriptSource) untilBeat() <-chan time.Time {
	if c.cfg.Beat == 0 {
		return nil
	}
	return time.After(time.Until(c.beat.Add(c.cfg.Beat)))
}

// skipReserved passes numbers that chunks and barriers took before.
func (c *ScriptSource) skipReserved() {
	for len(c.reserve) > 0 && c.reserve[0].At <= c.counter {
		if c.reserve[0].At == c.counter {
			c.counter += c.reserve[0].Count
		}
		c.reserve = c.reserve[1:]
	}
}

// grant does what other goroutines asked for.
func (c *ScriptSource) grant() {
	c.mu.Lock()
	wishes := c.wishes
	c.wishes = nil
	c.mu.Unlock()
	for _, w := range wishes {
		t := c.tables[w.table]
		switch {
		case t == nil:
		case w.paused == nil:
			c.tries = slices.DeleteFunc(c.tries, func(a *try) bool { return a.Table == w.table })
			c.tries = append(c.tries, &try{Attempt: event.Attempt{Table: w.table, Cause: w.cause}, from: c.s.end()})
		case *w.paused && t.paused == nil:
			t.paused = &event.PauseReason{Code: event.PauseRequest, Text: "by request", Where: c.position()}
			c.tries = slices.DeleteFunc(c.tries, func(a *try) bool { return a.Table == w.table })
			c.out = append(c.out, event.Item{Kind: event.KindPaused, Table: t.now, Reason: t.paused, Seq: c.seq(c.counter)})
		case !*w.paused && t.paused != nil:
			t.paused = nil
			c.out = append(c.out, event.Item{Kind: event.KindResumed, Table: t.now, Seq: c.seq(c.counter)})
		}
	}
}

func (s *Script) end() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown
}

// RequestSnapshot implements pipeline.Source.
func (c *ScriptSource) RequestSnapshot(tables []event.TableName, cause string) {
	for _, t := range tables {
		c.wish(wish{table: t, cause: cause})
	}
}

// SetPaused implements pipeline.Source.
func (c *ScriptSource) SetPaused(t event.TableName, paused bool) {
	c.wish(wish{table: t, paused: &paused})
}

func (c *ScriptSource) wish(w wish) {
	c.mu.Lock()
	c.wishes = append(c.wishes, w)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Resolved implements pipeline.Source.
func (c *ScriptSource) Resolved(p event.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resolved = p
}

// report makes the reader's state what Status says.
func (c *ScriptSource) report(err error) {
	st := pipeline.SourceStatus{Connected: err == nil, Server: c.server, Read: c.position(), End: c.position()}
	st.End.Pos = uint64(c.s.end())
	if err != nil {
		st.LastError = err.Error()
	}
	for _, name := range c.order {
		t := c.tables[name]
		one := pipeline.SourceTable{Name: name, Rows: t.rows, Paused: t.paused != nil}
		for _, a := range c.tries {
			one.Attempting = one.Attempting || a.Table == name
		}
		st.Tables = append(st.Tables, one)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = st
}

// Status implements pipeline.Source.
func (c *ScriptSource) Status() pipeline.SourceStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.status
	st.Tables = slices.Clone(st.Tables)
	for _, w := range c.wishes { // what was asked for counts, also before the reader has heard of it
		for i := range st.Tables {
			if st.Tables[i].Name == w.table && w.paused == nil {
				st.Tables[i].Attempting = true
			}
		}
	}
	return st
}

// Close implements pipeline.Source.
func (c *ScriptSource) Close() error { return nil }

// Minted are the numbers of every row of the script's log under an epoch, for a reader
// that is asked for no snapshot.
func Minted(ctx context.Context, s *Script, epoch uint16) (map[event.Identity]event.Seq, error) {
	c := NewSource(s, SourceConfig{})
	if _, err := c.Open(ctx, pipeline.Resume{Epoch: epoch, Position: event.Position{Server: s.server, File: "script", Epoch: epoch,
		Counter: 2}}); err != nil {
		return nil, err
	}
	all := map[event.Identity]event.Seq{}
	for c.at < s.Len() {
		items, err := c.Next(ctx)
		if err != nil {
			return nil, err
		}
		for i := range items {
			if items[i].Kind == event.KindRow {
				id := items[i].Identity()
				id.Tx = items[i].Table.Name.String() + " " + id.Tx
				if _, twice := all[id]; twice {
					return nil, errors.New("two rows have the identity " + id.String())
				}
				all[id] = items[i].Seq
			}
		}
	}
	return maps.Clone(all), nil
}
