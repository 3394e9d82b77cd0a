package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/sinks/objects"
)

const (
	// tailBytes is what opening an object brings: all of a small one, the footer of a file.
	tailBytes = 64 << 10
	// directReads are answered by requests of their own; then the whole object is fetched.
	directReads = 2
	// fetchBytes and fetchesAtOnce are how it is.
	fetchBytes    = 8 << 20
	fetchesAtOnce = 4
)

// object is an open object. Its end is kept in memory; whoever reads more than a little of the
// rest gets it from a local copy.
type object struct {
	s    *Store
	ctx  context.Context
	name string
	etag *string
	size int64
	tail []byte

	// turn holds the right to change what follows.
	turn   chan struct{}
	direct int
	copied *objects.File
}

// Open implements objects.Store.
func (s *Store) Open(ctx context.Context, name string) (objects.Object, error) {
	o := &object{s: s, ctx: ctx, name: name, turn: make(chan struct{}, 1)}
	empty := false
	err := s.retry(ctx, "open", name, tailBytes, func(ctx context.Context) error {
		out, err := s.client.GetObject(ctx, &sdk.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.key(name)),
			Range: aws.String(fmt.Sprintf("bytes=-%d", tailBytes))})
		if err != nil {
			if status, _ := answer(err); status == http.StatusRequestedRangeNotSatisfiable {
				empty = true // there are no last bytes of none
				return nil
			}
			return err
		}
		return o.begin(out)
	})
	if err == nil && empty {
		err = s.retry(ctx, "open", name, 0, func(ctx context.Context) error {
			head, err := s.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &s.bucket, Key: aws.String(s.key(name))})
			if err == nil && aws.ToInt64(head.ContentLength) != 0 {
				err = fmt.Errorf("the store has no end of an object of %d bytes", aws.ToInt64(head.ContentLength))
			}
			return err
		})
	}
	if err != nil {
		if status, code := answer(err); status == http.StatusNotFound && code != "NoSuchBucket" {
			return nil, fmt.Errorf("open %s: %w", s.url(name), objects.ErrNotFound)
		}
		return nil, err
	}
	return o, nil
}

// begin takes the object's end.
func (o *object) begin(out *sdk.GetObjectOutput) error {
	defer out.Body.Close()
	n := aws.ToInt64(out.ContentLength)
	o.etag, o.size = out.ETag, n
	if r := aws.ToString(out.ContentRange); r != "" { // bytes 10-19/20
		_, total, _ := strings.Cut(r, "/")
		size, err := strconv.ParseInt(total, 10, 64)
		if err != nil || size < n {
			return fmt.Errorf("the store answers a range with %q", r)
		}
		o.size = size
	}
	if n > tailBytes { // ranges mean nothing to this store
		return fmt.Errorf("the store sends %d bytes where the last %d were asked for", n, tailBytes)
	}
	o.tail = make([]byte, n)
	_, err := io.ReadFull(out.Body, o.tail)
	return err
}

// Size implements objects.Object.
func (o *object) Size() int64 { return o.size }

// Close implements objects.Object.
func (o *object) Close() error {
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	if o.copied == nil {
		return nil
	}
	return o.copied.Close()
}

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %s at %d", o.s.url(o.name), off)
	}
	if off >= o.size {
		return 0, io.EOF
	}
	var eof error
	if int64(len(p)) > o.size-off {
		p, eof = p[:o.size-off], io.EOF
	}
	tailAt := o.size - int64(len(o.tail))
	if off >= tailAt {
		return copy(p, o.tail[off-tailAt:]), eof
	}
	src, err := o.rest(len(p))
	if err != nil {
		return 0, err
	}
	if src != nil {
		if n, err := src.ReadAt(p, off); n < len(p) {
			return n, fmt.Errorf("read the copy of %s: %w", o.s.url(o.name), err)
		}
		return len(p), eof
	}
	if err := o.fetch(o.ctx, off, int64(len(p)), &memory{p}); err != nil {
		return 0, err
	}
	return len(p), eof
}

// rest is the local copy, made if need be; nil where a read of n bytes is worth a request of
// its own.
func (o *object) rest(n int) (*objects.File, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-o.ctx.Done():
		return nil, context.Cause(o.ctx)
	}
	if o.copied != nil {
		return o.copied, nil
	}
	if o.direct < directReads && n <= tailBytes {
		o.direct++
		return nil, nil
	}
	scratch, err := o.s.scratch()
	if err != nil {
		return nil, err
	}
	f, err := scratch.Create()
	if err != nil {
		return nil, err
	}
	if err = f.Grow(o.size); err == nil {
		err = o.fetchAll(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	o.copied = f
	return f, nil
}

// fetchAll copies what is before the tail, and the tail.
func (o *object) fetchAll(f *objects.File) error {
	tailAt := o.size - int64(len(o.tail))
	if _, err := f.WriteAt(o.tail, tailAt); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(o.ctx)
	g.SetLimit(fetchesAtOnce)
	for at := int64(0); at < tailAt; at += fetchBytes {
		n := min(fetchBytes, tailAt-at)
		g.Go(func() error { return o.fetch(ctx, at, n, io.NewOffsetWriter(f, at)) })
	}
	return g.Wait()
}

// memory is bytes as a writer.
type memory struct{ p []byte }

// WriteAt implements io.WriterAt.
func (m *memory) WriteAt(p []byte, off int64) (int, error) { return copy(m.p[off:], p), nil }

// fetch brings a range of the object, which must still be the one that was opened.
func (o *object) fetch(ctx context.Context, off, n int64, to io.WriterAt) error {
	done := int64(0)
	err := o.s.retry(ctx, "read", o.name, n, func(ctx context.Context) error {
		out, err := o.s.client.GetObject(ctx, &sdk.GetObjectInput{Bucket: &o.s.bucket, Key: aws.String(o.s.key(o.name)), IfMatch: o.etag,
			Range: aws.String(fmt.Sprintf("bytes=%d-%d", off+done, off+n-1))})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		if aws.ToInt64(out.ContentLength) != n-done || out.ContentRange == nil {
			return fmt.Errorf("the store sends %d bytes where %d were asked for", aws.ToInt64(out.ContentLength), n-done)
		}
		got, err := io.Copy(io.NewOffsetWriter(to, done), io.LimitReader(out.Body, n-done))
		done += got
		if err == nil && done < n {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	switch status, code := answer(err); {
	case status == http.StatusNotFound && code != "NoSuchBucket":
		return fmt.Errorf("read %s: it was removed meanwhile: %w", o.s.url(o.name), objects.ErrNotFound)
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("read %s: it was replaced meanwhile", o.s.url(o.name))
	}
	return err
}
