package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/spec"
)

// Config says what a runner runs.
type Config struct {
	// Pipelines is the directory of pipeline files.
	Pipelines string
	// State is a directory of the runner's own; it holds which pipelines a person paused.
	State string
	// Reload is how often the directory is looked at (5 s).
	Reload time.Duration
}

// Runner runs every pipeline of a directory. It implements httpapi.Daemon.
type Runner struct {
	cfg   Config
	kinds spec.Kinds
	deps  Deps
	log   *slog.Logger

	wake chan struct{} // asks for a look at the files at once

	// turns are had by whoever starts, replaces, stops or deletes a pipeline: a pause does
	// not stop one that is being replaced. One is taken before mu.
	turns turns

	mu      sync.Mutex
	running map[string]*running
	paused  map[string]*stand
	broken  map[string]string // what is wrong with files, by path
	unread  error             // why the directory can't be read
	ready   bool              // the directory was read once
}

type running struct {
	pipe   *pipe
	stamp  string // of the file
	cancel context.CancelFunc
	done   chan struct{}
}

// New makes a runner. It starts nothing.
func New(cfg Config, kinds spec.Kinds, deps Deps) (*Runner, error) {
	if cfg.Pipelines == "" || cfg.State == "" {
		return nil, errors.New("a runner needs a directory of pipelines and one for its state")
	}
	if cfg.Reload <= 0 {
		cfg.Reload = 5 * time.Second
	}
	return &Runner{cfg: cfg, kinds: kinds, deps: deps, log: deps.Log, wake: make(chan struct{}, 1), running: map[string]*running{},
		paused: map[string]*stand{}}, nil
}

// Run runs the pipelines until ctx ends, then stops them in parallel and joins them.
func (r *Runner) Run(ctx context.Context) error {
	if err := os.MkdirAll(r.cfg.State, 0o755); err != nil {
		return fmt.Errorf("state of the pipelines: %w", err)
	}
	tick := time.NewTicker(r.cfg.Reload)
	defer tick.Stop()
	var last string
	for {
		last = r.reload(ctx, last)
		select {
		case <-tick.C:
		case <-r.wake:
		case <-ctx.Done():
			r.stopAll()
			return nil
		}
	}
}

// reload starts, restarts and stops pipelines so that what runs is what the files say. A
// file with mistakes leaves its pipeline running as it was. last is the mistakes that
// were logged before, so that they are logged once.
func (r *Runner) reload(ctx context.Context, last string) string {
	stamps := fileStamps(r.cfg.Pipelines) // before the files are read: what changes meanwhile is seen the next time
	found, errs := spec.ReadDir(r.cfg.Pipelines, r.kinds, os.LookupEnv)
	mistakes := ""
	for _, err := range errs {
		mistakes += err.Error() + "\n"
	}
	if mistakes != "" && mistakes != last {
		r.log.Error("pipeline files with mistakes are not used", slog.String("mistakes", mistakes))
	}
	wanted, read := map[string]bool{}, map[string]bool{}
	for _, p := range found {
		wanted[p.Name], read[p.File] = true, true
		r.want(ctx, p, stamps[p.File])
	}
	left := func(p *spec.Pipeline) bool { // its file is gone, or names another pipeline now
		_, err := os.Stat(p.File)
		return !wanted[p.Name] && (read[p.File] || errors.Is(err, fs.ErrNotExist))
	}
	r.mu.Lock()
	var gone []*running
	for name, one := range r.running {
		if left(one.pipe.spec) {
			gone = append(gone, one)
			delete(r.running, name)
		}
	}
	for name, p := range r.paused {
		if left(p.spec) {
			delete(r.paused, name)
		}
	}
	r.ready, r.broken, r.unread = true, brokenFiles(errs), unreadable(errs)
	r.mu.Unlock()
	for _, one := range gone {
		one.stop()
		one.pipe.forgetFigures()
		r.log.Info("pipeline removed", slog.String("pipeline", one.pipe.spec.Name))
	}
	return mistakes
}

// want makes a pipeline run as its file says now. One that somebody is about is left for the
// next look at the files.
func (r *Runner) want(ctx context.Context, p *spec.Pipeline, stamp string) {
	give, held := r.turns.try(p.Name)
	if held != nil {
		return
	}
	defer give()
	r.mu.Lock()
	old := r.running[p.Name]
	if old != nil && old.stamp == stamp {
		r.mu.Unlock()
		return
	}
	delete(r.running, p.Name)
	r.mu.Unlock()
	if old != nil {
		r.log.Info("pipeline file changed: starting over", slog.String("pipeline", p.Name))
		old.stop()
	}
	if _, err := os.Stat(p.File); errors.Is(err, fs.ErrNotExist) {
		return // deleted since its file was read
	}
	if _, err := os.Stat(r.pauseFile(p.Name)); err == nil {
		r.mu.Lock()
		r.paused[p.Name] = &stand{p, r.standing(p)}
		r.mu.Unlock()
		return
	}
	r.start(ctx, p, stamp)
}

func (r *Runner) start(ctx context.Context, p *spec.Pipeline, stamp string) {
	ctx, cancel := context.WithCancel(ctx)
	one := &running{pipe: newPipe(p, r.deps), stamp: stamp, cancel: cancel, done: make(chan struct{})}
	one.pipe.check = one.pipe.newCheck(r.checkDir(p.Name))
	r.mu.Lock()
	delete(r.paused, p.Name)
	r.running[p.Name] = one
	r.mu.Unlock()
	go func() {
		defer close(one.done)
		if err := one.pipe.run(ctx); err != nil {
			one.pipe.fail(pipeline.StatePaused, event.PauseStart, err)
			r.log.Error("pipeline stopped", slog.String("pipeline", p.Name), slog.Any("error", err))
		}
	}()
}

func (one *running) stop() {
	one.cancel()
	<-one.done
}

func (r *Runner) stopAll() {
	r.mu.Lock()
	all := make([]*running, 0, len(r.running))
	for _, one := range r.running {
		one.cancel()
		all = append(all, one)
	}
	r.mu.Unlock()
	for _, one := range all {
		<-one.done
	}
}

func (r *Runner) pauseFile(name string) string {
	return filepath.Join(r.cfg.State, name+".paused")
}

// fileStamps are, by path, texts that change when the file does.
func fileStamps(dir string) map[string]string {
	stamps := map[string]string{}
	paths, _ := spec.Files(dir) // whoever reads the files reports the errors
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil {
			stamps[path] = string(data)
		}
	}
	return stamps
}

// Statuses are the statuses of all pipelines, by name.
func (r *Runner) Statuses() []pipeline.Status {
	r.mu.Lock()
	pipes := make([]*pipe, 0, len(r.running))
	for _, one := range r.running {
		pipes = append(pipes, one.pipe)
	}
	all := make([]pipeline.Status, 0, len(r.running)+len(r.paused))
	files := map[string]string{}
	for _, one := range r.running {
		files[one.pipe.spec.Name] = one.pipe.spec.File
	}
	for name, p := range r.paused {
		files[name] = p.spec.File
		standing := p.status
		standing.Tables = cloneTables(p.status.Tables)
		if _, err := os.Stat(r.pauseFile(name)); errors.Is(err, fs.ErrNotExist) { // resumed a moment ago
			standing.State, standing.Code, standing.Reason = pipeline.StateStarting, "", ""
		}
		standing.Age(time.Now())
		all = append(all, standing)
	}
	r.mu.Unlock()
	for _, p := range pipes {
		all = append(all, p.status())
	}
	all = append(all, r.unused(all, files)...)
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// brokenFiles says by path what is wrong with files that have mistakes.
func brokenFiles(errs []error) map[string]string {
	broken := map[string]string{}
	for _, err := range errs {
		var issues config.Issues
		if errors.As(err, &issues) && len(issues) > 0 {
			broken[issues[0].File] = issues.Error()
		}
	}
	return broken
}

// unused shows which pipeline files have mistakes: on the pipeline that runs as its file
// was before, else as one that stands. files are those of the pipelines in all.
func (r *Runner) unused(all []pipeline.Status, files map[string]string) (standing []pipeline.Status) {
	r.mu.Lock()
	broken := maps.Clone(r.broken)
	r.mu.Unlock()
	names := map[string]bool{}
	for i := range all {
		s := &all[i]
		names[s.Name] = true
		what := broken[files[s.Name]]
		if what == "" {
			continue
		}
		delete(broken, files[s.Name])
		mistakes := "the file has mistakes; what it said before is in use: " + what
		if s.Code == event.PauseRequest {
			mistakes = "the file has mistakes; resume is refused until it has none: " + what
		}
		if s.Reason == "" {
			s.Reason = mistakes
		}
		if s.LastErr != "" {
			mistakes += "; and before that: " + s.LastErr
		}
		s.LastErr, s.FileError = mistakes, what
	}
	for _, path := range slices.Sorted(maps.Keys(broken)) {
		what := broken[path]
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		if names[name] {
			name = filepath.Base(path)
		}
		names[name] = true
		reason := "the file has mistakes and is not used: " + what
		standing = append(standing, pipeline.Status{Name: name, State: pipeline.StateInvalid, Reason: reason, LastErr: reason,
			Tables: []pipeline.TableStatus{}})
	}
	return standing
}

// Do carries a verb out: see httpapi.Daemon.
func (r *Runner) Do(ctx context.Context, name, table, verb string) ([]httpapi.Outcome, error) {
	r.mu.Lock()
	one, standing := r.running[name], r.paused[name]
	r.mu.Unlock()
	switch {
	case one == nil && standing == nil:
		return nil, r.notRunning(verb, name)
	case standing != nil && verb == httpapi.Pause && table == "":
		return nil, nil // it is
	case standing != nil && (verb != httpapi.Resume || table != ""):
		return nil, fmt.Errorf("%s: pipeline %s is paused; resume it first: %w", verb, name, httpapi.ErrState)
	case standing != nil:
		return nil, r.resume(ctx, name, standing.spec.File)
	case table == "" && verb == httpapi.Pause:
		return nil, r.pause(name)
	case table == "" && verb == httpapi.Resume:
		r.awaitBegun(ctx, name) // somebody may have resumed it a moment ago
	}
	return one.pipe.do(ctx, table, verb)
}

// notRunning is why nothing can be asked of a pipeline that neither runs nor is paused.
func (r *Runner) notRunning(verb, name string) error {
	all := r.Statuses()
	for _, s := range all {
		if s.Name == name && s.State == pipeline.StateInvalid {
			return fmt.Errorf("%s: %s: %w", verb, s.Reason, httpapi.ErrState)
		}
	}
	return httpapi.Unknown(name, all)
}

// pause stops a pipeline with everything durable, and remembers it.
func (r *Runner) pause(name string) error {
	defer r.turns.take(name)()
	r.mu.Lock()
	one, standing := r.running[name], r.paused[name]
	r.mu.Unlock()
	switch {
	case one == nil && standing != nil: // somebody else was first
		return nil
	case one == nil:
		return fmt.Errorf("pause: pipeline %s does not run any more: %w", name, httpapi.ErrState)
	}
	if err := vfs.WriteFileAtomic(vfs.OS(), r.pauseFile(name), []byte("paused by request\n")); err != nil {
		return fmt.Errorf("pause %s: %w", name, err)
	}
	one.stop()
	status := paused(one.pipe.status())
	r.mu.Lock()
	delete(r.running, name)
	r.paused[name] = &stand{one.pipe.spec, status}
	r.mu.Unlock()
	return r.keep(status)
}

// resume lets the next look at the files, which it asks for, start the pipeline, and waits
// until its source is open or has failed: what is asked next is asked of a pipeline that
// runs. Until then the pipeline is known as paused and shown as starting.
func (r *Runner) resume(ctx context.Context, name string, file string) error {
	if _, err := spec.ReadFile(file, r.kinds, os.LookupEnv); err != nil {
		return fmt.Errorf("resume: pipeline %s stays paused: its file has mistakes: %w: %w", name, err, httpapi.ErrState)
	}
	if err := os.Remove(r.pauseFile(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("resume %s: %w", name, err)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	r.awaitBegun(ctx, name) // it is resumed, whatever comes of that
	return nil
}

// awaitBegun waits for some time until a pipeline that is starting has begun or failed.
func (r *Runner) awaitBegun(ctx context.Context, name string) {
	for began := time.Now(); time.Since(began) < recordWait && r.starting(name); {
		if pause.For(ctx, resumeGlance) != nil {
			return
		}
	}
}

// resumeGlance is how often a resumption looks whether the pipeline has begun.
const resumeGlance = 20 * time.Millisecond

// starting reports whether a pipeline that was resumed has not begun yet.
func (r *Runner) starting(name string) bool {
	r.mu.Lock()
	one, standing := r.running[name], r.paused[name]
	r.mu.Unlock()
	if one == nil {
		return standing != nil
	}
	one.pipe.mu.Lock()
	defer one.pipe.mu.Unlock()
	return one.pipe.state == pipeline.StateStarting
}
