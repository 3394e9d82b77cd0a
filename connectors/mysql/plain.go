package mysql

import (
	"strings"
	"time"

	"github.com/millrace/millrace/pipeline/event"
)

// plain are sets of names of which the server said that writing to them and calling them changes
// no captured table: a session that logs statements has the same few over and over, and each
// answer takes five questions.
//
// What could make an answer wrong is itself a statement of the log: whatever is not known to
// write rows alone empties the list, so that an answer is used for statements between two
// definitions at most. One that is kept from the log (sql_log_bin=0) is noticed after plainFor,
// as it was when each statement was asked for and the answer came that much earlier.
type plain struct {
	until map[string]time.Time
}

const (
	plainFor = time.Second
	maxPlain = 1024
)

// key of names in their order.
func (p *plain) key(names []event.TableName) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n.DB)
		b.WriteByte(0)
		b.WriteString(n.Table)
		b.WriteByte(0)
	}
	return b.String()
}

// has reports whether an answer still holds.
func (p *plain) has(key string, now time.Time) bool { return now.Before(p.until[key]) }

// add notes an answer to a question that was asked at a time.
func (p *plain) add(key string, asked time.Time) {
	if p.until == nil || len(p.until) >= maxPlain {
		p.until = map[string]time.Time{}
	}
	p.until[key] = asked.Add(plainFor)
}

// clear forgets all answers.
func (p *plain) clear() { clear(p.until) }
