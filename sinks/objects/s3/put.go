package s3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace/millrace/sinks/objects"
)

// idKey is the metadata that a put is known by.
const idKey = "millrace-put"

// PutIfAbsent implements objects.Store.
func (s *Store) PutIfAbsent(ctx context.Context, name string, body objects.Body) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.newPut(name, body, true).run(ctx)
}

// Put implements objects.Store.
func (s *Store) Put(ctx context.Context, name string, body objects.Body) error {
	return s.newPut(name, body, false).run(ctx)
}

// put is one call. Its attempts carry one id, so whichever of them arrives is this call's.
type put struct {
	s    *Store
	name string
	body *source
	id   string
	once bool // the name must not be taken

	// unknown is why an attempt's outcome is not known, nil while there is no such attempt.
	unknown error
	// upload is one in parts that lacks nothing but its completion.
	upload *upload
}

func (s *Store) newPut(name string, body objects.Body, once bool) *put {
	var id [16]byte
	rand.Read(id[:])
	return &put{s: s, name: name, body: &source{Body: body}, id: hex.EncodeToString(id[:]), once: once}
}

// run sends the put until it is known how it ended, or patience does.
func (p *put) run(ctx context.Context) error {
	var last error
	for try := 0; p.s.pause(ctx, try); try++ {
		if p.unknown != nil {
			if found := p.look(ctx); found.settled(p.once) {
				return p.end(found, last)
			}
		}
		v, err := p.send(ctx)
		if err == nil {
			return nil
		}
		last = err
		if v.unknown {
			p.unknown = err
		}
		if v.taken {
			// A proxy may have sent it twice: that the name is taken does not say by whom.
			found := p.look(ctx)
			if found.settled(p.once) {
				return p.end(found, last)
			}
			if found == unseen {
				p.unknown = err
			}
			v.again = true
		}
		if !v.again {
			break
		}
		p.s.note("put", p.name, try, err)
	}
	if last == nil {
		return p.s.explain("put", p.name, context.Cause(ctx))
	}
	if p.unknown == nil {
		p.s.abort(ctx, p.upload)
		return p.s.explain("put", p.name, last)
	}
	// The last word is the store's, also for a caller who does not wait any longer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialTime)
	defer cancel()
	return p.end(p.look(ctx), last)
}

// found is what stands under a name.
type found int

const (
	unseen  found = iota // it could not be looked up
	nothing              // as yet: a put on its way may still arrive
	mine
	others
)

// settled reports whether nothing can change the outcome any more.
func (f found) settled(once bool) bool { return f == mine || f == others && once }

// end is the result where found stands under the name after an unknown attempt.
func (p *put) end(f found, last error) error {
	switch {
	case f == mine:
		return nil
	case f == others && p.once:
		p.s.abort(context.Background(), p.upload) // it can never be completed
		return fmt.Errorf("put %s: %w", p.s.url(p.name), objects.ErrExists)
	}
	return fmt.Errorf("%w: %w", objects.ErrUnknown, p.s.explain("put", p.name, errors.Join(last, p.unknown)))
}

// look asks once what stands under the name.
func (p *put) look(ctx context.Context) found {
	var head *sdk.HeadObjectOutput
	v, err := p.s.attempt(ctx, 0, func(ctx context.Context) (err error) {
		head, err = p.s.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &p.s.bucket, Key: aws.String(p.s.key(p.name))})
		return err
	})
	switch {
	case err != nil && v.absent:
		return nothing
	case err != nil:
		return unseen
	case head.Metadata[idKey] == p.id:
		return mine
	}
	return others
}

// send is one attempt.
func (p *put) send(ctx context.Context) (verdict, error) {
	if p.body.Size() > partBytes && (!p.once || p.s.inParts.Load()) {
		return p.sendParts(ctx)
	}
	in := &sdk.PutObjectInput{Bucket: &p.s.bucket, Key: aws.String(p.s.key(p.name)), Metadata: map[string]string{idKey: p.id},
		IfNoneMatch:   p.ifNone(),
		ContentLength: aws.Int64(p.body.Size())}
	return p.s.attempt(ctx, p.body.Size(), func(ctx context.Context) error {
		in.Body = p.body.section(0, p.body.Size())
		_, err := p.s.client.PutObject(ctx, in)
		return p.body.check(err)
	})
}

func (p *put) ifNone() *string {
	if p.once {
		return aws.String("*")
	}
	return nil
}

// source is a body that remembers why it could not be read.
type source struct {
	objects.Body
	failed atomic.Pointer[bodyError]
}

// bodyError is an error of what is to be written, not of the store.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read what is to be written: " + e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

// ReadAt implements io.ReaderAt.
func (b *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.Body.ReadAt(p, off)
	switch {
	case n == len(p) || err == io.EOF && off+int64(n) >= b.Size():
	case err == nil || err == io.EOF:
		b.failed.Store(&bodyError{io.ErrUnexpectedEOF})
		err = io.ErrUnexpectedEOF
	default:
		b.failed.Store(&bodyError{err})
	}
	return n, err
}

func (b *source) section(at, n int64) *io.SectionReader { return io.NewSectionReader(b, at, n) }

// check returns the body's error for that which it has caused.
func (b *source) check(err error) error {
	if failed := b.failed.Load(); err != nil && failed != nil {
		return failed
	}
	return err
}

// abortTime is how long an upload's removal may take; one that stays is listed to be removed
// by age.
const abortTime = 10 * time.Second
