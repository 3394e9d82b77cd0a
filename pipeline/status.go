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
	Code     event.PauseCode `json:"code,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Source   SourceSummary   `json:"source"`
	Tables   []TableStatus   `json:"tables"`
	Sinks    []string        `json:"sinks"`
	Since    time.Time       `json:"since"`
	Errors   int64           `json:"errors"`
	LastErr  string          `json:"last_error,omitempty"`
	LagSecs  float64         `json:"lag_seconds"`
	Position PositionStatus  `json:"position"`
}

// SourceSummary is the source's part of Status.
type SourceSummary struct {
	Type       string         `json:"type"`
	Connected  bool           `json:"connected"`
	Server     string         `json:"server,omitempty"`
	End        PositionStatus `json:"end"`
	Reconnects int64          `json:"reconnects"`
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
	// Rows published since the process started.
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
	Rows       uint64          `json:"rows"`
	Flushes    uint64          `json:"flushes"`
	Buffered   int             `json:"buffered_rows"`
	LagSecs    float64         `json:"lag_seconds"`
	Behind     int64           `json:"behind_messages"`
	LastErr    string          `json:"last_error,omitempty"`
	// Verified is what the self-check knows; nil where there is none.
	Verified *Verified `json:"verified,omitempty"`
}
