package runner

import (
	"fmt"

	"github.com/millrace/millrace/pipeline"
)

// lagUnknown is why nobody knows how old what a target has of a table is; "" when it is
// known. unfounded says that the target never had the table as a whole. Of several reasons
// it is the one without whose end none of those behind it can end: that the target was not
// looked at, what ended or paused the table, what the pipeline, then the target stands for,
// and only then that the table's snapshot is not through.
func lagUnknown(p *pipeline.Status, t *pipeline.TableStatus, s *pipeline.SinkSummary, unfounded bool) string {
	lacks := ", and nothing says how far the target is complete"
	if unfounded {
		lacks = ", and the target does not have it as a whole"
	}
	switch {
	case !s.CompleteTo.Target.IsZero():
		return ""
	case s.Generation == 0 && s.Reason != "":
		return "the target was not opened yet: " + s.Reason
	case s.Generation == 0:
		return "the target is not open yet"
	}
	switch t.State {
	case pipeline.StateDropped:
		return "the source has it no longer" + lacks
	case pipeline.StateExcluded:
		return "the pipeline file leaves it out" + lacks
	case pipeline.StateUnnoticed:
		return "nothing of it is taken" + lacks
	case pipeline.StatePaused:
		if t.Code != "" { // else it is the pipeline that is
			return fmt.Sprintf("it is paused (%s)%s", t.Code, lacks)
		}
	}
	switch {
	case p.State != pipeline.StateRunning:
		return "the pipeline is " + because(p.State, p.Reason) + lacks
	case !s.State.Flows():
		return "the target is " + because(s.State, s.Reason) + lacks
	case t.State == pipeline.StateDue:
		return "its snapshot is " + because("due", t.Reason) + lacks
	case t.State == pipeline.StateSnapshot:
		return "its snapshot is " + because("under way", t.Reason) + lacks
	case unfounded:
		return fmt.Sprintf("it was never read as a whole, and what it held before is not in the target; `millrace pipeline snapshot %s "+
			"%s` reads it", p.Name, t.Name)
	}
	return "the target is not known to have all that the queues hold"
}

// because is a state with its reason, when there is one.
func because(state pipeline.State, reason string) string {
	if reason == "" {
		return string(state)
	}
	return fmt.Sprintf("%s (%s)", state, reason)
}
