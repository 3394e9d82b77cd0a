package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/connectors/mysql/schema"
	"github.com/millrace/millrace/pipeline/event"
)

// Triggers are shown to an account with the privilege TRIGGER on their table; to others a
// table with triggers looks like one without. Where rows are in the log nobody needs to know:
// what a trigger writes is there. Where a statement is, what its triggers wrote is not.

// grants are the lines of SHOW GRANTS: the account's own and those of its active roles.
func (q questions) grants(ctx context.Context) (lines []string, err error) {
	rows, err := q.db.QueryContext(ctx, "SHOW GRANTS")
	if err != nil {
		return nil, fmt.Errorf("SHOW GRANTS: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, fmt.Errorf("SHOW GRANTS: %w", err)
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}

// grantLine is a line of SHOW GRANTS about a database or a table: what it does, the
// privileges, and what they are on.
var grantLine = regexp.MustCompile("(?i)^(GRANT|REVOKE) (.*) ON (\\*|`(?:[^`]|``)*`)\\.(\\*|`(?:[^`]|``)*`) (?:TO|FROM) ")

// triggerPrivilege is TRIGGER among the privileges of a line.
var triggerPrivilege = regexp.MustCompile(`(?i)(^|[ ,])(TRIGGER|ALL PRIVILEGES)(,|$)`)

// showsTriggers reports whether the triggers of a table are shown to an account with these
// grants.
func showsTriggers(grants []string, t event.TableName) bool {
	shown := false
	for _, line := range grants {
		m := grantLine.FindStringSubmatch(line)
		if m == nil || !triggerPrivilege.MatchString(m[2]) || !named(m[3], t.DB, true) || !named(m[4], t.Table, false) {
			continue
		}
		if strings.EqualFold(m[1], "REVOKE") { // a part of a grant on everything, taken back
			return false
		}
		shown = true
	}
	return shown
}

// named reports whether what stands in a grant is or takes in a name. A database's may have
// the wildcards % and _.
func named(in, name string, wild bool) bool {
	if in == "*" {
		return true
	}
	in = strings.ToLower(strings.ReplaceAll(in[1:len(in)-1], "``", "`"))
	name = strings.ToLower(name)
	if !wild {
		return in == name
	}
	var b strings.Builder
	b.WriteString("(?s)^")
	for i := 0; i < len(in); i++ {
		switch {
		case in[i] == '\\' && i+1 < len(in):
			i++
			b.WriteString(regexp.QuoteMeta(in[i : i+1]))
		case in[i] == '%':
			b.WriteString(".*")
		case in[i] == '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(in[i : i+1]))
		}
	}
	b.WriteString("$")
	at, err := regexp.Compile(b.String())
	return err == nil && at.MatchString(name)
}

// systemSchemas have no tables with triggers of anybody's.
var systemSchemas = []string{"mysql", "sys", "information_schema", "performance_schema"}

// hiddenTriggers are those of the tables whose triggers are not shown to the account.
func (q questions) hiddenTriggers(ctx context.Context, names []event.TableName) (hidden []event.TableName, err error) {
	grants, err := q.grants(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if n.DB != "" && !slices.Contains(systemSchemas, strings.ToLower(n.DB)) && !showsTriggers(grants, n) && !slices.Contains(hidden, n) {
			hidden = append(hidden, n)
		}
	}
	return hidden, nil
}

// logsStatements reports whether sessions are likely to log statements in the place of rows.
func (s *server) logsStatements(c *Config) bool {
	return s.format != "" && s.format != "ROW" || c.AllowStatementFormat
}

// warnOfTriggers says at an opening what Preflight says.
func (o *opening) warnOfTriggers(ctx context.Context) error {
	if !o.server.logsStatements(&o.s.cfg) {
		return nil
	}
	grants, err := (questions{o.db}).grants(ctx)
	if err == nil && !showsTriggers(grants, event.TableName{}) {
		o.s.log.Warn("triggers are not shown to the user: a statement without row events that writes to a table with any pauses every table",
			"remedy", "GRANT TRIGGER ON *.* TO "+o.s.cfg.User)
	}
	return err
}

// triggerRemedy is the grant that shows the triggers of a table.
func triggerRemedy(t event.TableName, user string) string {
	return "GRANT TRIGGER ON " + schema.Quote(t.DB) + ".* TO the user " + user
}
