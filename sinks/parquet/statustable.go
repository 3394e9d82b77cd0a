package parquet

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

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
	dir := path.Join(encodeName(pipelineName), statusDir)
	log, err := delta.Open(ctx, s.store, dir)
	if err != nil {
		return err
	}
	now, name := s.now(), newID()+".parquet"
	size, stats, err := s.writeStatus(ctx, path.Join(dir, name), rows, now)
	if err != nil {
		return unwritable("write", s.show(path.Join(dir, name)), err)
	}
	add := delta.Action{Add: &delta.Add{Path: name, PartitionValues: map[string]string{}, Size: size, ModificationTime: now.UnixMilli(), DataChange: true,
		Stats: stats, Tags: map[string]string{rowsTag: strconv.Itoa(len(rows)), formatTag: formatNow}}}
	_, err = log.CommitWhile(ctx, delta.Anywhere, func([]delta.Entry) error { return nil }, func(snap *delta.Snapshot) ([]delta.Action, error) {
		actions := []delta.Action{{CommitInfo: map[string]any{"timestamp": now.UnixMilli(), "operation": "WRITE", "operationParameters": map[string]string{}, "engineInfo": engine}}}
		if snap.Version < 0 {
			actions = append(actions, delta.Action{Protocol: protocol()}, delta.Action{Metadata: statusMetadata(pipelineName, now)})
		}
		for _, p := range snap.Paths() {
			actions = append(actions, delta.Action{Remove: &delta.Remove{Path: p, DeletionTimestamp: now.UnixMilli(), DataChange: true,
				ExtendedFileMetadata: true, PartitionValues: map[string]string{}, Size: snap.Files[p].Size}})
		}
		return append(actions, add), nil
	})
	if err != nil {
		return fmt.Errorf("commit to %s: %w", s.show(dir), err)
	}
	return tidyStatus(ctx, log, now, now.Add(-s.keep.Orphans.D()))
}

func statusMetadata(pipelineName string, now time.Time) *delta.Metadata {
	schema := delta.Schema{}
	for _, l := range statusLeaves() {
		schema.Fields = append(schema.Fields, delta.Field{Name: l.name, Type: l.typ.delta(), Nullable: !l.required})
	}
	return &delta.Metadata{ID: newID(), Name: pipelineName + "/" + statusDir, Format: delta.Format{Provider: "parquet", Options: map[string]string{}},
		SchemaString: schema.Text(), PartitionColumns: []string{}, CreatedTime: now.UnixMilli(), Configuration: map[string]string{}}
}

func (s *Sink) writeStatus(ctx context.Context, name string, rows []pipeline.TableFreshness, now time.Time) (size int64, stats string, err error) {
	leaves := statusLeaves()
	fw, err := s.newFile(newSchema(leaves), leaves)
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
	if size, err = fw.finish(ctx, s.store, name); err != nil {
		fw.discard()
	}
	return size, fw.statistics(), err
}

// tidyStatus keeps the log short and the directory small. Files that no commit names stay for
// a while: another program may be about to commit them.
func tidyStatus(ctx context.Context, log *delta.Log, now, orphans time.Time) error {
	if log.Snapshot().Version-max(log.Snapshot().Checkpoint, 0) < statusEvery {
		return nil
	}
	old := now.Add(-statusKept)
	if err := log.Checkpoint(ctx, old); err != nil {
		return err
	}
	if _, err := log.CleanLog(ctx, old, log.Snapshot().Version); err != nil {
		return err
	}
	_, err := log.Vacuum(ctx, delta.VacuumOptions{RemovedBefore: old, OrphansBefore: orphans})
	return err
}

var _ pipeline.StatusKeeper = (*Sink)(nil)
