package parquet

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/sinks/delta"
)

// owner is one claim of one target table: what its two Delta tables share.
type owner struct {
	*shared
	claim pipeline.Claim
	at    string // in the store
	dir   string // as people and other programs know it
	slog  *slog.Logger
	names atomic.Int64 // of files that were given one
}

func newOwner(l *shared, claim pipeline.Claim, at string) *owner {
	return &owner{shared: l, claim: claim, at: at, dir: l.show(at),
		slog: l.log.With("pipeline", claim.Pipeline, "sink", claim.Sink, "table", claim.Table.String(), "generation", claim.Generation)}
}

// labels are the table's in metrics.
func (o *owner) labels() []string {
	return []string{o.claim.Pipeline, o.claim.Sink, o.claim.Table.String()}
}

func (o *owner) metadata(id, part, schema string, partition []string) *delta.Metadata {
	return &delta.Metadata{
		ID: id, Name: o.claim.Table.String() + "/" + part, Format: delta.Format{Provider: "parquet", Options: map[string]string{}},
		SchemaString: schema, PartitionColumns: partition, CreatedTime: o.now().UnixMilli(),
		Configuration: map[string]string{
			"delta.deletedFileRetentionDuration": intervalText(o.keep.Removed.D()),
			"delta.logRetentionDuration":         intervalText(o.keep.Log.D()),
		},
	}
}

func intervalText(d time.Duration) string {
	return fmt.Sprintf("interval %d seconds", max(1, int64(d/time.Second)))
}

// newID is a random UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// engine is what the sink's commits call it.
const engine = "millrace"

func (o *owner) commitInfo(operation string) delta.Action {
	return delta.Action{CommitInfo: map[string]any{
		"timestamp": o.now().UnixMilli(), "operation": operation, "operationParameters": map[string]string{},
		"engineInfo": engine, "millraceGeneration": o.claim.Generation,
	}}
}

// nextName makes names of files different. Any goroutine may call it.
func (o *owner) nextName() int64 { return o.names.Add(1) }
