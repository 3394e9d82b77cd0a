package pipeline

import "github.com/millrace/millrace/pipeline/event"

// State is what a pipeline, a table or a target table does. Which states there are, what
// each means and what readiness says of it is listed once, in States.
type State string

// The states.
const (
	StateStarting  State = "starting"
	StateRunning   State = "running"
	StateSnapshot  State = "snapshot"
	StateDue       State = "due"
	StateStalled   State = "stalled"
	StateWaiting   State = "waiting"
	StateBehind    State = "behind"
	StateRetrying  State = "retrying"
	StatePaused    State = "paused"
	StateExcluded  State = "excluded"
	StateDropped   State = "dropped"
	StateUnnoticed State = "unnoticed"
	StateInvalid   State = "invalid"
	StateStopped   State = "stopped"
)

// Flows reports whether a target table takes every change, though it, or its merged form, may
// be behind.
func (s State) Flows() bool { return s == StateRunning || s == StateBehind }

// Readiness is what /readyz says of a state or of a pause.
type Readiness string

// The answers.
const (
	// Ready: data flows, or nobody wants it to.
	Ready Readiness = "200"
	// Unready: data that should flow does not.
	Unready Readiness = "503"
	// ByCode: the pause code decides.
	ByCode Readiness = "by its code"
)

// Whose says to what a state belongs.
type Whose uint8

// Sets of owners.
const (
	OfPipeline Whose = 1 << iota
	OfTable
	OfSink
)

// StateInfo is one line of the list of states.
type StateInfo struct {
	State  State
	Of     Whose
	Text   string
	Remedy string // "" when nobody is to do anything
	Ready  Readiness
}

// States is the list of all states. docs/states.md is made of it.
func States() []StateInfo {
	return []StateInfo{
		{StateStarting, OfPipeline | OfTable | OfSink, "it is being opened; nothing flows yet", "", Unready},
		{StateRunning, OfPipeline | OfTable | OfSink, "every change goes where it should", "", Ready},
		{StateSnapshot, OfTable, "the table is read as a whole; its changes flow beside it", "", Ready},
		{StateDue, OfTable, "the table is to be read as a whole and that has not begun", "", Ready},
		{StateStalled, OfPipeline, "the server's log goes on and nothing of it comes over a connection that seems whole",
			"look at the network between the two and at the server's replication threads (SHOW PROCESSLIST)", Unready},
		{StateWaiting, OfSink, "its queues lack what follows in the target; a snapshot is asked for by itself",
			"give the broker a longer retention (holdReservedTime, holdRetentionBytes) if that is why", Unready},
		{StateBehind, OfSink, "it takes changes more slowly than they come: current/ can't be merged, or not as fast as changes/ grows, or the " +
			"target has too many parts",
			"see the reason; where it is only slow, give it more memory or processors, or a longer current.interval or flush.interval", Unready},
		{StateRetrying, OfPipeline | OfTable | OfSink, "something failed that may pass, and is tried again with growing pauses",
			"see the reason: the server, the broker, the network or the target that it names", Unready},
		{StatePaused, OfPipeline | OfTable | OfSink, "it stands still, with a pause code", "see the code", ByCode},
		{StateExcluded, OfTable, "the pipeline file does not take the table in; what was in its queues still reaches the targets. " +
			"It is shown until nothing of it is left there",
			"name it in source.tables again, and it goes on with a new snapshot", Ready},
		{StateDropped, OfTable, "the source has the table no longer; its target stays as it was then (on_drop_table: keep). " +
			"It is shown until nothing of it is left in its queues",
			"remove the target's directory when nobody needs it; it is not made again", Ready},
		{StateUnnoticed, OfTable, "the source has the table and the pipeline does not know it, as its self-check found; nothing " +
			"of it is in the targets",
			"`millrace pipeline pause` and `resume` have it read; report the statement that made it", Unready},
		{StateInvalid, OfPipeline, "its file has mistakes and nothing runs of it",
			"`millrace pipeline validate FILE` names all of them", Unready},
		{StateStopped, OfPipeline | OfTable | OfSink, "it is being removed, or its daemon ends", "", Unready},
	}
}

// PauseInfo is one line of the list of pause codes.
type PauseInfo struct {
	Code   event.PauseCode
	Of     Whose
	Text   string
	Remedy string
	Ready  Readiness
}

// PauseCodes is the list of all pause codes. docs/states.md is made of it.
func PauseCodes() []PauseInfo {
	const again = "`millrace pipeline resume PIPELINE DB.TABLE` then reads it anew"
	return []PauseInfo{
		{event.PauseRequest, OfPipeline | OfTable, "somebody asked for it", "`millrace pipeline resume`", Ready},
		{event.PauseRoute, OfTable, "the pipeline file asks for other queues or another key than the table's queues were filled by",
			"put the line back that the reason names; it goes on by itself", Unready},
		{event.PauseExcluded, OfTable, "the pipeline file does not take the table in (shown as the state excluded)",
			"name it in source.tables; it goes on by itself", Ready},
		{event.PauseDropped, OfTable, "the source dropped or renamed the table (shown as the state dropped)",
			"remove the target when nobody needs it; a table of that name goes on by itself", Ready},
		{event.PauseRowImage, OfTable, "the log holds rows in part",
			"SET GLOBAL binlog_row_image='FULL', have sessions reconnect; " + again, Unready},
		{event.PauseRowValueOptions, OfTable, "the log holds JSON updates in part", "SET GLOBAL binlog_row_value_options=''; " + again, Unready},
		{event.PauseStatement, OfTable, "a statement changed rows that the log does not hold",
			"SET GLOBAL binlog_format='ROW', have sessions reconnect; " + again, Unready},
		{event.PauseUndecodable, OfTable, "a row can't be decoded", again + "; report the value", Unready},
		{event.PauseSchema, OfTable, "its definition and its rows do not fit", again + " under the server's definition", Unready},
		{event.PauseKey, OfTable, "the key that the pipeline file names is not one of the table",
			"correct tables.<db.table>.key in the pipeline file", Unready},
		{event.PauseColumns, OfTable, "what the pipeline file keeps back of it can't be had, or might leave under another name",
			"correct columns or where of tables.<db.table> in the pipeline file; " + again, Unready},
		{event.PauseVersioned, OfTable, "it keeps its former rows (SYSTEM VERSIONING), which is not supported",
			"take it out with a pattern that begins with !, or drop the versioning; " + again, Unready},
		{event.PauseType, OfTable, "it has a column of a type that is not supported",
			"convert the column, or take the table out with a pattern that begins with !", Unready},
		{event.PauseCharset, OfTable, "it has a column of a character set that is not known, or a key whose bytes are not " +
			"one row's alone in UTF-8",
			"convert the column, or take the table out with a pattern that begins with !; " + again, Unready},
		{event.PauseSnapshot, OfTable, "it can't be read as a whole", "see the reason; " + again, Unready},
		{event.PausePrivilege, OfTable, "the user may not see it", "GRANT SELECT on it; " + again, Unready},
		{event.PauseOversize, OfTable, "a row is larger than a message of the broker may be",
			"raise maxMessageSize at the broker (15 MiB at most) and start it again, or make the row smaller; " + again, Unready},
		{event.PauseTarget, OfSink, "the target can't be written (full disk, missing permission)",
			"see the reason; it goes on by itself when the target can be written", Unready},
		{event.PauseRecord, OfSink, "a record is such that the target can't take it; the reason names it",
			"`millrace pipeline snapshot PIPELINE DB.TABLE` has the table read anew, which goes past the record", Unready},
		{event.PauseHistory, OfPipeline, "the source's log does not hold what was not read yet, or not what was read",
			"`millrace pipeline snapshot PIPELINE` begins anew; `resume` looks again whether the log is back", Unready},
		{event.PauseFile, OfPipeline, "what the pipeline file says can't be had (a sink, a variable)",
			"correct the file, or `millrace pipeline resume PIPELINE` when the cause is gone", Unready},
		{event.PauseStart, OfPipeline, "it ended with an error that it does not come back from by itself",
			"see the reason, then `millrace pipeline resume PIPELINE`", Unready},
	}
}

// Blocks reports whether a state means that data which should flow does not.
func Blocks(s State, code event.PauseCode) bool {
	for _, info := range States() {
		if info.State == s && info.Ready != ByCode {
			return info.Ready == Unready
		}
	}
	for _, info := range PauseCodes() {
		if info.Code == code {
			return info.Ready == Unready
		}
	}
	return true
}

// SnapshotMode says when a source's tables are read as a whole.
type SnapshotMode string

// The modes.
const (
	SnapshotInitial    SnapshotMode = "initial"     // tables that come newly are
	SnapshotNever      SnapshotMode = "never"       // none is, unless asked for
	SnapshotWhenNeeded SnapshotMode = "when_needed" // initial, and all of them when the history does not match
)
