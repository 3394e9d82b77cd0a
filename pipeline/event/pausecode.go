package event

// PauseCode names why a table, a target table or a whole pipeline stands still. What each
// means and how it ends is listed in package pipeline (PauseCodes), which docs/states.md
// shows.
type PauseCode string

// The codes. Those of a table's rows come from its source, columns from what keeps some of
// them back, route and oversize from the
// publisher, target from a sink, history and file from the runner.
const (
	PauseRequest         PauseCode = "request"
	PauseRoute           PauseCode = "route"
	PauseExcluded        PauseCode = "excluded"
	PauseDropped         PauseCode = "dropped"
	PauseRowImage        PauseCode = "row_image"
	PauseRowValueOptions PauseCode = "row_value_options"
	PauseStatement       PauseCode = "statement"
	PauseUndecodable     PauseCode = "undecodable"
	PauseSchema          PauseCode = "schema"
	PauseKey             PauseCode = "key"
	PauseColumns         PauseCode = "columns"
	PauseVersioned       PauseCode = "versioned"
	PauseType            PauseCode = "type"
	PauseCharset         PauseCode = "charset"
	PauseSnapshot        PauseCode = "snapshot"
	PausePrivilege       PauseCode = "privilege"
	PauseOversize        PauseCode = "oversize"
	PauseTarget          PauseCode = "target"
	PauseRecord          PauseCode = "record"
	PauseHistory         PauseCode = "history"
	PauseFile            PauseCode = "file"
	PauseStart           PauseCode = "start"
)

// ByFile reports whether a pause is one that the pipeline file asks for: it ends by itself
// with the opening that finds the file as it was.
func (c PauseCode) ByFile() bool { return c == PauseRoute || c == PauseExcluded }

// Requested is the reason of a pause that somebody asked for.
func Requested() PauseReason { return PauseReason{Code: PauseRequest, Text: "paused by request"} }

// String is the reason as people read it: the code, and what stands behind it.
func (r PauseReason) String() string {
	if r.Code == "" || r.Code == PauseRequest {
		return r.Text
	}
	return string(r.Code) + ": " + r.Text
}
