package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace/millrace/sinks/objects"
)

// probeDir begins the names of the objects that Check puts and removes.
const probeDir = ".millrace-probe/"

// ready sees to it that the store was checked before the first object is put.
func (s *Store) ready(ctx context.Context) error {
	if s.probed.Load() {
		return nil
	}
	select {
	case s.probing <- struct{}{}:
		defer func() { <-s.probing }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.probed.Load() {
		return nil
	}
	return s.Check(ctx)
}

// Check puts, reads, lists and removes objects of its own and sees that the store gives a name
// once. ErrNoConditionalPut says that it does not. Whether it does for uploads in parts as
// well is noted: where not, objects are sent in one piece.
func (s *Store) Check(ctx context.Context) error {
	p := s.newPut("", objects.Body(strings.NewReader("probe\n")), true)
	p.name = probeDir + p.id
	err := s.check(ctx, p)
	if derr := s.Delete(ctx, p.name); err == nil && derr != nil {
		err = derr
	}
	if err == nil {
		s.probed.Store(true)
	}
	return err
}

// racers put the probe at once.
const racers = 4

func (s *Store) check(ctx context.Context, p *put) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	won := 0
	for range racers {
		wg.Go(func() {
			err := s.newPut(p.name, p.body.Body, true).run(ctx)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won++
			case !errors.Is(err, objects.ErrExists):
				failed = err
			}
		})
	}
	wg.Wait()
	switch {
	case failed != nil:
		return s.notConditional(p.name, failed)
	case won != 1:
		return fmt.Errorf("%w: %s let %d of %d conditional puts of %s through (choose a store that keeps to them, such as Amazon S3, or MinIO "+
			"or versitygw in a current version)",
			ErrNoConditionalPut, s.serverName(), won, racers, s.url(p.name))
	}
	if _, err := objects.ReadAll(ctx, s, p.name, 1<<10); err != nil {
		return err
	}
	if _, err := s.page(ctx, p.name, &sdk.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.key(p.name))}); err != nil {
		return err
	}
	return s.checkParts(ctx, p.name)
}

// notConditional tells a store that knows no conditions from one that refuses for other reasons.
func (s *Store) notConditional(name string, err error) error {
	status, code := answer(err)
	if status == 501 || code == "NotImplemented" || code == "InvalidArgument" && strings.Contains(err.Error(), "None-Match") {
		return fmt.Errorf("%w: %s refuses a conditional put: %w", ErrNoConditionalPut, s.serverName(), err)
	}
	return err
}

// checkParts tries to complete an upload in parts over the probe, which must be refused.
func (s *Store) checkParts(ctx context.Context, name string) error {
	up, err := s.uploadParts(ctx, name, "probe", bytesBody([]byte("probe in parts\n")))
	if err != nil {
		return err
	}
	last := context.Cause(ctx)
	for try := 0; s.pause(ctx, try); try++ {
		v, err := s.complete(ctx, up, aws.String("*"))
		last = err
		switch {
		case err == nil, !v.taken && !v.again:
			// It was let through, or the store does not know the condition there.
			s.log.Warn("the object store does not keep to If-None-Match when an upload in parts is completed; objects are sent in one piece",
				"store", s.serverName())
			s.inParts.Store(false)
			s.abort(ctx, up)
			return nil
		case v.taken:
			s.inParts.Store(true)
			s.abort(ctx, up)
			return nil
		}
	}
	return s.explain("try an upload in parts to", name, last)
}
