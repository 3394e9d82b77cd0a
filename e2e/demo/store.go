package main

import (
	"context"
	"path/filepath"

	"github.com/millrace/millrace/internal/testenv"
)

// store is an object store for the lake, with a bucket in it. Its objects are files of this
// machine, which the demo's own reader reads.
type store struct{ *testenv.S3 }

const bucket = "lake"

func startStore(ctx context.Context, dir string) (*store, error) {
	s, err := testenv.StartS3(ctx, filepath.Join(dir, "store"))
	if err != nil {
		return nil, err
	}
	if err := s.MakeBucket(ctx, bucket); err != nil {
		s.Kill()
		return nil, err
	}
	return &store{s}, nil
}

// lake is where the objects of the pipeline's tables lie.
func (s *store) lake() string { return filepath.Join(s.Dir, bucket, "demo", "orders") }

// env is what the pipeline file and the SDK read.
func (s *store) env() []string {
	return []string{"DEMO_LAKE=s3://" + bucket + "/demo", "DEMO_S3=" + s.Endpoint, "AWS_ACCESS_KEY_ID=" + s.Access,
		"AWS_SECRET_ACCESS_KEY=" + s.Secret}
}

// killAgain ends the store's process and starts it anew.
func (s *store) killAgain(ctx context.Context) error {
	s.Kill()
	return s.Start(ctx)
}
