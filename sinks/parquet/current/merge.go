package current

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// merge is one merge of new files of changes/ into current/. Where the changes do not fit
// into memory it puts them aside by the hashes of their keys and goes over these in
// passes: it gathers the newest change of each key, then copies the files of the buckets
// concerned, replacing and leaving out rows. One commit makes all of it visible.
type merge struct {
	c        *Table
	job      *job
	lay, old *layout
	floor    event.Seq
	full     bool // every file is rewritten
	rekey    bool // keys are encoded otherwise than in the files there are
	keyless  bool

	groups  []group
	side    side
	newSide side
	entries map[string]*entry
	sorted  []*entry
	spill   *spill  // nil where all changes fit into memory
	aside   *spill  // the rows of the group that several passes write
	open    *output // of the group that several passes write

	adds    []*delta.Add
	names   []string
	removes []*delta.Remove
	gone    map[*group]bool
	renew   map[*group]bool // of an older format
	merged  int64
	schema  *parquet.Schema
	leaves  []file.Leaf
	// asked: the commit was asked for, so that what was written may be part of the table.
	asked bool
}

// entry is what the changes of one pass say of a key.
type entry struct {
	hash uint64
	key  string
	seq  event.Seq
	del  bool
	dead bool   // a row of current/ is newer
	row  []byte // cells
	sideRow
}

// minSeqTag is the lowest number in a file of current/.
const minSeqTag = "millrace.lo"

// merge reports whether it has committed: where nothing has changed it does not.
func (c *Table) merge(ctx context.Context, j *job) (committed bool, err error) {
	schema := j.facts.Ledger.Schema
	if schema == nil {
		return false, nil
	}
	began := c.Now()
	m := &merge{c: c, job: j, floor: j.facts.Ledger.Floor, gone: map[*group]bool{}, newSide: side{}}
	if m.lay, err = newLayout(schema, j.facts.Columns); err != nil {
		return false, err
	}
	m.keyless = len(m.lay.Key) == 0
	m.leaves = m.lay.leaves()
	m.schema = file.NewSchema(m.leaves)
	work, err := m.prepare(ctx)
	if err != nil || !work {
		return false, err
	}
	defer func() { // however it ends, by a panic too
		if !m.asked {
			m.discard()
		}
	}()
	if err := m.passes(ctx); err != nil {
		return false, fmt.Errorf("merge into %s: %w", c.shownLog(), err)
	}
	if err := m.commit(ctx); err != nil {
		return false, err
	}
	labels := c.Labels()
	c.Metrics.Merges.WithLabelValues(labels...).Inc()
	c.Metrics.MergedRows.WithLabelValues(labels...).Add(float64(m.merged))
	c.Metrics.Merge.WithLabelValues(labels...).Observe(c.Now().Sub(began).Seconds())
	return true, nil
}

// prepare compares what current/ is with what it is to be. work is false when there is
// nothing to do.
func (m *merge) prepare(ctx context.Context) (work bool, err error) {
	snap := m.c.log.Snapshot()
	f, err := readMergeFact(snap)
	if err != nil {
		f = nil
	}
	if f == nil || m.job.rebuild {
		m.full, m.old, m.side = true, nil, side{}
		m.groups = []group{{}}
		return true, nil
	}
	if m.old, err = parseLayout(f.Layout); err != nil {
		return false, fmt.Errorf("fact %s: %w", domainMerge, err)
	}
	if m.side, err = m.readSide(ctx, f.Side); err != nil {
		return false, err
	}
	m.full = m.old.text() != m.lay.text()
	m.rekey = m.old.keyText() != m.lay.keyText()
	if m.full {
		if m.side, err = m.side.rekeyed(m.old, m.lay); err != nil {
			return false, err
		}
	}
	files := make([]*delta.Add, 0, len(snap.Files))
	for _, p := range snap.Paths() {
		files = append(files, snap.Files[p])
	}
	if m.rekey {
		m.groups = []group{{files: files}}
	} else {
		m.groups = groupFiles(files)
	}
	m.renew = renewals(m.groups)
	same := !m.full && len(m.renew) == 0 && len(m.job.files) == 0 && uint64(m.floor) == f.Floor && len(m.side) == 0
	return !same || m.job.version-f.Version >= advanceAfter, nil
}

func (m *merge) readSide(ctx context.Context, name string) (side, error) {
	if name == "" {
		return side{}, nil
	}
	return readSide(ctx, m.c.Store, path.Join(m.c.log.Table(), name))
}

// passes goes over all key hashes.
func (m *merge) passes(ctx context.Context) (err error) {
	defer func() {
		if m.spill != nil {
			m.spill.remove()
		}
		m.dropAside()
		if m.open != nil {
			m.open.discard()
		}
	}()
	depth, err := m.prepareChanges(ctx)
	if err != nil {
		return err
	}
	m.keepTombstones()
	for n := range uint64(1) << depth {
		p := bucket{depth: depth}
		if depth > 0 {
			p.prefix = n << (64 - depth)
		}
		if err := m.load(ctx, p); err != nil {
			return err
		}
		for i := range m.groups {
			g := &m.groups[i]
			switch {
			case p.covers(g.bucket):
				err = m.rewrite(ctx, g)
			case g.covers(p):
				err = m.rewritePart(ctx, g, p)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// entryBytes is about what a change takes in a pass beside its row.
const entryBytes = 176

// prepareChanges puts the changes aside where they may not fit into memory, and says how
// many bits of the hash one pass takes so that its changes do.
func (m *merge) prepareChanges(ctx context.Context) (depth int, err error) {
	total := int64(0)
	count := func(dir string, files []*delta.Add) error {
		for _, a := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			s, err := m.c.OpenFile(ctx, file.PathOf(dir, a))
			if err != nil {
				return err
			}
			total += s.Bytes() + s.Count()*entryBytes
			s.Close()
		}
		return nil
	}
	if err := count(m.c.changes.Log().Table(), m.job.files); err != nil {
		return 0, err
	}
	if m.rekey {
		if err := count(m.c.log.Table(), m.groups[0].files); err != nil {
			return 0, err
		}
	}
	memory := int64(m.c.cfg.Memory)
	if total <= memory {
		return 0, nil
	}
	if err := m.spillChanges(ctx); err != nil {
		return 0, err
	}
	total = m.spill.f.Size() + m.spill.count*entryBytes
	for depth < 16 && total>>depth > memory {
		depth++
	}
	return depth, nil
}

// keepTombstones carries over the deletions that a queue has yet to pass.
func (m *merge) keepTombstones() {
	if m.keyless {
		return // decided again, row by row
	}
	for k, r := range m.side {
		if len(r.minus) > 0 && m.needed(r.minus[0]) {
			m.newSide[k] = r
		}
	}
}

// needed reports whether a deletion must be remembered: while some queue of the table
// may still bring an older row.
func (m *merge) needed(seq event.Seq) bool {
	return !m.job.facts.Ledger.Gone(seq) && !m.job.facts.Ledger.Passed(seq)
}

// commit makes the merge visible if current/ is as it was when the merge began.
func (m *merge) commit(ctx context.Context) error {
	c, snap := m.c, m.c.log.Snapshot()
	f := mergeFact{Changes: m.job.id, Version: m.job.version, Floor: uint64(m.floor), Layout: json.RawMessage(m.lay.text()),
		Complete: m.job.facts.Ledger.CompleteTo(), At: snap.Version + 1}
	if len(m.newSide) > 0 {
		f.Side = fmt.Sprintf("_side-%d-%d-%d.bin", c.Claim.Generation, m.job.version, c.NextName())
		name := path.Join(c.log.Table(), f.Side)
		if err := c.Store.PutIfAbsent(ctx, name, bytes.NewReader(m.newSide.encode())); err != nil {
			return fmt.Errorf("%w: %w", delta.ErrNotCommitted, err)
		}
		m.names = append(m.names, name)
	}
	actions := []delta.Action{c.CommitInfo("MERGE")}
	schema := m.lay.schema()
	switch {
	case snap.Version < 0:
		actions = append(actions, delta.Action{Protocol: lake.Protocol()},
			delta.Action{Metadata: c.Metadata(lake.NewID(), "current", schema, []string{})})
	case snap.Metadata.SchemaString != schema:
		md := *snap.Metadata
		md.SchemaString = schema
		actions = append(actions, delta.Action{Metadata: &md})
	}
	for _, r := range m.removed() {
		actions = append(actions, delta.Action{Remove: r})
	}
	for _, a := range m.adds {
		actions = append(actions, delta.Action{Add: a})
	}
	actions = append(actions, c.Claimed(), lake.Fact(domainMerge, f))
	m.asked = true
	_, err := c.log.CommitWhile(ctx, snap.Version, c.look, func(*delta.Snapshot) ([]delta.Action, error) { return actions, nil })
	if errors.Is(err, delta.ErrConflict) || errors.Is(err, delta.ErrNotCommitted) || errors.Is(err, pipeline.ErrSuperseded) {
		m.discard()
	}
	return err
}

// removed are the files that the merge has replaced.
func (m *merge) removed() []*delta.Remove {
	now := m.c.Now().UnixMilli()
	var list []*delta.Remove
	drop := func(a *delta.Add) {
		list = append(list, &delta.Remove{Path: a.Path, DeletionTimestamp: now, DataChange: true,
			ExtendedFileMetadata: true, PartitionValues: map[string]string{}, Size: a.Size})
	}
	if m.old == nil {
		snap := m.c.log.Snapshot()
		for _, p := range snap.Paths() {
			drop(snap.Files[p])
		}
		return list
	}
	for i := range m.groups {
		if g := &m.groups[i]; m.gone[g] {
			for _, a := range g.files {
				drop(a)
			}
		}
	}
	return list
}

// discard removes what the merge has written; nothing of it was committed.
func (m *merge) discard() {
	m.c.Remove(m.names)
}

func (m *merge) lowest(a *delta.Add) event.Seq {
	n, err := strconv.ParseUint(a.Tags[minSeqTag], 10, 64)
	if err != nil {
		return 0
	}
	return event.Seq(n)
}
