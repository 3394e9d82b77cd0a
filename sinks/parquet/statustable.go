package parquet

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/delta"
)

// statusDir is the Delta table, beside the pipeline's own, that says how fresh these are.
const statusDir = "_status"

// statusEvery is how many commits of _status a log checkpoint covers; with it goes what is
// older than statusKept.
const (
	statusEvery = 20
	statusKept  = 10 * time.Minute
)

func statusLeaves() []leafSpec {
	text, at := colType{kind: kindString}, colType{kind: kindInstant}
	return []leafSpec{{name: "table", typ: text, required: true}, {name: "complete_to", typ: at}, {name: "verified_through", typ: at},
		{name: "state", typ: text, required: true}, {name: "at", typ: at, required: true}}
}

// KeepStatus puts rows in the place of those of <path>/<pipeline>/_status. One goroutine a
// pipeline calls it.
func (s *Sink) KeepStatus(ctx context.Context, pipelineName string, rows []pipeline.TableFreshness) error {
	dir := path.Join(s.cfg.Path, encodeName(pipelineName), statusDir)
	log, err := delta.Open(ctx, s.fs, dir)
	if err != nil {
		return err
	}
	if err := vfs.MkdirAllSync(s.fs, dir); err != nil {
		return unwritable("make", dir, err)
	}
	now, name := s.now(), newID()+".parquet"
	size, stats, err := s.writeStatus(dir, name, rows, now)
	if err == nil {
		err = s.fs.SyncDir(dir)
	}
	if err != nil {
		return unwritable("write", path.Join(dir, name), err)
	}
	add := delta.Action{Add: &delta.Add{Path: name, PartitionValues: map[string]string{}, Size: size, ModificationTime: now.UnixMilli(), DataChange: true,
		Stats: stats, Tags: map[string]string{rowsTag: strconv.Itoa(len(rows)), formatTag: formatNow}}}
	for {
		snap := log.Snapshot()
		actions := []delta.Action{{CommitInfo: map[string]any{"timestamp": now.UnixMilli(), "operation": "WRITE", "operationParameters": map[string]string{}, "engineInfo": engine}}}
		if snap.Version < 0 {
			actions = append(actions, delta.Action{Protocol: protocol()}, delta.Action{Metadata: statusMetadata(pipelineName, now)})
		}
		for _, p := range snap.Paths() {
			actions = append(actions, delta.Action{Remove: &delta.Remove{Path: p, DeletionTimestamp: now.UnixMilli(), DataChange: true,
				ExtendedFileMetadata: true, PartitionValues: map[string]string{}, Size: snap.Files[p].Size}})
		}
		_, err := log.Commit(append(actions, add))
		if err == nil {
			return tidyStatus(log, now, now.Add(-s.cfg.Keep.Orphans.D()))
		}
		if !errors.Is(err, delta.ErrConflict) {
			return fmt.Errorf("commit to %s: %w", dir, err)
		}
		if _, err := log.Refresh(ctx); err != nil {
			return err
		}
	}
}

func statusMetadata(pipelineName string, now time.Time) *delta.Metadata {
	schema := delta.Schema{}
	for _, l := range statusLeaves() {
		schema.Fields = append(schema.Fields, delta.Field{Name: l.name, Type: l.typ.delta(), Nullable: !l.required})
	}
	return &delta.Metadata{ID: newID(), Name: pipelineName + "/" + statusDir, Format: delta.Format{Provider: "parquet", Options: map[string]string{}},
		SchemaString: schema.Text(), PartitionColumns: []string{}, CreatedTime: now.UnixMilli(), Configuration: map[string]string{}}
}

func (s *Sink) writeStatus(dir, name string, rows []pipeline.TableFreshness, now time.Time) (size int64, stats string, err error) {
	leaves := statusLeaves()
	fw, err := newFileWriter(s.fs, path.Join(dir, "."+name+".tmp"), newSchema(leaves), leaves, codecOf(s.cfg.Compression))
	if err != nil {
		return 0, "", err
	}
	when := func(t time.Time) parquet.Value {
		if t.IsZero() {
			return parquet.NullValue()
		}
		return parquet.Int64Value(t.UnixMicro())
	}
	sorted := slices.Clone(rows)
	slices.SortFunc(sorted, func(a, b pipeline.TableFreshness) int { return strings.Compare(a.Table.String(), b.Table.String()) })
	for _, r := range sorted {
		fw.set(0, parquet.ByteArrayValue([]byte(r.Table.String())))
		fw.set(1, when(r.CompleteTo))
		fw.set(2, when(r.VerifiedThrough))
		fw.set(3, parquet.ByteArrayValue([]byte(r.State)))
		fw.set(4, when(now))
		if fw.endRow(64) {
			if err := fw.flushBatch(); err != nil {
				fw.discard()
				return 0, "", err
			}
		}
	}
	if size, err = fw.finish(path.Join(dir, name)); err != nil {
		fw.discard()
	}
	return size, fw.statistics(), err
}

// tidyStatus keeps the log short and the directory small. Files that no commit names stay for
// a while: another program may be about to commit them.
func tidyStatus(log *delta.Log, now, orphans time.Time) error {
	if log.Snapshot().Version-max(log.Snapshot().Checkpoint, 0) < statusEvery {
		return nil
	}
	old := now.Add(-statusKept)
	if err := log.Checkpoint(old); err != nil {
		return err
	}
	if _, err := log.CleanLog(old, log.Snapshot().Version); err != nil {
		return err
	}
	_, err := log.Vacuum(delta.VacuumOptions{RemovedBefore: old, OrphansBefore: orphans})
	return err
}

var _ pipeline.StatusKeeper = (*Sink)(nil)
