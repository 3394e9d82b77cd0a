package parquet

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/sinks/objects"
	"github.com/millrace/millrace/sinks/objects/s3"
)

// inBucket reports whether the lake is in a bucket.
func (c *Config) inBucket() bool { return strings.HasPrefix(c.Path, s3.Scheme) }

// bucket is how the store is reached, nil for a directory.
func (c *Config) bucket() *s3.Config {
	if c.inBucket() {
		return &c.S3
	}
	return nil
}

// checkPlace says what is wrong with where the lake is.
func (c *Config) checkPlace() error {
	if c.Path == "" {
		return &config.KeyError{Key: "path", Text: "is missing",
			Remedy: "name a directory or a bucket, e.g. path: ./lake or path: s3://bucket/prefix"}
	}
	if c.inBucket() {
		if _, _, err := s3.ParsePath(c.Path); err != nil {
			return &config.KeyError{Key: "path", Text: err.Error()}
		}
		err := c.S3.Validate()
		var key *config.KeyError
		if errors.As(err, &key) {
			return &config.KeyError{Key: "s3." + key.Key, Text: key.Text, Remedy: key.Remedy}
		}
		return err
	}
	scheme, _, found := strings.Cut(c.Path, "://")
	switch {
	case found:
		return &config.KeyError{Key: "path", Text: fmt.Sprintf("nothing is known of %s://", scheme),
			Remedy: "name a directory, e.g. ./lake, or s3://bucket/prefix"}
	case strings.ContainsRune(c.Path, 0):
		return &config.KeyError{Key: "path", Text: "holds a NUL byte", Remedy: "name a directory, e.g. ./lake"}
	case c.S3 != s3.DefaultConfig():
		return &config.KeyError{Key: "s3", Text: "is read with a path s3://bucket/prefix, and " + c.Path + " is a directory",
			Remedy: "correct path, or take s3 out"}
	case c.Scratch != "":
		return &config.KeyError{Key: "scratch", Text: "is read with a path s3://bucket/prefix; a directory has its own",
			Remedy: "correct path, or take scratch out"}
	}
	return nil
}

// OpenStore makes the store that the configuration names, and what gives the scratch for files
// in the making. It touches nothing. scratch is where a lake in a bucket has its scratch unless
// the configuration says so; empty is the system's temporary directory. Who closes the store
// closes the scratch. reg may be nil.
func OpenStore(cfg *Config, fsys vfs.FS, scratch string, log *slog.Logger, reg prometheus.Registerer) (objects.Store,
	func() (*objects.Scratch, error), error) {
	if !cfg.inBucket() {
		local := objects.NewLocal(fsys, cfg.Path)
		return local, local.Scratch, nil
	}
	switch {
	case cfg.Scratch != "":
		scratch = cfg.Scratch
	case scratch == "":
		scratch = filepath.ToSlash(os.TempDir())
	}
	own := &ownScratch{fs: fsys, parent: path.Join(scratch, "lake-scratch")}
	store, err := s3.New(cfg.Path, cfg.S3, s3.Deps{Log: log, Reg: reg, Scratch: own.open})
	if err != nil {
		return nil, nil, err
	}
	return &inBucket{Store: store, scratch: own}, own.open, nil
}

// inBucket is a store in a bucket with the scratch that belongs to it.
type inBucket struct {
	*s3.Store
	scratch *ownScratch
}

var _ io.Closer = (*inBucket)(nil)

// Close closes both.
func (b *inBucket) Close() error { return errors.Join(b.Store.Close(), b.scratch.close()) }

// ownScratch is a scratch that is made when it is first needed.
type ownScratch struct {
	fs     vfs.FS
	parent string

	mu   sync.Mutex
	made *objects.Scratch
}

func (o *ownScratch) open() (*objects.Scratch, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.made == nil {
		s, err := objects.OpenScratch(o.fs, o.parent)
		if err != nil {
			return nil, fmt.Errorf("%w (files in the making need room on a local disk: see scratch)", err)
		}
		o.made = s
	}
	return o.made, nil
}

func (o *ownScratch) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.made == nil {
		return nil
	}
	s := o.made
	o.made = nil
	return s.Close()
}
