package lake

import (
	"context"
	"time"
)

// Uploader is a store where an object in the making may be left behind in parts.
type Uploader interface {
	AbortUploads(ctx context.Context, before time.Time) (int, error)
}

// uploadsEvery is how often a sink looks for such.
const uploadsEvery = time.Hour

// TidyUploads removes what was begun so long ago that nobody can be about to complete it. It
// takes room and does no harm otherwise: what goes wrong is said, and no more.
func (l *Lake) TidyUploads(ctx context.Context, now time.Time) {
	store, ok := l.Store.(Uploader)
	last := l.uploadsSeen.Load()
	if !ok || now.UnixNano()-last < int64(uploadsEvery) || !l.uploadsSeen.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	n, err := store.AbortUploads(ctx, now.Add(-l.Keep.Orphans.D()))
	if err != nil {
		l.Log.Info("unfinished uploads can't be removed here; a lifecycle rule of the bucket can", "err", err)
	} else if n > 0 {
		l.Log.Info("unfinished uploads were removed", "uploads", n)
	}
}
