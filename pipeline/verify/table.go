package verify

// Table is the outcome for one table.
type Table struct {
	Name           string `json:"name"`
	SourceRows     int64  `json:"source_rows"`
	TargetRows     int64  `json:"target_rows"`
	SourceChecksum string `json:"source_checksum"`
	TargetChecksum string `json:"target_checksum"`
	Missing        int64  `json:"missing"`    // in the source only
	Extra          int64  `json:"extra"`      // in the target only
	Different      int64  `json:"different"`  // same key, other values
	Duplicates     int64  `json:"duplicates"` // further rows of a key that the source has too
	// Aside are rows that the target says it can't hold and has put aside: they are none of the
	// differences above.
	Aside int64 `json:"put_aside,omitempty"`
	// LookedAgain is how many keys seemed to differ at first, Unsettled how many of them
	// kept changing until the time was up: of these nothing is known.
	LookedAgain int64 `json:"looked_again"`
	Unsettled   int64 `json:"unsettled"`
	// Proven is how many keys differ for certain: the target is as far as the source was.
	Proven int64 `json:"proven"`
	// Behind says that the differences may be rows on their way, and how far the target is.
	Behind   string   `json:"behind,omitempty"`
	Examples []string `json:"examples,omitempty"` // five of each kind at most
	Problem  string   `json:"problem,omitempty"`  // columns that don't match
	// Unreadable is why a side could not be read; nothing else is known then.
	Unreadable string `json:"unreadable,omitempty"`
	// Skipped is why the table was not compared at all, and Sample how much of it was, where
	// that is not the whole: all figures are of the sample then.
	Skipped string   `json:"skipped,omitempty"`
	Sample  *Sampled `json:"sample,omitempty"`
	// Orphaned says that the source does not have the table, or the pipeline does not capture it:
	// nothing of it was compared.
	Orphaned string `json:"orphaned,omitempty"`
	// Unchecked are columns that the comparison of a history left out, because older rows
	// have them in another form.
	Unchecked []string `json:"unchecked,omitempty"`
}

// What is known of a table.
const (
	Equal      = "equal"
	Differs    = "differs"
	Behind     = "behind"    // it differs, and the target is not as far as the source was
	Unsettled  = "unsettled" // nothing differs for good, but some keys kept changing
	Unreadable = "unreadable"
	Agrees     = "agrees"    // nothing differs in the part that was compared
	Skipped    = "skipped"   // not compared
	Orphan     = "orphan"    // the target has the table and the source does not
	PutAside   = "put_aside" // nothing differs but rows that are put aside
)

// Differences counts the rows that differ.
func (t Table) Differences() int64 { return t.Missing + t.Extra + t.Different + t.Duplicates }

// State is one word for the outcome.
func (t Table) State() string {
	switch {
	case t.Unreadable != "":
		return Unreadable
	case t.Orphaned != "":
		return Orphan
	case t.Skipped != "":
		return Skipped
	case t.Problem == "" && t.Differences() == 0 && t.Unsettled == 0:
		if t.Aside > 0 && (t.Behind == "" || t.Proven > 0) {
			return PutAside
		}
		if t.Aside > 0 {
			return Behind
		}
		if t.Sample != nil {
			return Agrees
		}
		return Equal
	case t.Behind != "" && t.Proven == 0:
		return Behind
	case t.Problem != "" || t.Differences() > 0:
		return Differs
	}
	return Unsettled
}

// Equal reports whether both sides hold the same rows. A sample never says so.
func (t Table) Equal() bool { return t.State() == Equal }

// maxExamples is how many rows of each kind are named.
const maxExamples = 5
