package s3

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	// partBytes is where an object is sent in parts, and a part's size.
	partBytes = 8 << 20
	// maxParts is the most that a store takes.
	maxParts = 10_000
	// partsAtOnce are sent side by side. They are read from where the body lies, not kept.
	partsAtOnce = 3
)

// upload is an object in parts, all of which the store has.
type upload struct {
	key   string
	id    string
	parts []types.CompletedPart
}

// sendParts sends the parts, unless an attempt before has, and completes the object.
func (p *put) sendParts(ctx context.Context) (verdict, error) {
	if p.upload == nil {
		up, err := p.s.uploadParts(ctx, p.name, p.id, p.body)
		if err != nil {
			return verdict{}, err // it was retried, and nothing was completed
		}
		p.upload = up
	}
	v, err := p.s.complete(ctx, p.upload, p.ifNone())
	if status, code := answer(err); code == "NoSuchUpload" || status == http.StatusConflict {
		// The upload is used up: by an attempt whose answer was lost, or by whoever tidies.
		p.upload = nil
		v = verdict{again: true, unknown: true}
	}
	return v, err
}

func (s *Store) complete(ctx context.Context, up *upload, ifNone *string) (verdict, error) {
	return s.attempt(ctx, 0, func(ctx context.Context) error {
		_, err := s.client.CompleteMultipartUpload(ctx, &sdk.CompleteMultipartUploadInput{Bucket: &s.bucket, Key: &up.key, UploadId: &up.id,
			IfNoneMatch: ifNone, MultipartUpload: &types.CompletedMultipartUpload{Parts: up.parts}})
		return err
	})
}

// uploadParts begins an upload and sends its parts. One that fails is removed.
func (s *Store) uploadParts(ctx context.Context, name, id string, body *source) (*upload, error) {
	up := &upload{key: s.key(name)}
	err := s.retry(ctx, "begin upload of", name, 0, func(ctx context.Context) error {
		out, err := s.client.CreateMultipartUpload(ctx,
			&sdk.CreateMultipartUploadInput{Bucket: &s.bucket, Key: &up.key, Metadata: map[string]string{idKey: id}})
		if err == nil {
			up.id = aws.ToString(out.UploadId)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	size := max(int64(partBytes), (body.Size()+maxParts-1)/maxParts)
	up.parts = make([]types.CompletedPart, max(1, (body.Size()+size-1)/size))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for i := range up.parts {
		at := int64(i) * size
		g.Go(func() error { return s.uploadPart(gctx, name, up, i, body, at, min(size, body.Size()-at)) })
	}
	if err := g.Wait(); err != nil {
		s.abort(ctx, up)
		return nil, err
	}
	return up, nil
}

func (s *Store) uploadPart(ctx context.Context, name string, up *upload, i int, body *source, at, n int64) error {
	number := aws.Int32(int32(i + 1))
	return s.retry(ctx, "upload a part of", name, n, func(ctx context.Context) error {
		out, err := s.client.UploadPart(ctx, &sdk.UploadPartInput{Bucket: &s.bucket, Key: &up.key, UploadId: &up.id, PartNumber: number,
			Body: body.section(at, n), ContentLength: aws.Int64(n)})
		if err == nil {
			up.parts[i] = types.CompletedPart{PartNumber: number, ETag: out.ETag}
		}
		return body.check(err)
	})
}

// abort removes an upload that was not and will not be completed. One that stays goes by age.
func (s *Store) abort(ctx context.Context, up *upload) {
	if up == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{Bucket: &s.bucket, Key: &up.key, UploadId: &up.id})
	if err != nil {
		s.log.Debug("an unfinished upload stays until it is old", "key", up.key, "err", err)
	}
}

// AbortUploads removes uploads in parts that were begun before a time and never completed, and
// returns how many. Writers that still live must not be that slow.
func (s *Store) AbortUploads(ctx context.Context, before time.Time) (int, error) {
	in, gone := &sdk.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: aws.String(s.under(""))}, 0
	for {
		var out *sdk.ListMultipartUploadsOutput
		err := s.retry(ctx, "list the uploads of", "", 0, func(ctx context.Context) (err error) {
			out, err = s.client.ListMultipartUploads(ctx, in)
			return err
		})
		if err != nil {
			return gone, err
		}
		for _, u := range out.Uploads {
			if u.Initiated == nil || !s.here(u.Initiated).Before(before) {
				continue
			}
			err := s.retry(ctx, "remove an upload of", "", 0, func(ctx context.Context) error {
				_, err := s.client.AbortMultipartUpload(ctx, &sdk.AbortMultipartUploadInput{Bucket: &s.bucket, Key: u.Key, UploadId: u.UploadId})
				if status, _ := answer(err); status == http.StatusNotFound {
					return nil
				}
				return err
			})
			if err != nil {
				return gone, err
			}
			gone++
		}
		if !aws.ToBool(out.IsTruncated) {
			return gone, nil
		}
		if in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker; aws.ToString(in.KeyMarker) == "" {
			return gone, s.explain("list the uploads of", "", errNoNextPage)
		}
	}
}

// bytesBody is a small body.
func bytesBody(b []byte) *source { return &source{Body: bytes.NewReader(b)} }
