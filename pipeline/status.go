package pipeline

import (
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// Status is what people see of one pipeline.
type Status struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Code is why it is paused.
	Code    event.PauseCode `json:"code,omitempty"`
	Reason  string          `json:"reason,omitempty"`
	Source  SourceSummary   `json:"source"`
	Tables  []TableStatus   `json:"tables"`
	Sinks   []string        `json:"sinks"`
	Since   time.Time       `json:"since,omitzero"`
	Errors  int64           `json:"errors"`
	LastErr string          `json:"last_error,omitempty"`
	// FileError says what is wrong with its file while it runs by what the file said before.
	FileError string `json:"file_error,omitempty"`
	// CompleteTo and Lag are, for each place on the way, those of the table that is
	// furthest behind there. Tables that the source dropped or the file leaves out do not
	// count.
	CompleteTo Complete       `json:"complete_to"`
	Lag        Lag            `json:"lag"`
	Position   PositionStatus `json:"position,omitzero"`
}

// SourceSummary is the source's part of Status.
type SourceSummary struct {
	Type      string `json:"type"`
	Connected bool   `json:"connected"`
	// Error is why it is not connected.
	Error      string         `json:"error,omitempty"`
	Server     string         `json:"server,omitempty"`
	End        PositionStatus `json:"end,omitzero"`
	Reconnects int64          `json:"reconnects"`
	// AheadSeconds is the server's clock minus the daemon's.
	AheadSeconds float64 `json:"clock_ahead_seconds,omitempty"`
}

// PositionStatus is a place in the source's log, for people.
type PositionStatus struct {
	File  string `json:"file,omitempty"`
	Pos   uint64 `json:"pos,omitempty"`
	GTID  string `json:"gtid,omitempty"`
	Epoch uint16 `json:"epoch,omitempty"`
}

// TableStatus is one source table in one pipeline.
type TableStatus struct {
	Name     string          `json:"name"`
	State    State           `json:"state"`
	Code     event.PauseCode `json:"code,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Snapshot float64         `json:"snapshot_percent"`
	// Rows published since the source was opened.
	Rows  uint64        `json:"rows"`
	Sinks []SinkSummary `json:"sinks"`
}

// SinkSummary is one target table of a TableStatus.
type SinkSummary struct {
	Sink       string          `json:"sink"`
	State      State           `json:"state"`
	Code       event.PauseCode `json:"code,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Generation uint64          `json:"generation"`
	// Total is how many rows of the source the change log has, of all its life; nil when the
	// target does not say.
	Total *uint64 `json:"total_rows,omitempty"`
	// Rows were made visible since the process started.
	Rows       uint64   `json:"rows"`
	Flushes    uint64   `json:"flushes"`
	Buffered   int      `json:"buffered_rows"`
	CompleteTo Complete `json:"complete_to"`
	Lag        Lag      `json:"lag"`
	// LagUnknown is why the target's lag is not known; empty when it is.
	LagUnknown string `json:"lag_unknown,omitempty"`
	Behind     int64  `json:"behind_messages"`
	LastErr    string `json:"last_error,omitempty"`
	// PutAside are changes that the target lacks because it can't hold them; nil where that is
	// not known.
	PutAside *PutAside `json:"put_aside,omitempty"`
	// Verified is what the self-check knows; nil where there is none.
	Verified *Verified `json:"verified,omitempty"`
}

// Age takes the lags of a status to a time of the daemon's clock.
func (s *Status) Age(now time.Time) {
	now = now.Add(time.Duration(s.Source.AheadSeconds * float64(time.Second)))
	s.Lag = s.CompleteTo.LagAt(now)
	for i := range s.Tables {
		for k := range s.Tables[i].Sinks {
			one := &s.Tables[i].Sinks[k]
			one.Lag = one.CompleteTo.LagAt(now)
		}
	}
}
