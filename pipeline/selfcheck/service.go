package selfcheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/verify"
)

// Config is what of a pipeline file concerns the self-check.
type Config struct {
	Sinks         []string
	Every         time.Duration
	RowsPerSecond int
	Repair        bool
	// Dir is the service's own directory.
	Dir string
	// Glance is how often tables are looked for that wait (15 s); Pause is between two looks
	// at rows that differ (2 s), and Wait how long there are such looks (2 min).
	Glance, Pause, Wait time.Duration
}

// Table is one source table as the pipeline has it now.
type Table struct {
	Name event.TableName
	// Skip is why it is not to be looked at now.
	Skip string
}

// Deps is what the service needs of the pipeline.
type Deps struct {
	Source func() (pipeline.Reader, error)
	Target func(sink string) (pipeline.Reader, error)
	Tables func(sink string) []Table
	// Unknown are those of the source's tables that the pipeline does not know; runs is false
	// while it does not run, when that can't be told.
	Unknown func(source []event.TableName) (unknown []event.TableName, runs bool)
	// Reached reports whether a target table's log has everything that its queues held at
	// some time behind since.
	Reached func(sink string, table event.TableName, since time.Time) bool
	// Complete is the time by the source's clock up to which a target's table as it is has
	// everything; zero is not known. It may be nil.
	Complete func(sink string, table event.TableName) time.Time
	// Repair has a table read anew.
	Repair func(ctx context.Context, table event.TableName) error
	Log    *slog.Logger
}

// Service is the self-check of one pipeline.
type Service struct {
	cfg  Config
	deps Deps
	pace *pace
	// census is of the goroutine that counts alone.
	census census

	// mu guards what Verified and Progress read; the goroutine of Run alone writes, but for
	// unnoticed, which is of the one that counts.
	mu     sync.Mutex
	record *record
	// trouble is why the service itself can't go on, "" when it can.
	trouble string
	rows    int64 // compared since the process began
	// visible is up to where everything is in the queues; passed is when it was first seen to
	// be beyond place, which is asked again and again.
	visible event.Position
	place   pipeline.Place
	passed  time.Time
	// unnoticed are the tables that the pipeline does not know.
	unnoticed []event.TableName
}

// New makes a service and reads its record. It starts nothing.
func New(cfg Config, deps Deps) *Service {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&cfg.Glance, 15*time.Second)
	def(&cfg.Pause, 2*time.Second)
	def(&cfg.Wait, 2*time.Minute)
	cfg.RowsPerSecond = max(1, cfg.RowsPerSecond)
	return &Service{cfg: cfg, deps: deps, pace: newPace(cfg.RowsPerSecond), record: load(cfg.Dir, deps.Log)}
}

func entryName(sink string, table event.TableName) string { return sink + "/" + table.String() }

// Verified is what is known of a target table. Any goroutine may ask.
func (s *Service) Verified(sink string, table event.TableName) pipeline.Verified {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v pipeline.Verified
	if e := s.record.Tables[entryName(sink, table)]; e != nil {
		v = e.Verified
	}
	if s.trouble != "" {
		v.State, v.Reason = verify.Unreadable, s.trouble
	}
	return v
}

// Visible is told, by any goroutine, up to where everything that the source had is in the
// queues. A nil service does not care.
func (s *Service) Visible(at event.Position) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visible = at
}

// reached asks whether a target's log has what the source's log held at a place: it must be
// in the queues first.
func (s *Service) reached(sink string, table event.TableName, at pipeline.Place) bool {
	s.mu.Lock()
	if s.place != at {
		s.place, s.passed = at, time.Time{}
	}
	if s.passed.IsZero() && beyond(s.visible.File, at.File, s.visible.Pos, at.Pos) {
		s.passed = time.Now()
	}
	since := s.passed
	s.mu.Unlock()
	return !since.IsZero() && s.deps.Reached(sink, table, since)
}

// beyond compares places of a log by the numbers of its files.
func beyond(file, than string, pos, thanPos uint64) bool {
	if file == than {
		return pos >= thanPos
	}
	a, b := file[strings.LastIndexByte(file, '.')+1:], than[strings.LastIndexByte(than, '.')+1:]
	if len(a) != len(b) { // 999999 is followed by 1000000
		return len(a) > len(b)
	}
	return a > b
}

// Rows is how many rows were compared since the process began. Any goroutine may ask.
func (s *Service) Rows() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows
}

// Run goes round after round, and counts the source's tables beside that, until ctx ends. What
// fails of its own (a full disk, a directory that is gone) is said of every table and tried
// again.
func (s *Service) Run(ctx context.Context) error {
	var counting sync.WaitGroup
	defer counting.Wait()
	counting.Go(func() { s.counts(ctx) })
	for {
		err := s.rounds(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.deps.Log.Warn("the self-check can't go on and will be tried again", slog.Any("error", err))
		s.stuck(err)
		if err := pause.For(ctx, s.cfg.Glance); err != nil {
			return err
		}
	}
}

// stuck says of every table that it is not being looked at, and why, or no longer so.
func (s *Service) stuck(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = ""
	if err != nil {
		s.trouble = "the self-check can't go on: " + err.Error()
	}
}

// rounds goes round after round until something of its own fails.
func (s *Service) rounds(ctx context.Context) error {
	if err := os.MkdirAll(s.work(), 0o700); err != nil {
		return fmt.Errorf("room of the self-check: %w", err)
	}
	for {
		now := time.Now()
		if s.record.Round.IsZero() || !now.Before(s.record.Round.Add(s.cfg.Every)) {
			s.mu.Lock()
			s.record.Round = now.UTC()
			s.mu.Unlock()
			if err := s.save(); err != nil {
				return err
			}
		}
		left, err := s.round(ctx)
		if err != nil {
			return err
		}
		s.stuck(nil)
		wait := time.Until(s.record.Round.Add(s.cfg.Every))
		if left || wait > s.cfg.Glance { // tables may come
			wait = min(wait, s.cfg.Glance)
		}
		if err := pause.For(ctx, max(wait, time.Millisecond)); err != nil {
			return err
		}
	}
}

func (s *Service) work() string { return filepath.Join(s.cfg.Dir, "work") }

func (s *Service) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record.save(s.cfg.Dir)
}

// round looks at each table that was not looked at in this round. left says that some could
// not be.
func (s *Service) round(ctx context.Context) (left bool, err error) {
	for _, first := range []bool{true, false} { // what was begun before a restart comes first
		for _, sink := range s.cfg.Sinks {
			for _, t := range s.deps.Tables(sink) {
				name := entryName(sink, t.Name)
				if first != (name == s.record.Present) {
					continue
				}
				done, err := s.one(ctx, sink, t)
				if err != nil {
					return left, err
				}
				left = left || !done
			}
		}
	}
	return left, nil
}

// one looks at a table if its turn has come.
func (s *Service) one(ctx context.Context, sink string, t Table) (done bool, err error) {
	name := entryName(sink, t.Name)
	s.mu.Lock()
	e := s.record.entry(name)
	s.mu.Unlock()
	switch {
	case !e.Done.Before(s.record.Round):
		return true, nil
	case t.Skip != "":
		s.note(e, func() { e.State, e.Reason = pipeline.VerifiedSkipped, t.Skip })
		return false, nil
	case time.Now().Before(e.next):
		return false, nil
	}
	s.note(e, func() {
		if e.State == pipeline.VerifiedSkipped {
			e.State, e.Reason = "", ""
		}
	})
	begun, got, err := s.compare(ctx, sink, t.Name, name)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		got = verify.Table{Name: t.Name.String(), Unreadable: err.Error()}
	}
	return s.take(ctx, sink, t.Name, e, begun, got)
}

// compare is one pass over a table, which a restart goes on with.
func (s *Service) compare(ctx context.Context, sink string, table event.TableName, name string) (
	begun time.Time, out verify.Table, err error) {
	source, err := s.deps.Source()
	if err != nil {
		return begun, out, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := s.deps.Target(sink)
	if err != nil {
		return begun, out, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	begun = time.Now().UTC()
	o := verify.Options{
		Dir: s.work(), Wait: s.cfg.Wait, Pause: s.cfg.Pause, Pace: s.pace.wait, ChunkRows: min(8192, max(100, s.cfg.RowsPerSecond/5)),
		SaveEvery: 5 * time.Second, Room: func() error { return room(s.cfg.Dir) },
		Reached:   func(_ context.Context, at pipeline.Place) (bool, error) { return s.reached(sink, table, at), nil },
		PartBytes: 4 << 20,
		Complete: func() time.Time {
			if s.deps.Complete == nil {
				return time.Time{}
			}
			return s.deps.Complete(sink, table)
		},
		Save: func(c verify.Cursor) error {
			s.mu.Lock()
			s.record.Present, s.record.Cursor = name, &c
			s.mu.Unlock()
			return s.save()
		},
	}
	if s.record.Present == name && s.record.Cursor != nil {
		o.Resume, begun = s.record.Cursor, s.record.Cursor.Begun
	}
	out, err = verify.Check(ctx, source, target, table, o)
	if ctx.Err() != nil {
		return begun, out, ctx.Err()
	}
	s.mu.Lock()
	s.record.Present, s.record.Cursor = "", nil
	s.rows += out.SourceRows
	s.mu.Unlock()
	return begun, out, errors.Join(err, os.RemoveAll(s.work()), os.MkdirAll(s.work(), 0o700), s.save())
}

// mostWait bounds the pauses between looks that tell nothing.
const mostWait = time.Hour

// take takes note of an outcome; done says that the table needs no more looks in this round.
func (s *Service) take(ctx context.Context, sink string, table event.TableName, e *entry, begun time.Time, got verify.Table) (
	done bool, err error) {
	state, reason := got.State(), reasonOf(got)
	log := s.deps.Log.With(slog.String("sink", sink), slog.String("table", table.String()))
	again := true
	s.note(e, func() {
		told := e.State == state && e.Reason == reason
		e.State, e.Reason, e.At, e.Rows, e.Differences = state, reason, time.Now().UTC(), got.SourceRows, 0
		switch state {
		case verify.Equal:
			e.Through, e.Mending, again = begun, false, false
		case verify.Differs:
			e.Differences, again = got.Differences(), false
			log.Warn("the self-check found that source and target differ",
				slog.Int64("missing", got.Missing), slog.Int64("extra", got.Extra), slog.Int64("different", got.Different), slog.Int64("twice",
					got.Duplicates), slog.String("rows", reason))
		case verify.PutAside:
			e.Mending, again = false, false
			if !told {
				log.Warn("the self-check found nothing that differs but what is put aside", slog.Int64("rows", got.Aside))
			}
		default:
			if !told {
				log.Warn("the self-check could not tell whether source and target are equal", slog.String("state", state),
					slog.String("reason", reason))
			}
		}
		if again {
			e.wait = min(max(2*e.wait, 2*s.cfg.Glance), mostWait)
			e.next = time.Now().Add(e.wait)
		} else {
			e.wait, e.Done = 0, s.record.Round
		}
	})
	switch {
	case state != verify.Differs || !s.cfg.Repair:
	case e.Mending:
		s.note(e, func() { e.Reason += fmt.Sprintf(notAgain, e.Repaired.Format(time.RFC3339)) })
	default:
		s.repair(ctx, table, e, log)
	}
	return !again, s.save()
}

// notAgain is said of a table that differs after it was read anew.
const notAgain = "; it was read anew at %s and has not been equal since: it is not read anew by itself once more. " +
	"Find the cause, then take a snapshot of the table"

// repair has a table read anew, once until it is found equal; the next look is due when it is.
func (s *Service) repair(ctx context.Context, table event.TableName, e *entry, log *slog.Logger) {
	err := s.deps.Repair(ctx, table)
	s.note(e, func() {
		if err != nil {
			e.Reason += "; it could not be asked to be read anew: " + err.Error()
			return
		}
		e.Repaired, e.Mending, e.Done = time.Now().UTC(), true, time.Time{}
		e.Repairs++
		e.Reason += "; it is read anew"
		e.next = time.Now().Add(s.cfg.Glance)
	})
	if err != nil {
		log.Warn("the table that differs could not be asked to be read anew", slog.Any("error", err))
		return
	}
	log.Info("the table that differs is read anew, for verify.repair says so")
}

func (s *Service) note(e *entry, fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// reasonOf is one line on an outcome that is not equal.
func reasonOf(t verify.Table) string {
	var parts []string
	for _, part := range []string{t.Unreadable, t.Orphaned, t.Problem, t.Behind} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if n := t.Differences(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d rows: %s", n, strings.Join(t.Examples, "; ")))
	}
	if t.Aside > 0 {
		parts = append(parts, fmt.Sprintf("%d rows are put aside", t.Aside))
	}
	if t.Unsettled > 0 {
		parts = append(parts, fmt.Sprintf("%d rows kept changing", t.Unsettled))
	}
	return strings.Join(parts, "; ")
}
