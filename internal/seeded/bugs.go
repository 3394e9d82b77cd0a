package seeded

// Bug names one bug that can be switched on.
type Bug string

// The bugs, in the order of the rules that they break.
const (
	OpenNotDurable          Bug = "open-not-durable"
	FenceMissing            Bug = "fence-missing"
	LinkNotChecked          Bug = "link-not-checked"
	OffsetReused            Bug = "offset-reused"
	EndTwice                Bug = "end-twice"
	AckBeforeFlush          Bug = "ack-before-flush"
	HalfDiscarded           Bug = "half-discarded"
	OpenAfterRead           Bug = "open-after-read"
	ChainBroken             Bug = "chain-broken"
	PositionBeforeGroups    Bug = "position-before-groups"
	DoneByNumber            Bug = "done-by-number"
	ResolveLastOnly         Bug = "resolve-last-only"
	TrimBySeq               Bug = "trim-by-seq"
	EpochNotRaised          Bug = "epoch-not-raised"
	CheckbackCommits        Bug = "checkback-commits"
	NumbersByTableList      Bug = "numbers-by-table-list"
	EventSkippedOnReconnect Bug = "event-skipped-on-reconnect"
	FingerprintUnchecked    Bug = "fingerprint-unchecked"
	LowByPosition           Bug = "low-by-position"
	ChunkSharesNumber       Bug = "chunk-shares-number"
	ChunkCutShort           Bug = "chunk-cut-short"
	RolledBackRowsKept      Bug = "rolled-back-rows-kept"
	BeginLate               Bug = "begin-late"
	AttemptOutlivesDDL      Bug = "attempt-outlives-ddl"
	EndInOneQueue           Bug = "end-in-one-queue"
	KeylessBeginEarly       Bug = "keyless-begin-early"
	DefaultNotFilled        Bug = "default-not-filled"
	AlterPartByPart         Bug = "alter-part-by-part"
	AuditNeverRuns          Bug = "audit-never-runs"
	LogTakenAtItsWord       Bug = "log-taken-at-its-word"
	NamesChangeHands        Bug = "names-change-hands"
	GapUnnoticed            Bug = "gap-unnoticed"
	IdentityUnchecked       Bug = "identity-unchecked"
	MarkBeforeFlush         Bug = "mark-before-flush"
	LandedSentAgain         Bug = "landed-sent-again"
	FloorPerQueue           Bug = "floor-per-queue"
	DrainSkipped            Bug = "drain-skipped"
	MarkBelieved            Bug = "mark-believed"
	RestartUnnoticed        Bug = "restart-unnoticed"
	RewriteAboveMark        Bug = "rewrite-above-mark"
	GenerationIgnored       Bug = "generation-ignored"
	ProgressByNumber        Bug = "progress-by-number"
	VerifySkipsTouchedKeys  Bug = "verify-skips-touched-keys"
	LagFrozenWhileAway      Bug = "lag-frozen-while-away"
)

// Entry says which rule of docs/delivery.md a bug breaks, and how.
type Entry struct {
	Bug      Bug
	Rule     string
	Sentence string
}

// List returns every bug, in the order of the rules.
func List() []Entry {
	return []Entry{
		{OpenNotDurable, "B1", "an opening is answered before its record is durable"},
		{FenceMissing, "B1", "a request under an older term is let in"},
		{LinkNotChecked, "B2", "a message enters its queue whatever stands before it"},
		{OffsetReused, "B2", "after a restart a queue offset is given out a second time"},
		{EndTwice, "B3", "a half message is decided again when its END is repeated"},
		{AckBeforeFlush, "B4", "a message is acknowledged before it is flushed"},
		{HalfDiscarded, "B5", "a writer's half is given up after some check-backs"},
		{OpenAfterRead, "S1", "the records are read before the opening that closes them"},
		{ChainBroken, "S2", "a record that does not follow the last valid one counts"},
		{PositionBeforeGroups, "S3", "a group is recorded before its halves are acknowledged"},
		{DoneByNumber, "S4", "a chunk counts as done because its queue has come to its number"},
		{ResolveLastOnly, "S6", "of several decided groups only the last one is resolved"},
		{TrimBySeq, "S6", "what a queue holds is told by its number, not by identities"},
		{EpochNotRaised, "S6", "numbers that no record knows are given out again"},
		{CheckbackCommits, "S8", "a check-back is answered with COMMIT"},
		{NumbersByTableList, "S10", "rows of tables that are not wanted do not count"},
		{EventSkippedOnReconnect, "S10", "after a lost connection one rows event is left out"},
		{FingerprintUnchecked, "S12", "a server with another history is taken for the same one"},
		{LowByPosition, "C1", "a window begins at what the log holds, not at what is visible"},
		{ChunkCutShort, "C1", "a snapshot reads as many rows as the server's settings let through"},
		{ChunkSharesNumber, "C3", "the rows of a chunk share a number with a row of the stream"},
		{RolledBackRowsKept, "C5", "rows are handed over although the server took them back"},
		{BeginLate, "C6", "BEGIN is numbered after the first window has begun"},
		{AttemptOutlivesDDL, "C6", "a statement that changes stored values leaves the attempt going"},
		{EndInOneQueue, "C6", "END takes effect when the first queue has passed it"},
		{KeylessBeginEarly, "C7", "BEGIN of a table without a key stands before its snapshot"},
		{DefaultNotFilled, "C8", "older rows of a new column get NULL for its default"},
		{AlterPartByPart, "C8", "the parts of an ALTER are applied one after the other"},
		{AuditNeverRuns, "C8", "the tracked definition is never compared with the server's"},
		{LogTakenAtItsWord, "C8", "statements are read as their first words say, and rows of tables that none made are dropped"},
		{GapUnnoticed, "K3", "a message behind a gap is applied"},
		{IdentityUnchecked, "K3", "the message at the mark is not compared with it"},
		{DrainSkipped, "K2", "a new owner does not wait for what the one before still runs"},
		{MarkBelieved, "K4", "a mark counts although its rows are not in the target"},
		{RestartUnnoticed, "K5", "a target that started anew is taken for one that lost nothing"},
		{MarkBeforeFlush, "K4", "a mark is committed before the rows that it covers"},
		{LandedSentAgain, "K6", "a row that must be there once is sent again without a look at its number"},
		{FloorPerQueue, "K7", "a floor holds in the queue that brought it alone"},
		{NamesChangeHands, "K8", "the text of a date takes, in current/, a name that is another column's in changes/"},
		{RewriteAboveMark, "K9", "a batch is committed on marks that have moved"},
		{GenerationIgnored, "K10", "a superseded owner commits"},
		{ProgressByNumber, "K11", "current/ takes one number for the progress of all queues"},
		{VerifySkipsTouchedKeys, "V1", "keys that change while they are compared count as equal"},
		{LagFrozenWhileAway, "V2", "while the source is away the time that lag counts from stands"},
	}
}
