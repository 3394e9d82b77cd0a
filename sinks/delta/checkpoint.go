package delta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace/millrace/sinks/objects"
)

// checkpointRow is one action in a log checkpoint: exactly one field is set.
type checkpointRow struct {
	Txn      *txnRow      `parquet:"txn,optional"`
	Add      *addRow      `parquet:"add,optional"`
	Remove   *removeRow   `parquet:"remove,optional"`
	Metadata *metadataRow `parquet:"metaData,optional"`
	Protocol *protocolRow `parquet:"protocol,optional"`
	Domain   *domainRow   `parquet:"domainMetadata,optional"`
}

type txnRow struct {
	AppID       string `parquet:"appId"`
	Version     int64  `parquet:"version"`
	LastUpdated *int64 `parquet:"lastUpdated,optional"`
}

type addRow struct {
	Path             string            `parquet:"path"`
	PartitionValues  map[string]string `parquet:"partitionValues"`
	Size             int64             `parquet:"size"`
	ModificationTime int64             `parquet:"modificationTime"`
	DataChange       bool              `parquet:"dataChange"`
	Stats            *string           `parquet:"stats,optional"`
	Tags             map[string]string `parquet:"tags,optional"`
}

type removeRow struct {
	Path                 string            `parquet:"path"`
	DeletionTimestamp    *int64            `parquet:"deletionTimestamp,optional"`
	DataChange           bool              `parquet:"dataChange"`
	ExtendedFileMetadata *bool             `parquet:"extendedFileMetadata,optional"`
	PartitionValues      map[string]string `parquet:"partitionValues,optional"`
	Size                 *int64            `parquet:"size,optional"`
}

type formatRow struct {
	Provider string            `parquet:"provider"`
	Options  map[string]string `parquet:"options"`
}

type metadataRow struct {
	ID               string            `parquet:"id"`
	Name             *string           `parquet:"name,optional"`
	Description      *string           `parquet:"description,optional"`
	Format           formatRow         `parquet:"format"`
	SchemaString     string            `parquet:"schemaString"`
	PartitionColumns []string          `parquet:"partitionColumns,list"`
	Configuration    map[string]string `parquet:"configuration"`
	CreatedTime      *int64            `parquet:"createdTime,optional"`
}

type protocolRow struct {
	MinReaderVersion int32    `parquet:"minReaderVersion"`
	MinWriterVersion int32    `parquet:"minWriterVersion"`
	ReaderFeatures   []string `parquet:"readerFeatures,list"`
	WriterFeatures   []string `parquet:"writerFeatures,list"`
}

type domainRow struct {
	Domain        string `parquet:"domain"`
	Configuration string `parquet:"configuration"`
	Removed       bool   `parquet:"removed"`
}

// Checkpoint writes the snapshot as a Parquet file beside the log, so that opening need
// not read every entry, and points _last_checkpoint at it. Removed files whose removal is
// older than removedBefore are left out.
func (l *Log) Checkpoint(ctx context.Context, removedBefore time.Time) error {
	v := l.snap.Version
	if v < 0 || l.snap.Checkpoint == v {
		return nil
	}
	actions := l.snap.actions(removedBefore.UnixMilli())
	data, err := encodeCheckpoint(actions)
	if err != nil {
		return fmt.Errorf("checkpoint %d of %s: %w", v, l.dir, err)
	}
	// A checkpoint of the same version says the same, so another writer's is as good.
	if err := l.put(ctx, checkpointName(v), data); err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("checkpoint %d of %s: %w", v, l.dir, err)
	}
	hint, _ := json.Marshal(map[string]any{"version": v, "size": len(actions), "sizeInBytes": len(data), "numOfAddFiles": len(l.snap.Files)})
	if err := l.store.Put(ctx, l.logPath("_last_checkpoint"), bytes.NewReader(hint)); err != nil {
		return fmt.Errorf("checkpoint %d of %s: %w", v, l.dir, err)
	}
	for p, r := range l.snap.Removed {
		if r.DeletionTimestamp < removedBefore.UnixMilli() {
			delete(l.snap.Removed, p)
		}
	}
	l.snap.Checkpoint, l.snap.Aged = v, false
	return nil
}

// CleanLog removes entries and checkpoints that the newest checkpoint covers, that are
// older than before, and whose version is below keepFrom; the oldest first, so that what
// is left has no hole.
func (l *Log) CleanLog(ctx context.Context, before time.Time, keepFrom int64) (int, error) {
	// Names rise with versions. An older checkpoint stays while entries behind it do.
	limit, gone := min(l.snap.Checkpoint, keepFrom), 0
	for info, err := range l.store.List(ctx, l.logPath("")+"/", "") {
		if err != nil {
			return gone, err
		}
		v, _, ok := versionOf(path.Base(info.Name))
		if !ok {
			continue
		}
		if v >= limit || !info.Modified.Before(before) {
			return gone, nil
		}
		if err := l.store.Delete(ctx, info.Name); err != nil {
			return gone, err
		}
		gone++
	}
	return gone, nil
}

func encodeCheckpoint(actions []Action) ([]byte, error) {
	rows := make([]checkpointRow, 0, len(actions))
	for i := range actions {
		rows = append(rows, toRow(&actions[i]))
	}
	var b bytes.Buffer
	// Spark up to 3.5.6 reads other text where the library's default encoding stands beside NULLs.
	w := parquet.NewGenericWriter[checkpointRow](&b, parquet.Compression(&parquet.Snappy), parquet.CreatedBy("millrace", "1", ""),
		parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain))
	if _, err := w.Write(rows); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// maxCheckpoint bounds what is read into memory for a log checkpoint.
const maxCheckpoint = 1 << 31

func readCheckpoint(ctx context.Context, store objects.Store, name string) (actions []Action, aged bool, err error) {
	data, err := objects.ReadAll(ctx, store, name, maxCheckpoint)
	if errors.Is(err, objects.ErrTooLarge) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return nil, false, err
	}
	return decodeCheckpoint(data)
}

// decodeCheckpoint reads a checkpoint; aged says that it holds text in an encoding that
// some readers misread.
func decodeCheckpoint(data []byte) (actions []Action, aged bool, err error) {
	defer func() {
		// The Parquet reader panics on some damaged files.
		if p := recover(); p != nil {
			actions, err = nil, fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	pf, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	for i := range pf.Metadata().RowGroups {
		for _, c := range pf.Metadata().RowGroups[i].Columns {
			aged = aged || slices.Contains(c.MetaData.Encoding, format.DeltaLengthByteArray)
		}
	}
	r := parquet.NewGenericReader[checkpointRow](pf)
	defer r.Close()
	rows := make([]checkpointRow, 256)
	for {
		n, err := r.Read(rows)
		for i := range rows[:n] {
			a := rows[i].action()
			if cerr := a.check(); cerr != nil {
				return nil, false, cerr
			}
			actions = append(actions, a)
			rows[i] = checkpointRow{}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, false, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	if int64(len(actions)) != pf.NumRows() || len(actions) == 0 {
		return nil, false, fmt.Errorf("%w: %d of %d actions", ErrCorrupt, len(actions), pf.NumRows())
	}
	return actions, aged, nil
}

func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func toRow(a *Action) (r checkpointRow) {
	switch {
	case a.Txn != nil:
		r.Txn = &txnRow{AppID: a.Txn.AppID, Version: a.Txn.Version, LastUpdated: optional(a.Txn.LastUpdated)}
	case a.Domain != nil:
		r.Domain = &domainRow{Domain: a.Domain.Domain, Configuration: a.Domain.Configuration}
	case a.Add != nil:
		f := a.Add
		r.Add = &addRow{Path: f.Path, PartitionValues: f.PartitionValues, Size: f.Size, ModificationTime: f.ModificationTime,
			Stats: optional(f.Stats), Tags: f.Tags}
	case a.Remove != nil:
		f := a.Remove
		r.Remove = &removeRow{Path: f.Path, DeletionTimestamp: optional(f.DeletionTimestamp),
			ExtendedFileMetadata: optional(f.ExtendedFileMetadata),
			PartitionValues:      f.PartitionValues, Size: optional(f.Size)}
	case a.Metadata != nil:
		m := a.Metadata
		r.Metadata = &metadataRow{ID: m.ID, Name: optional(m.Name), Description: optional(m.Description),
			Format:       formatRow{Provider: m.Format.Provider, Options: m.Format.Options},
			SchemaString: m.SchemaString, PartitionColumns: m.PartitionColumns, Configuration: m.Configuration, CreatedTime: optional(m.CreatedTime)}
	case a.Protocol != nil:
		p := a.Protocol
		r.Protocol = &protocolRow{MinReaderVersion: int32(p.MinReaderVersion), MinWriterVersion: int32(p.MinWriterVersion),
			ReaderFeatures: p.ReaderFeatures, WriterFeatures: p.WriterFeatures}
	}
	return r
}

func (r *checkpointRow) action() (a Action) {
	switch {
	case r.Txn != nil:
		a.Txn = &Txn{AppID: r.Txn.AppID, Version: r.Txn.Version, LastUpdated: value(r.Txn.LastUpdated)}
	case r.Domain != nil:
		a.Domain = &Domain{Domain: r.Domain.Domain, Configuration: r.Domain.Configuration, Removed: r.Domain.Removed}
	case r.Add != nil:
		f := r.Add
		a.Add = &Add{Path: f.Path, PartitionValues: f.PartitionValues, Size: f.Size, ModificationTime: f.ModificationTime,
			Stats: value(f.Stats), Tags: f.Tags}
	case r.Remove != nil:
		f := r.Remove
		a.Remove = &Remove{Path: f.Path, DeletionTimestamp: value(f.DeletionTimestamp), ExtendedFileMetadata: value(f.ExtendedFileMetadata),
			PartitionValues: f.PartitionValues, Size: value(f.Size)}
	case r.Metadata != nil:
		m := r.Metadata
		a.Metadata = &Metadata{ID: m.ID, Name: value(m.Name), Description: value(m.Description),
			Format:       Format{Provider: m.Format.Provider, Options: m.Format.Options},
			SchemaString: m.SchemaString, PartitionColumns: m.PartitionColumns, Configuration: m.Configuration, CreatedTime: value(m.CreatedTime)}
		if a.Metadata.PartitionColumns == nil {
			a.Metadata.PartitionColumns = []string{}
		}
	case r.Protocol != nil:
		p := r.Protocol
		a.Protocol = &Protocol{MinReaderVersion: int(p.MinReaderVersion), MinWriterVersion: int(p.MinWriterVersion),
			ReaderFeatures: p.ReaderFeatures, WriterFeatures: p.WriterFeatures}
	}
	return a
}
