package life

import (
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// Table is what one table of a pipeline does. It is a value; the zero one runs.
type Table struct {
	gone  event.PauseReason // with a code: the source has it no longer
	file  filing
	filed event.PauseReason // why the file does not let it flow
	pause event.PauseReason // with a code: it stands
	asked bool              // it is asked to stand, and does not yet
	taken bool              // it stands and is asked to go on: what pauses it then is another reason
	stage stage
	// attempt is the one that is owed (without BEGIN) or under way; given is the highest
	// BEGIN of those that were given up: what comes of them is of the past.
	attempt attempt
	given   event.Seq
}

// attempt is how far an event.Attempt is.
type attempt struct {
	begin                 event.Seq
	chunk, rows, estimate uint64
	cause                 string
}

func attemptOf(a *event.Attempt) attempt {
	return attempt{a.Begin, a.Chunk, a.Rows, a.Estimate, a.Cause}
}

// filing is what the pipeline file says of a table.
type filing uint8

const (
	takenIn filing = iota
	misrouted
	leftOut
)

// stage is where a table's snapshot is.
type stage uint8

const (
	noAttempt stage = iota
	owed
	underWay
)

// After is the table behind an event.
func (t Table) After(e Event) Table {
	rule := Rules()[e.Kind]
	t.source(rule.Source, e)
	t.fileSays(rule.File, e)
	t.stand(rule.Pause, e)
	t.read(rule.Attempt, e)
	return t
}

func (t *Table) source(effect SourceEffect, e Event) {
	switch effect {
	case sourceRecorded:
		t.gone = event.PauseReason{}
		if e.Recorded.Pause.Code == event.PauseDropped {
			t.gone = e.Recorded.Pause
		}
	case sourceGone:
		t.gone = e.Reason
	case sourceHas:
		t.gone = event.PauseReason{}
	}
}

func (t *Table) fileSays(effect FileEffect, e Event) {
	switch effect {
	case fileTakes:
		t.file, t.filed = takenIn, event.PauseReason{}
	case fileMisroutes:
		t.file, t.filed = misrouted, e.Reason
	case fileLeavesOut:
		t.file, t.filed = leftOut, e.Reason
	}
}

func (t *Table) stand(effect PauseEffect, e Event) {
	stands := t.pause.Code != ""
	switch effect {
	case pauseRecorded:
		t.pause = event.PauseReason{}
		if e.Recorded.Pause.Code != event.PauseDropped {
			t.pause = e.Recorded.Pause
		}
		t.asked, t.taken = t.asked && t.pause.Code == "", false
	case pauseAsk:
		t.asked, t.taken = !stands, false
	case pauseWithdraw:
		t.asked, t.taken = false, stands
	case pauseSet:
		if !stands || t.taken {
			t.pause, t.asked, t.taken = e.Reason, false, false
		}
	case pauseByFile:
		if !stands || t.pause.Code.ByFile() {
			t.pause, t.asked, t.taken = e.Reason, false, false
		}
	case pauseEnd:
		t.pause, t.asked, t.taken = event.PauseReason{}, false, false
	}
}

func (t *Table) read(effect AttemptEffect, e Event) {
	switch effect {
	case attemptRecorded:
		t.stage, t.attempt, t.given = noAttempt, attempt{}, 0
		if a := e.Recorded.Attempt; a != nil {
			t.stage, t.attempt = owed, attemptOf(a)
			if a.Begin != 0 {
				t.stage = underWay
			}
		}
	case attemptOwe:
		t.given = max(t.given, t.attempt.begin)
		t.stage, t.attempt = owed, attempt{cause: e.Cause}
	case attemptBegin:
		t.stage, t.attempt = underWay, attemptOf(&e.Attempt)
	case attemptGoOn:
		if e.Attempt.Begin > t.given {
			t.stage, t.attempt = underWay, attemptOf(&e.Attempt)
		}
	case attemptEnd:
		if e.Attempt.Begin > t.given {
			t.stage, t.attempt = noAttempt, attempt{}
		}
	case attemptDrop:
		t.stage, t.attempt = noAttempt, attempt{}
	}
}

// State is what people see of the table, with the code of a pause and the reason in words.
func (t Table) State() (state pipeline.State, code event.PauseCode, reason string) {
	switch {
	case t.gone.Code != "":
		return pipeline.StateDropped, t.gone.Code, t.gone.Text
	case t.file == leftOut:
		return pipeline.StateExcluded, event.PauseExcluded, t.filed.Text
	case t.pause.Code == event.PauseExcluded:
		return pipeline.StateExcluded, t.pause.Code, t.pause.Text
	case t.Stands():
		why := t.Why()
		return pipeline.StatePaused, why.Code, why.String()
	case t.stage == underWay:
		return pipeline.StateSnapshot, "", t.attempt.cause
	case t.stage == owed:
		return pipeline.StateDue, "", t.attempt.cause
	}
	return pipeline.StateRunning, "", ""
}

// Flows reports whether the queues have, or will have, all that the source does to the
// table: it neither stands nor is a snapshot of it owed or under way.
func (t Table) Flows() bool {
	return t.gone.Code == "" && t.file != leftOut && !t.Stands() && t.stage == noAttempt
}

// Stands reports whether the table is paused, or asked to be.
func (t Table) Stands() bool { return t.pause.Code != "" || t.asked }

// Halted reports whether its rows are published no longer.
func (t Table) Halted() bool { return t.pause.Code != "" }

// Wished reports whether it is asked to stand and no record has it.
func (t Table) Wished() bool { return t.asked }

// Why is why it stands.
func (t Table) Why() event.PauseReason {
	if t.pause.Code == "" && t.asked {
		return event.Requested()
	}
	return t.pause
}

// Gone is why the source has it no longer; without a code it has it.
func (t Table) Gone() event.PauseReason { return t.gone }

// Held is why it can't be resumed while the pipeline file is as it is; without a code it can.
func (t Table) Held() event.PauseReason { return t.filed }

// Attempt is the snapshot that is owed (without BEGIN) or under way, if any.
func (t Table) Attempt() (a event.Attempt, ok bool) {
	b := t.attempt
	return event.Attempt{Begin: b.begin, Chunk: b.chunk, Rows: b.rows, Estimate: b.estimate, Cause: b.cause}, t.stage != noAttempt
}

// StoodAt is the place from which on the queues have nothing of the table any more; ok is
// false when they go on.
func (t Table) StoodAt() (at event.Position, ok bool) {
	switch {
	case t.gone.Code != "":
		return t.gone.Where, true
	case t.Stands():
		return t.pause.Where, true
	}
	return event.Position{}, false
}
