package runner

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/spec"
)

// stand is a pipeline that a person paused: its tables, its position and how far its
// targets are complete stay to be seen, also by the daemons that come after. The pause file
// holds them.
type stand struct {
	spec   *spec.Pipeline
	status pipeline.Status
}

// paused is a status after the pause that was asked for.
func paused(s pipeline.Status) pipeline.Status {
	s.State, s.Code, s.Reason = pipeline.StatePaused, event.PauseRequest, event.Requested().String()
	s.Source.Connected, s.Source.Error = false, ""
	s.Tables = cloneTables(s.Tables)
	for i := range s.Tables {
		t := &s.Tables[i]
		switch t.State {
		case pipeline.StatePaused, pipeline.StateDropped, pipeline.StateExcluded:
		default:
			t.State, t.Code, t.Reason = s.State, s.Code, ""
		}
		for k := range t.Sinks {
			one := &t.Sinks[k]
			one.State, one.Code, one.Reason = s.State, s.Code, ""
			if one.LagUnknown != "" && t.Code == s.Code {
				one.LagUnknown = "the pipeline was paused before the target was known to have the table as a whole"
			}
		}
	}
	return s
}

func cloneTables(tables []pipeline.TableStatus) []pipeline.TableStatus {
	tables = slices.Clone(tables)
	for i := range tables {
		tables[i].Sinks = slices.Clone(tables[i].Sinks)
	}
	return tables
}

// keep writes what a paused pipeline shows into its pause file.
func (r *Runner) keep(s pipeline.Status) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = vfs.WriteFileAtomic(vfs.OS(), r.pauseFile(s.Name), text)
	}
	if err != nil {
		return fmt.Errorf("pause %s: it is paused, but a daemon that comes later will not know its tables: %w", s.Name, err)
	}
	return nil
}

// standing is what the pause file says; without one, or with one of an older version, no
// more than that the pipeline is paused.
func (r *Runner) standing(p *spec.Pipeline) pipeline.Status {
	var s pipeline.Status
	text, err := os.ReadFile(r.pauseFile(p.Name))
	if err != nil || json.Unmarshal(text, &s) != nil {
		s = pipeline.Status{Tables: []pipeline.TableStatus{}}
	}
	s.Name, s.Source.Type = p.Name, p.Source.Type
	s.Sinks = nil
	for _, one := range p.Sinks {
		s.Sinks = append(s.Sinks, one.Name)
	}
	return paused(s)
}
