package changes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// packing packs the small files of changes/ into larger ones, so that a table that is
// flushed every few seconds does not consist of ever more files. It changes no row. Files
// are written beside the table's goroutine; that goroutine commits them.
type packing struct {
	t       *Table
	run     int // how many files of one size make one
	running bool
	done    chan packed
	cancel  context.CancelFunc
	// failed are runs, by the name of their first file, that are left alone under this claim.
	failed map[string]bool
	looked int64 // version at which no run was found
}

// packed is a file that takes the place of others.
type packed struct {
	from []*delta.Add
	to   *delta.Add
	name string
	err  error
}

const (
	// compactRun files of about the same size become one: a row is then rewritten once
	// for each power of the run, and not once for each flush.
	compactRun = 16
	// compactMax is the size beyond which a file is left as it is.
	compactMax = 128 << 20
)

func newPacking(t *Table) *packing {
	return &packing{t: t, run: compactRun, looked: -compactRun, done: make(chan packed, 1), failed: map[string]bool{}}
}

// tier is a file's size class; files of one class are packed together.
func (c *packing) tier(size int64) int {
	n := 0
	for size > 64<<10 {
		size /= int64(c.run)
		n++
	}
	return n
}

// pick finds a run of files of one queue, day, set of columns and size class that follow
// each other.
func (c *packing) pick() []*delta.Add {
	snap := c.t.log.Snapshot()
	type key struct{ dir, q, columns string }
	type numbered struct {
		*delta.Add
		lo uint64
	}
	byKey := map[key][]numbered{}
	for _, a := range snap.Files {
		if a.Tags[file.TagColumns] == "" || c.t.Wanted(a.Path) {
			continue
		}
		name := strings.Split(strings.TrimSuffix(path.Base(a.Path), ".parquet"), "-")
		if len(name) != 4 {
			continue
		}
		lo, err := strconv.ParseUint(name[2], 10, 64)
		if err != nil {
			continue
		}
		k := key{path.Dir(a.Path), name[1], a.Tags[file.TagColumns]}
		byKey[k] = append(byKey[k], numbered{a, lo})
	}
	var best []*delta.Add
	for _, files := range byKey {
		for _, f := range files { // one of an older format is written anew alone where nothing else is to do
			if len(best) == 0 && file.IsAged(f.Add) && !c.failed[f.Path] {
				best = []*delta.Add{f.Add}
			}
		}
		if len(files) < c.run {
			continue
		}
		slices.SortFunc(files, func(a, b numbered) int { return cmp.Compare(event.Seq(a.lo), event.Seq(b.lo)) })
		var run []*delta.Add
		total := int64(0)
		for i, f := range files {
			if i > 0 && (c.tier(f.Size) != c.tier(files[i-1].Size) || total+f.Size > compactMax || len(run) == 4*c.run) {
				run, total = nil, 0
			}
			run, total = append(run, f.Add), total+f.Size
			if len(run) >= c.run && len(run) > len(best) && !c.failed[run[0].Path] {
				best = slices.Clone(run)
			}
		}
	}
	return best
}

// due reports whether enough has been committed since the last look.
func (c *packing) due() bool {
	return c.running || c.t.log.Snapshot().Version-c.looked >= int64(c.run)
}

// step commits what was packed, or begins to pack a run. It reports whether it did any.
func (c *packing) step(ctx context.Context) (bool, error) {
	if c.running {
		select {
		case p := <-c.done:
			c.running = false
			c.cancel()
			return true, c.commit(ctx, p)
		default:
			return false, nil
		}
	}
	run := c.pick()
	if run == nil {
		c.looked = c.t.log.Snapshot().Version
		return false, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.running, c.cancel = true, cancel
	columns := c.t.facts.Columns
	go func() {
		done, ok := c.t.Turn(ctx)
		if !ok {
			c.done <- packed{from: run, err: ctx.Err()}
			return
		}
		defer done()
		var p packed
		if err := lake.Contained(c.t.Logger, c.t.shownLog(), func() error { p = c.pack(ctx, columns, run); return nil }); err != nil {
			p = packed{from: run, err: err}
		}
		c.done <- p
	}()
	return true, nil
}

// pack writes the rows of the files into one.
func (c *packing) pack(ctx context.Context, columns file.Columns, from []*delta.Add) (p packed) {
	p.from = from
	t, table := c.t, c.t.log.Table()
	first, last := strings.Split(path.Base(from[0].Path), "-"), strings.Split(path.Base(from[len(from)-1].Path), "-")
	dir := path.Dir(from[0].Path)
	base := fmt.Sprintf("%d-%s-%s-%s", t.Claim.Generation, first[1], first[2], last[3])
	var fw *file.Writer
	done, linked := false, false
	defer func() { // however it ends, by a panic too
		if done {
			return
		}
		if fw != nil {
			fw.Discard()
		}
		if linked { // before that the name may be another file's
			t.Remove([]string{p.name})
		}
	}()
	for _, a := range from {
		if p.err = c.copy(ctx, columns, path.Join(table, a.Path), &fw); p.err != nil {
			break
		}
	}
	if p.err == nil {
		p.name = path.Join(table, dir, base)
		p.to = &delta.Add{Path: path.Join(dir, base), PartitionValues: from[0].PartitionValues,
			Tags: map[string]string{file.TagFormat: file.FormatNow, file.TagRows: strconv.FormatInt(fw.Rows, 10),
				file.TagColumns: file.Fingerprint(fw.Leaves)}}
		p.to.Size, p.err = fw.Finish(ctx, t.Store, p.name)
		linked = p.err == nil
		p.to.Stats, p.to.ModificationTime = fw.Statistics(), t.Now().UnixMilli()
	}
	done = p.err == nil
	return p
}

// copy appends the rows of a file to *fw, which the first file makes.
func (c *packing) copy(ctx context.Context, columns file.Columns, name string, fw **file.Writer) error {
	s, err := c.t.OpenFile(ctx, name)
	if err != nil {
		return err
	}
	defer s.Close()
	if *fw == nil {
		leaves, err := columns.Leaves(s.Leaves)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if *fw, err = c.t.NewFile(file.NewSchema(leaves), leaves); err != nil {
			return err
		}
	}
	if len(s.Leaves) != len((*fw).Leaves) {
		return fmt.Errorf("%s has %d columns, not %d", name, len(s.Leaves), len((*fw).Leaves))
	}
	return s.Each(ctx, func(list []parquet.Row) error {
		for _, r := range list {
			for i := range r {
				(*fw).Set(i, r[i])
			}
			if (*fw).EndRow(file.RowBytes(r)) {
				if err := (*fw).FlushBatch(); err != nil {
					return err
				}
			}
		}
		return (*fw).FlushBatch()
	})
}

// commit puts the packed file in the place of the others, if they are still there.
func (c *packing) commit(ctx context.Context, p packed) error {
	t := c.t
	drop := func() { t.Remove([]string{p.name}) }
	if p.err != nil {
		if !errors.Is(p.err, context.Canceled) {
			// The name may be one that an earlier attempt has left: it is not tried again.
			c.failed[p.from[0].Path] = true
			t.Logger.Warn("small files could not be packed", "err", p.err)
		}
		return nil
	}
	// While the files are all there still.
	_, err := t.commitWhile(ctx, func(snap *delta.Snapshot) ([]delta.Action, error) {
		actions := []delta.Action{t.CommitInfo("COMPACT")}
		for _, a := range p.from {
			if snap.Files[a.Path] == nil {
				drop()
				return nil, nil
			}
			actions = append(actions, delta.Action{Remove: &delta.Remove{Path: a.Path, DeletionTimestamp: t.Now().UnixMilli(),
				ExtendedFileMetadata: true, PartitionValues: a.PartitionValues, Size: a.Size}})
		}
		p.to.Stats = file.CompleteStats(p.to.Stats, t.facts.Columns.Names())
		return append(actions, delta.Action{Add: p.to}), nil
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, delta.ErrNotCommitted):
		drop()
		c.failed[p.from[0].Path] = true
		t.Logger.Warn("small files could not be packed", "err", err)
		return nil
	case errors.Is(err, errRefused):
		drop()
		return t.Fail(err)
	}
	return t.Fail(fmt.Errorf("%w: commit to %s: the outcome is unknown: %w", errUnknown, t.shownLog(), err))
}

var errUnknown = errors.New("the table must be opened again")

func (c *packing) close() {
	if !c.running {
		return
	}
	c.cancel()
	if p := <-c.done; p.err == nil {
		c.t.Remove([]string{p.name})
	}
	c.running = false
}
