package readback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"regexp"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// checkpointName is a checkpoint's: a version, and which part of how many it is where there
// are several.
var checkpointName = regexp.MustCompile(`^(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet$`)

// checkpoint is one of a log, whole.
type checkpoint struct {
	version int64
	files   []string
}

// checkpointIn is the newest whole checkpoint of a log that is not behind a version. The
// log's names decide, and not _last_checkpoint, which is a hint: after a crash it may name one
// that has been removed.
func checkpointIn(names []string, upTo int64) (newest checkpoint, ok bool) {
	type set struct {
		version int64
		parts   string
	}
	found := map[set][]string{}
	for _, n := range names {
		m := checkpointName.FindStringSubmatch(n)
		if m == nil {
			continue
		}
		version, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || version > upTo || version == math.MaxInt64 {
			continue
		}
		s := set{version, m[3]}
		found[s] = append(found[s], n)
		parts := 1
		if s.parts != "" {
			if parts, err = strconv.Atoi(s.parts); err != nil {
				continue
			}
		}
		if len(found[s]) == parts && (!ok || version > newest.version) {
			newest, ok = checkpoint{version, found[s]}, true
		}
	}
	return newest, ok
}

// checkpoint begins with a checkpoint.
func (r *replay) checkpoint(ctx context.Context, from checkpoint) error {
	r.t.version, r.t.checkpoint = from.version, from.version
	for _, n := range from.files {
		name := path.Join(logDir(r.t.dir), n)
		if err := contained(func() error { return r.checkpointFile(ctx, name) }); err != nil {
			return fmt.Errorf("checkpoint %s: %w", r.t.lake.show(name), err)
		}
	}
	return nil
}

func (r *replay) checkpointFile(ctx context.Context, name string) error {
	file, err := r.t.lake.store.Open(ctx, name)
	if err != nil {
		return err
	}
	defer file.Close()
	opened, err := parquet.OpenFile(file, file.Size())
	if err != nil {
		return err
	}
	reader := parquet.NewGenericReader[action](opened)
	defer reader.Close()
	for {
		batch := make([]action, 128)
		n, err := reader.Read(batch)
		for _, a := range batch[:n] {
			if err := r.apply(a); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// contained turns a panic into an error: what the library makes of a damaged file is the
// trouble of whoever asked for that table, and not of the process.
func contained(read func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the file can't be read: %v", p)
		}
	}()
	return read()
}
