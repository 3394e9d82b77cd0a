package s3

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace/millrace/sinks/objects"
)

// under is the keys' prefix for names that begin with prefix.
func (s *Store) under(prefix string) string {
	if s.prefix == "" {
		return prefix
	}
	return s.prefix + "/" + prefix
}

// page asks for one page of a listing.
func (s *Store) page(ctx context.Context, prefix string, in *sdk.ListObjectsV2Input) (*sdk.ListObjectsV2Output, error) {
	var out *sdk.ListObjectsV2Output
	err := s.retry(ctx, "list", prefix, 0, func(ctx context.Context) (err error) {
		out, err = s.client.ListObjectsV2(ctx, in)
		return err
	})
	if err == nil && aws.ToBool(out.IsTruncated) && aws.ToString(out.NextContinuationToken) == "" {
		err = s.explain("list", prefix, errNoNextPage)
	}
	if err != nil {
		return nil, err
	}
	in.ContinuationToken = nil
	if aws.ToBool(out.IsTruncated) {
		in.ContinuationToken = out.NextContinuationToken
	}
	return out, nil
}

// errNoNextPage: what a listing without its end lacks would be taken for not there.
var errNoNextPage = errors.New("the store says that there is more, and not how to ask for it")

// List implements objects.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[objects.Info, error] {
	return func(yield func(objects.Info, error) bool) {
		in := &sdk.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.under(prefix))}
		if after != "" {
			in.StartAfter = aws.String(s.under(after))
		}
		for {
			out, err := s.page(ctx, prefix, in)
			if err != nil {
				yield(objects.Info{}, err)
				return
			}
			for i := range out.Contents {
				o := &out.Contents[i]
				name, ok := s.name(aws.ToString(o.Key))
				if ok && name > after && !yield(objects.Info{Name: name, Size: aws.ToInt64(o.Size), Modified: s.here(o.LastModified)}, nil) {
					return
				}
			}
			if in.ContinuationToken == nil {
				return
			}
		}
	}
}

// Dirs implements objects.Store.
func (s *Store) Dirs(ctx context.Context, dir string) ([]string, error) {
	if dir != "" {
		dir += "/"
	}
	in := &sdk.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.under(dir)), Delimiter: aws.String("/")}
	var dirs []string
	for {
		out, err := s.page(ctx, dir, in)
		if err != nil {
			return nil, err
		}
		for _, p := range out.CommonPrefixes {
			name, ok := strings.CutPrefix(aws.ToString(p.Prefix), s.under(dir))
			if ok && name != probeDir {
				dirs = append(dirs, strings.TrimSuffix(name, "/"))
			}
		}
		if in.ContinuationToken == nil {
			slices.Sort(dirs)
			return slices.Compact(dirs), nil
		}
	}
}

// Delete implements objects.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.retry(ctx, "delete", name, 0, func(ctx context.Context) error {
		_, err := s.client.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: &s.bucket, Key: aws.String(s.key(name))})
		if status, code := answer(err); status == 404 && code != "NoSuchBucket" {
			return nil
		}
		return err
	})
}
