package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/spec"
)

// deletedSuffix is what the file of a deleted pipeline is renamed to end with: it is no
// pipeline file any more, and nothing that somebody wrote is lost.
const deletedSuffix = ".deleted"

// Delete ends a pipeline: see httpapi.Daemon. Its steps are: stop it, put its file aside,
// forget what the daemon keeps of it, delete its topics, delete its targets. Before the
// second it comes back with the next start; behind it, asking again does what is left.
func (r *Runner) Delete(ctx context.Context, name string, o httpapi.DeleteOptions) (httpapi.Deleted, error) {
	done := httpapi.Deleted{Name: name, Kept: []string{}, Removed: []string{}}
	defer r.turns.take(name)()
	p, aside, err := r.putAside(name)
	if err != nil {
		return done, err
	}
	done.Kept = append(done.Kept, "pipeline file "+aside)
	if err := r.forgetState(name); err != nil {
		return done, err
	}
	r.log.Info("pipeline deleted", slog.String("pipeline", name), slog.String("file", aside),
		slog.Bool("purge_topics", o.PurgeTopics), slog.Bool("purge_target", o.PurgeTarget))
	if err := r.purgeTopics(ctx, name, o.PurgeTopics, &done); err != nil {
		return done, fmt.Errorf("pipeline %s is deleted, its topics are not: %w; delete it again", name, err)
	}
	if err := r.purgeTargets(ctx, p, o.PurgeTarget, &done); err != nil {
		return done, fmt.Errorf("pipeline %s is deleted, its targets are not: %w; delete it again", name, err)
	}
	return done, nil
}

// putAside stops a pipeline and takes its file out of the directory. One whose file is
// aside already is found by that.
func (r *Runner) putAside(name string) (*spec.Pipeline, string, error) {
	r.mu.Lock()
	one, standing := r.running[name], r.paused[name]
	delete(r.running, name)
	delete(r.paused, name)
	r.mu.Unlock()
	var p *spec.Pipeline
	switch {
	case one != nil:
		one.stop()
		p = one.pipe.spec
	case standing != nil:
		p = standing.spec
	default:
		return r.deletedBefore(name)
	}
	aside := p.File + deletedSuffix
	if err := os.Rename(p.File, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("delete %s: put its file aside: %w; it is stopped until the daemon looks at its files again", name, err)
	}
	return p, aside, nil
}

// deletedBefore finds the file of a pipeline whose deletion was begun.
func (r *Runner) deletedBefore(name string) (*spec.Pipeline, string, error) {
	paths, err := filepath.Glob(filepath.Join(r.cfg.Pipelines, "*"+deletedSuffix))
	if err != nil {
		return nil, "", err
	}
	for _, path := range paths {
		if p, err := spec.ReadFile(path, r.kinds, os.LookupEnv); err == nil && p.Name == name {
			return p, path, nil
		}
	}
	return nil, "", httpapi.Unknown(name, r.Statuses())
}

// forgetState removes what the runner keeps of a pipeline.
func (r *Runner) forgetState(name string) error {
	err := os.Remove(r.pauseFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err = errors.Join(err, os.RemoveAll(r.checkDir(name))); err != nil {
		return fmt.Errorf("delete what the daemon keeps of %s: %w", name, err)
	}
	return nil
}

func (r *Runner) checkDir(name string) string { return filepath.Join(r.cfg.State, "verify", name) }

// purgeTopics deletes the pipeline's topics, with what its sinks have read of them, or says
// that they stay.
func (r *Runner) purgeTopics(ctx context.Context, name string, purge bool, done *httpapi.Deleted) (err error) {
	endpoint := r.deps.Endpoint()
	defer func() { err = errors.Join(err, endpoint.Close(context.WithoutCancel(ctx))) }()
	if !purge {
		done.Kept = append(done.Kept, "whatever there is of topics "+event.TopicPrefix(name)+"*, with the sinks' offsets")
		return nil
	}
	removed, err := endpoint.PurgeTopics(ctx, name)
	for _, topic := range removed {
		done.Removed = append(done.Removed, "topic "+topic)
	}
	return err
}

// purgeTargets deletes what the sinks hold of the pipeline, or says that it stays.
func (r *Runner) purgeTargets(ctx context.Context, p *spec.Pipeline, purge bool, done *httpapi.Deleted) error {
	var errs []error
	for _, s := range p.Sinks {
		if !purge {
			done.Kept = append(done.Kept, "whatever sink "+s.Name+" holds of it")
			continue
		}
		removed, err := r.purgeTarget(ctx, p, s)
		for _, what := range removed {
			done.Removed = append(done.Removed, what)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (r *Runner) purgeTarget(ctx context.Context, p *spec.Pipeline, s spec.Sink) (removed []string, err error) {
	sink, err := r.deps.Sink(p, s)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	purger, ok := sink.(pipeline.Purger)
	if !ok {
		return nil, fmt.Errorf("sink %s: sinks of type %s keep what they hold: remove it by hand", s.Name, s.Type)
	}
	if removed, err = purger.Purge(ctx, p.Name); err != nil {
		return removed, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	return removed, nil
}
