package life

// Rule says what an event does to each of a table's facts. An empty effect leaves the fact
// as it is.
type Rule struct {
	Source  SourceEffect
	File    FileEffect
	Pause   PauseEffect
	Attempt AttemptEffect
}

// Effects on the facts.
type (
	SourceEffect  string
	FileEffect    string
	PauseEffect   string
	AttemptEffect string
)

// The effects, as docs/states.md tells them.
const (
	sourceRecorded SourceEffect = "as recorded"
	sourceGone     SourceEffect = "gone"
	sourceHas      SourceEffect = "there"

	fileTakes     FileEffect = "takes it in"
	fileMisroutes FileEffect = "another route"
	fileLeavesOut FileEffect = "leaves it out"

	pauseRecorded PauseEffect = "as recorded; a wish to pause it stays"
	pauseAsk      PauseEffect = "asked for, unless it stands"
	pauseWithdraw PauseEffect = "to go on; what was only asked for is forgotten"
	pauseSet      PauseEffect = "stands, for the first reason since it flowed or was asked to go on"
	pauseByFile   PauseEffect = "stands by the file, unless it stands for another reason"
	pauseEnd      PauseEffect = "flows"

	attemptRecorded AttemptEffect = "as recorded"
	attemptOwe      AttemptEffect = "owed; one under way is given up"
	attemptBegin    AttemptEffect = "under way"
	attemptGoOn     AttemptEffect = "under way, unless it was given up"
	attemptEnd      AttemptEffect = "none, unless it was given up"
	attemptDrop     AttemptEffect = "none"
)

// Rules is the whole life of a table: what each kind of event does.
func Rules() map[Kind]Rule {
	return map[Kind]Rule{
		Opened:    {Source: sourceRecorded, Pause: pauseRecorded, Attempt: attemptRecorded},
		Taken:     {File: fileTakes},
		Misrouted: {File: fileMisroutes, Pause: pauseByFile},
		LeftOut:   {File: fileLeavesOut, Pause: pauseByFile},
		Asked:     {Pause: pauseAsk},
		Withdrawn: {Pause: pauseWithdraw},
		Paused:    {Pause: pauseSet},
		Resumed:   {Pause: pauseEnd},
		Due:       {Attempt: attemptOwe},
		Begun:     {Attempt: attemptBegin},
		Advanced:  {Attempt: attemptGoOn},
		Ended:     {Attempt: attemptEnd},
		Dropped:   {Source: sourceGone, Attempt: attemptDrop},
		Created:   {Source: sourceHas},
	}
}

// Kinds are all kinds of events, in order.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}
