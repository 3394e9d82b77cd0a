package lake

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/delta"
)

// Owner is one claim of one target table: what its two Delta tables share.
type Owner struct {
	*Lake
	Claim  pipeline.Claim
	At     string // in the store
	Dir    string // as people and other programs know it
	Logger *slog.Logger
	names  atomic.Int64 // of files that were given one
}

// NewOwner is a claim of the table that lies at the place in the store.
func NewOwner(l *Lake, claim pipeline.Claim, at string) *Owner {
	return &Owner{Lake: l, Claim: claim, At: at, Dir: l.Show(at),
		Logger: l.Log.With("pipeline", claim.Pipeline, "sink", claim.Sink, "table", claim.Table.String(), "generation", claim.Generation)}
}

// Labels are the table's in metrics.
func (o *Owner) Labels() []string {
	return []string{o.Claim.Pipeline, o.Claim.Sink, o.Claim.Table.String()}
}

// Metadata is that of a new Delta table.
func (o *Owner) Metadata(id, part, schema string, partition []string) *delta.Metadata {
	return &delta.Metadata{
		ID: id, Name: o.Claim.Table.String() + "/" + part, Format: delta.Format{Provider: "parquet", Options: map[string]string{}},
		SchemaString: schema, PartitionColumns: partition, CreatedTime: o.Now().UnixMilli(),
		Configuration: map[string]string{
			"delta.deletedFileRetentionDuration": intervalText(o.Keep.Removed.D()),
			"delta.logRetentionDuration":         intervalText(o.Keep.Log.D()),
		},
	}
}

func intervalText(d time.Duration) string {
	return fmt.Sprintf("interval %d seconds", max(1, int64(d/time.Second)))
}

// NewID is a random UUID.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Engine is what the sink's commits call it.
const Engine = "millrace"

// CommitInfo says who commits, and what for.
func (o *Owner) CommitInfo(operation string) delta.Action {
	return delta.Action{CommitInfo: map[string]any{
		"timestamp": o.Now().UnixMilli(), "operation": operation, "operationParameters": map[string]string{},
		"engineInfo": Engine, "millraceGeneration": o.Claim.Generation,
	}}
}

// NextName makes names of files different. Any goroutine may call it.
func (o *Owner) NextName() int64 { return o.names.Add(1) }
