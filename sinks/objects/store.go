package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"
)

// Store is a set of objects. Names are slash paths relative to it, without empty, "." and
// ".." parts; the caller sees to that. All methods may be called concurrently, also from
// several processes on one store. Those that read return what was written before they were
// called, by whomever.
//
// Callers declare the part that they use. An error that is none of the sentinels says what
// was attempted on which object, why it failed, and what to do about it.
type Store interface {
	// PutIfAbsent makes an object whose name must not be taken. On nil it is durable. Errors:
	// ErrExists, when another call has the name; ErrUnknown, when the object may be there or
	// may still appear; after any other the object is not there and never will be by this call.
	PutIfAbsent(ctx context.Context, name string, body Body) error
	// Put makes an object or replaces it; whoever reads sees one or the other, whole. On nil it
	// is durable. After ErrUnknown either may be there. After any other error it is not there and
	// never will be by this call. A request of a call that ended with nil or ErrUnknown may still
	// arrive, and bring back what another Put has replaced since.
	Put(ctx context.Context, name string, body Body) error
	// Open opens an object for reading; ctx bounds the reads as well. ErrNotFound when there is
	// none. An object that is removed or replaced meanwhile is read as it was, or its reads
	// fail; bytes of two objects are never mixed.
	Open(ctx context.Context, name string) (Object, error)
	// List goes through the objects whose names begin with prefix and come behind after, in the
	// order of their names' bytes. What comes or goes meanwhile may be listed or not. An error
	// ends it. An object in the making is not listed.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Dirs are the first parts of the names that go on below dir ("" for all), sorted.
	Dirs(ctx context.Context, dir string) ([]string, error)
	// Delete removes an object; one that is not there is no error. A power cut may bring it
	// back. After an error it may be gone or go later.
	Delete(ctx context.Context, name string) error
}

// Body is what an object is made of. It is read from any offset, more than once, and does
// not change until the call that it was given to has returned. A *bytes.Reader, a
// *strings.Reader, an *io.SectionReader and a [*File] are bodies.
type Body interface {
	io.ReaderAt
	Size() int64
}

// Object is an open object. ReadAt may be called concurrently.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Info is what a listing says of an object.
type Info struct {
	Name string
	Size int64
	// Modified is when it was written, by this machine's clock as far as that is known.
	Modified time.Time
}

// Errors that steer.
var (
	// ErrExists: the name is taken, and not by this call.
	ErrExists = fmt.Errorf("another writer has the name: %w", fs.ErrExist)
	// ErrNotFound: there is no such object.
	ErrNotFound = fmt.Errorf("no such object: %w", fs.ErrNotExist)
	// ErrUnknown: a write's outcome is not known, and it may still arrive. Look before you act.
	ErrUnknown = errors.New("the outcome is not known")
	// ErrTooLarge: an object is larger than the caller reads.
	ErrTooLarge = errors.New("the object is too large")
)

// ReadAll returns an object's bytes; ErrTooLarge when they are more than limit.
func ReadAll(ctx context.Context, s interface {
	Open(ctx context.Context, name string) (Object, error)
}, name string, limit int64) ([]byte, error) {
	o, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if o.Size() > limit {
		return nil, fmt.Errorf("read %s: %w: %d bytes, %d are the most", name, ErrTooLarge, o.Size(), limit)
	}
	b := make([]byte, o.Size())
	if n, err := o.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("read %s: %d of %d bytes: %w", name, n, len(b), err)
	}
	return b, nil
}
