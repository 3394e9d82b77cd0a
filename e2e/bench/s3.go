package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/millrace/millrace/internal/testenv"
)

// storeFile is the pipeline into a bucket. Beside the place it is the one of the local lake.
const storeFile = `version: 1
name: bench
source:
  type: mysql
  address: %s
  user: millrace
  password: millrace-bench
  tables: ["%s"]
queues: 4
sinks:
  - name: lake
    type: parquet
    path: s3://%s/lake
    s3: {endpoint: "%s", path_style: true, credentials: env}
    flush: {rows: 200000, bytes: 64MiB, interval: 500ms}
    current: {interval: 2s}
`

// storeResult is the same loads into a lake in a bucket and into one on the local disk.
type storeResult struct {
	Loads []storeSample `json:"loads"`
}

type storeSample struct {
	Name  string        `json:"name"`
	Local backlogSample `json:"local"`
	Store backlogSample `json:"s3"`
}

const storeBucket = "bench"

// s3 carries the same loads into a local lake and into a bucket, one after the other.
func (b *bench) s3(ctx context.Context) (*storeResult, error) {
	s, stop, err := b.startSource(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	dir, drop, err := b.scratch("s3")
	if err != nil {
		return nil, err
	}
	defer drop()
	store, err := testenv.StartS3(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer store.Kill()
	if err := store.MakeBucket(ctx, storeBucket); err != nil {
		return nil, err
	}
	local, err := b.storeLoads(ctx, s, "local", func(tables string) (*daemon, error) { return b.startDaemonFor(ctx, s, tables) })
	if err != nil {
		return nil, fmt.Errorf("the local lake: %w", err)
	}
	remote, err := b.storeLoads(ctx, s, "bucket", func(tables string) (*daemon, error) {
		text := fmt.Sprintf(storeFile, s.server.Addr, tables, storeBucket, store.Endpoint)
		d, err := b.startDaemonIn(ctx, func(string) string { return text }, "AWS_ACCESS_KEY_ID="+store.Access,
			"AWS_SECRET_ACCESS_KEY="+store.Secret)
		if err == nil { // the gateway's objects are files
			d.lake, d.beside = filepath.Join(store.Dir, storeBucket, "lake"), store.Pid
		}
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("the lake in a bucket: %w", err)
	}
	r := &storeResult{}
	for i := range local {
		r.Loads = append(r.Loads, storeSample{Name: local[i].Name, Local: local[i], Store: remote[i]})
	}
	return r, nil
}

// storeLoads carries each load that is wanted into the lake of one daemon.
func (b *bench) storeLoads(ctx context.Context, s *source, db string,
	start func(tables string) (*daemon, error)) (all []backlogSample, err error) {
	if _, err := s.db.ExecContext(ctx, "CREATE DATABASE "+db); err != nil {
		return nil, err
	}
	n := b.sizes()
	var loads []load
	for _, l := range []struct {
		part string
		load
	}{{"s3-bulk", s.manyRowsOf(db+".many", n.many)}, {"s3-single", s.singleRowsOf(db+".single", n.single)}} {
		if b.wants("s3", l.part) {
			loads = append(loads, l.load)
		}
	}
	for _, l := range loads {
		if err := s.createOrders(ctx, l.tables[0]); err != nil {
			return nil, err
		}
	}
	d, err := start(db + ".*")
	if err != nil {
		return nil, err
	}
	defer d.stop()
	if err := d.streaming(ctx, len(loads)); err != nil {
		return nil, err
	}
	for _, l := range loads {
		one, err := b.backlog(ctx, s, d, l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		all = append(all, one)
	}
	return all, nil
}
