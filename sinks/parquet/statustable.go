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
	"github.com/millrace/millrace/sinks/parquet/file"
	"github.com/millrace/millrace/sinks/parquet/lake"
)

// statusDir is the Delta table, beside the pipeline's own, that says how fresh these are.
const statusDir = "_status"

// statusEvery is how many commits of _status a log checkpoint covers; with it goes what is
// older than statusKept.
const (
	statusEvery = 20
	statusKept  = 10 * time.Minute
)

func statusLeaves() []file.Leaf {
	text, at := file.Type{Kind: file.String}, file.Type{Kind: file.Instant}
	return []file.Leaf{{Name: "table", Type: text, Required: true}, {Name: "complete_to", Type: at}, {Name: "verified_through", Type: at},
		{Name: "state", Type: text, Required: true}, {Name: "at", Type: at, Required: true}}
}

// KeepStatus puts rows in the place of those of <path>/<pipeline>/_status. One goroutine a
// pipeline calls it.
func (s *Sink) KeepStatus(ctx context.Context, pipelineName string, rows []pipeline.TableFreshness) error {
	dir := path.Join(encodeName(pipelineName), statusDir)
	log, err := delta.Open(ctx, s.Store, dir)
	if err != nil {
		return err
	}
	now, name := s.Now(), lake.NewID()+".parquet"
	size, stats, err := s.writeStatus(ctx, path.Join(dir, name), rows, now)
	if err != nil {
		return lake.Unwritable("write", s.Show(path.Join(dir, name)), err)
	}
	add := delta.Action{Add: &delta.Add{Path: name, PartitionValues: map[string]string{}, Size: size,
		ModificationTime: now.UnixMilli(), DataChange: true,
		Stats: stats, Tags: map[string]string{file.TagRows: strconv.Itoa(len(rows)), file.TagFormat: file.FormatNow}}}
	_, err = log.CommitWhile(ctx, delta.Anywhere, func([]delta.Entry) error { return nil },
		func(snap *delta.Snapshot) ([]delta.Action, error) {
			actions := []delta.Action{{CommitInfo: map[string]any{"timestamp": now.UnixMilli(), "operation": "WRITE",
				"operationParameters": map[string]string{}, "engineInfo": lake.Engine}}}
			if snap.Version < 0 {
				actions = append(actions, delta.Action{Protocol: lake.Protocol()}, delta.Action{Metadata: statusMetadata(pipelineName, now)})
			}
			for _, p := range snap.Paths() {
				actions = append(actions, delta.Action{Remove: &delta.Remove{Path: p, DeletionTimestamp: now.UnixMilli(), DataChange: true,
					ExtendedFileMetadata: true, PartitionValues: map[string]string{}, Size: snap.Files[p].Size}})
			}
			return append(actions, add), nil
		})
	if err != nil {
		return fmt.Errorf("commit to %s: %w", s.Show(dir), err)
	}
	return tidyStatus(ctx, log, now, now.Add(-s.Keep.Orphans.D()))
}

func statusMetadata(pipelineName string, now time.Time) *delta.Metadata {
	schema := delta.Schema{}
	for _, l := range statusLeaves() {
		schema.Fields = append(schema.Fields, delta.Field{Name: l.Name, Type: l.Type.Delta(), Nullable: !l.Required})
	}
	return &delta.Metadata{ID: lake.NewID(), Name: pipelineName + "/" + statusDir,
		Format:       delta.Format{Provider: "parquet", Options: map[string]string{}},
		SchemaString: schema.Text(), PartitionColumns: []string{}, CreatedTime: now.UnixMilli(), Configuration: map[string]string{}}
}

func (s *Sink) writeStatus(ctx context.Context, name string, rows []pipeline.TableFreshness, now time.Time) (size int64,
	stats string, err error) {
	leaves := statusLeaves()
	fw, err := s.NewFile(file.NewSchema(leaves), leaves)
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
		fw.Set(0, parquet.ByteArrayValue([]byte(r.Table.String())))
		fw.Set(1, when(r.CompleteTo))
		fw.Set(2, when(r.VerifiedThrough))
		fw.Set(3, parquet.ByteArrayValue([]byte(r.State)))
		fw.Set(4, when(now))
		if fw.EndRow(64) {
			if err := fw.FlushBatch(); err != nil {
				fw.Discard()
				return 0, "", err
			}
		}
	}
	if size, err = fw.Finish(ctx, s.Store, name); err != nil {
		fw.Discard()
	}
	return size, fw.Statistics(), err
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
