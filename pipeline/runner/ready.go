package runner

import (
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/config"
	"github.com/millrace/millrace/internal/httpserve"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// maxFaults is how many faults readiness names.
const maxFaults = 8

// Ready is nil when all data flows that should. What a person paused is no fault: it comes
// as a httpserve.Remark.
func (r *Runner) Ready() error {
	r.mu.Lock()
	read, unread := r.ready, r.unread
	r.mu.Unlock()
	if !read {
		return errors.New("the pipeline files have not been read yet")
	}
	var found findings
	if unread != nil {
		found.fault("the pipeline files can't be read: %v", unread)
	}
	for _, s := range r.Statuses() {
		found.pipeline(&s)
	}
	return found.err()
}

// findings are what keeps a daemon from being ready, and what was asked for.
type findings struct{ faults, asked []string }

func (f *findings) fault(format string, a ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, a...))
}

func (f *findings) pipeline(s *pipeline.Status) {
	switch {
	case s.FileError == "":
	case s.Code == event.PauseRequest:
		f.fault("pipeline %s is paused, and its file has mistakes: %s", s.Name, s.FileError)
	default:
		f.fault("pipeline %s runs by what its file said before: %s", s.Name, s.FileError)
	}
	switch {
	case pipeline.Blocks(s.State, s.Code):
		f.fault("pipeline %s is %s: %s", s.Name, s.State, s.Reason)
		return // what its tables do follows from it
	case s.State == pipeline.StatePaused:
		f.asked = append(f.asked, "pipeline "+s.Name)
		return
	}
	for i := range s.Tables {
		f.table(s.Name, &s.Tables[i])
	}
}

func (f *findings) table(name string, t *pipeline.TableStatus) {
	switch {
	case pipeline.Blocks(t.State, t.Code):
		f.fault("table %s of pipeline %s is %s: %s", t.Name, name, t.State, t.Reason)
		return
	case t.Code == event.PauseRequest:
		f.asked = append(f.asked, "table "+t.Name+" of pipeline "+name)
	}
	for _, one := range t.Sinks {
		if one.State == pipeline.StateWaiting && (t.State == pipeline.StateDropped || t.State == pipeline.StateExcluded ||
			t.Code == event.PauseRequest) {
			continue // the snapshot that it waits for comes only when the table is wanted again
		}
		if pipeline.Blocks(one.State, one.Code) {
			f.fault("table %s of pipeline %s is %s in sink %s: %s", t.Name, name, one.State, one.Sink, one.Reason)
		}
	}
}

func (f *findings) err() error {
	if n := len(f.faults) - maxFaults; n > 0 {
		f.faults = append(f.faults[:maxFaults], fmt.Sprintf("and %d more", n))
	}
	if len(f.faults) > 0 {
		return errors.New(strings.Join(f.faults, "; "))
	}
	if len(f.asked) > 0 {
		return httpserve.Remark("paused by request: " + strings.Join(f.asked, ", "))
	}
	return nil
}

// unreadable is why a directory of pipeline files can't be read; mistakes in files are no
// such reason.
func unreadable(errs []error) error {
	for _, err := range errs {
		var issues config.Issues
		if !errors.As(err, &issues) {
			return err
		}
	}
	return nil
}
