package selfcheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/pause"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// unnoticedLooks is how often in a row a table is missed before that is said: it may be
// dropped or renamed, and made again, between what one look asks.
const unnoticedLooks = 2

// suspect is a table that the source has and the pipeline does not know.
type suspect struct {
	place pipeline.Place // behind which the source had it
	looks int            // that missed it, with everything before the place in the queues
}

// census counts the source's tables as often as there is a round, and in between while the
// pipeline does not run or does not know one of them.
type census struct {
	suspects map[event.TableName]suspect
	failed   string // what was last said of a count that failed
}

// errNotRunning says that a pipeline which does not run can't be asked what it knows.
var errNotRunning = errors.New("the pipeline does not run")

// counts counts the source's tables until ctx ends. It does not wait for comparisons, which
// may take days.
func (s *Service) counts(ctx context.Context) {
	for {
		wait := s.cfg.Every
		if left := s.count(ctx); left {
			wait = min(wait, s.cfg.Glance)
		}
		if pause.For(ctx, wait) != nil {
			return
		}
	}
}

// count asks the source for its tables. One that the pipeline does not know, although all that
// the source's log held when it was there is in the queues, was not noticed: no comparison of
// what the pipeline knows would find it. left says that the count is not over.
func (s *Service) count(ctx context.Context) (left bool) {
	suspects, err := s.miss(ctx)
	if ctx.Err() != nil {
		return true
	}
	if errors.Is(err, errNotRunning) { // what was found before may no longer be so
		s.census.suspects = nil
		s.tell(nil)
		return true
	}
	if err != nil {
		if text := err.Error(); text != s.census.failed {
			s.census.failed = text
			s.deps.Log.Warn("whether the source has tables that the pipeline does not know can't be told yet", slog.Any("error", err))
		}
		return true
	}
	s.census.failed, s.census.suspects = "", suspects
	s.tell(suspects)
	return len(suspects) > 0
}

// miss is one look: which tables the pipeline does not know, and how often in a row that was
// so.
func (s *Service) miss(ctx context.Context) (out map[event.TableName]suspect, err error) {
	s.mu.Lock()
	visible := s.visible // before the pipeline is asked what it knows
	s.mu.Unlock()
	source, err := s.deps.Source()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	names, err := source.Tables(ctx)
	if err != nil {
		return nil, fmt.Errorf("the source's tables: %w", err)
	}
	unknown, runs := s.deps.Unknown(names)
	if !runs {
		return nil, errNotRunning
	}
	placed, ok := source.(pipeline.Placed)
	if len(unknown) == 0 || !ok {
		return nil, nil
	}
	place, err := placed.Place(ctx) // behind the list
	if err != nil {
		return nil, fmt.Errorf("the source's place: %w", err)
	}
	out = map[event.TableName]suspect{}
	for _, name := range unknown {
		was, again := s.census.suspects[name]
		switch {
		case !again:
			out[name] = suspect{place: place}
		case beyond(visible.File, was.place.File, visible.Pos, was.place.Pos):
			out[name] = suspect{place: place, looks: was.looks + 1}
		default:
			out[name] = was
		}
	}
	return out, nil
}

// tell takes note of what was not noticed and says it once.
func (s *Service) tell(suspects map[event.TableName]suspect) {
	names := slices.SortedFunc(maps.Keys(suspects), func(a, b event.TableName) int { return strings.Compare(a.String(), b.String()) })
	names = slices.DeleteFunc(names, func(n event.TableName) bool { return suspects[n].looks < unnoticedLooks })
	s.mu.Lock()
	before := s.unnoticed
	s.unnoticed = names
	s.mu.Unlock()
	for _, n := range names {
		if !slices.Contains(before, n) {
			s.deps.Log.Warn("the source has a table that the pipeline does not know; pause and resume the pipeline to have it read",
				slog.String("table", n.String()))
		}
	}
}

// Unnoticed are the tables that the source was found to have and the pipeline not to know, by
// name. Any goroutine may ask; a nil service knows of none.
func (s *Service) Unnoticed() []event.TableName {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.unnoticed)
}
