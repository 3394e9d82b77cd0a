package schema

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/pipeline/event"
)

// refuse is what a definition does that cannot be followed: its table is read from the
// server, or audited where no part can have changed rows or columns, and every known
// table that it names besides is audited.
func (s *Statement) refuse(r *reading, d *definition, why string) (out []Change) {
	switch {
	case d.create:
		if s.Captures(d.table) {
			out = append(out, Change{Kind: Unclear, Table: d.table, Due: why})
		}
	case d.index:
		out = append(out, s.indexesUnknown(d.table)...)
		out = append(out, s.audit(d.table, why)...)
	default:
		out = s.refuseAlter(r, d, why)
	}
	for _, n := range s.named() {
		if !slices.ContainsFunc(out, func(c Change) bool { return c.Table == n }) {
			out = append(out, Change{Kind: Audit, Table: n, Due: why})
		}
	}
	return out
}

// audit is an Audit of a known table.
func (s *Statement) audit(n event.TableName, why string) []Change {
	if s.Table(n) == nil {
		return nil
	}
	return []Change{{Kind: Audit, Table: n, Due: why}}
}

// indexesUnknown says that a table's indexes are not known any more.
func (s *Statement) indexesUnknown(n event.TableName) []Change {
	c := s.Table(n)
	if c == nil || c.Indexes == nil {
		return nil
	}
	return []Change{{Kind: Noted, Table: n, New: c.Schema, Charset: c.Charset, Collation: c.Collation, Key: c.Key}}
}

// refuseAlter judges an ALTER TABLE by its parts. Those that can change neither columns
// nor rows are left out; when the parser takes the rest, that is what it did.
func (s *Statement) refuseAlter(r *reading, d *definition, why string) (out []Change) {
	if to, ok := s.renamedTo(d); ok {
		return s.renamedUnclear(d.table, to, why)
	}
	out = s.partitionTables(d, why)
	if s.Table(d.table) == nil {
		return out
	}
	left := *d
	left.parts = slices.DeleteFunc(slices.Clone(d.parts), harmlessPart)
	switch {
	case d.ignore, len(out) > 0:
	case len(left.parts) == 0:
		return append(s.indexesUnknown(d.table), s.audit(d.table, why)...)
	case len(left.parts) < len(d.parts) && r.refused == "" && r.unsure == "":
		for _, tokens := range left.variants() {
			if node := s.parse(text(tokens)); node != nil {
				return s.forgetIndexes(d.table, s.apply(node, &left), why)
			}
		}
	}
	return append(out, Change{Kind: Unclear, Table: d.table, Due: why})
}

// forgetIndexes adds to what the understood parts did that others did something to the
// indexes.
func (s *Statement) forgetIndexes(n event.TableName, changes []Change, why string) []Change {
	for i := range changes {
		changes[i].Indexes = nil
	}
	if len(changes) == 0 {
		changes = s.indexesUnknown(n)
	}
	return append(changes, s.audit(n, why)...)
}

// renamedUnclear is a table that got another name and was changed besides.
func (s *Statement) renamedUnclear(from, to event.TableName, why string) (out []Change) {
	if s.Table(from) != nil {
		out = append(out, Change{Kind: Dropped, Table: from})
	}
	if s.Captures(to) {
		out = append(out, Change{Kind: Unclear, Table: to, Due: fmt.Sprintf("table %s was renamed to %s: %s", from, to, why)})
	}
	return out
}

// renamedTo is the new name of the table that a part gives it.
func (s *Statement) renamedTo(d *definition) (n event.TableName, ok bool) {
	for _, p := range d.parts {
		if to, is := s.renamePart(p); is {
			n, ok = to, true
		}
	}
	return n, ok
}

// renamePart reads RENAME [TO|AS|=] name.
func (s *Statement) renamePart(part []token) (n event.TableName, ok bool) {
	p := subjects{s: s, rest: part}
	if !p.accept("RENAME") || len(p.rest) > 1 && p.rest[0].is("COLUMN", "INDEX", "KEY") && !p.rest[1].symbol(".") {
		return n, false
	}
	if !p.acceptAny("TO", "AS") && len(p.rest) > 0 && p.rest[0].symbol("=") {
		p.rest = p.rest[1:]
	}
	n, ok = p.table()
	return n, ok && len(p.rest) == 0
}

// partitionTables are the tables that MariaDB makes of partitions, or partitions of.
func (s *Statement) partitionTables(d *definition, why string) (out []Change) {
	for _, part := range d.parts {
		p := subjects{s: s, rest: part}
		if !p.acceptAny("CONVERT", "EXCHANGE") || !slices.ContainsFunc(part, func(t token) bool { return t.is("PARTITION") }) {
			continue
		}
		for len(p.rest) > 0 {
			if !p.accept("TABLE") {
				p.rest = p.rest[1:]
				continue
			}
			if n, ok := p.table(); ok && (s.Table(n) != nil || s.Captures(n)) {
				out = append(out, Change{Kind: Unclear, Table: n, Due: why})
			}
		}
	}
	return out
}

// harmlessPart reports whether a part of an ALTER TABLE changes neither columns nor rows.
// An index may become the key or stop being it, which the audit sees.
func harmlessPart(part []token) bool {
	p := subjects{rest: part}
	switch {
	case len(part) == 0:
		return false
	case p.accept("ADD"):
		return p.acceptAny("INDEX", "KEY", "UNIQUE", "FULLTEXT", "SPATIAL", "CONSTRAINT", "CHECK") ||
			p.accept("FOREIGN", "KEY") || p.accept("VECTOR", "INDEX") || p.accept("VECTOR", "KEY")
	case p.accept("DROP"):
		return p.acceptAny("INDEX", "KEY", "CONSTRAINT", "CHECK") || p.accept("FOREIGN", "KEY")
	case p.accept("RENAME"):
		return p.acceptAny("INDEX", "KEY") && len(p.rest) > 2
	case p.accept("ALTER"):
		return p.acceptAny("INDEX", "KEY", "CONSTRAINT", "CHECK") && len(p.rest) > 1
	}
	return part[0].is("ALGORITHM", "LOCK", "COMMENT", "FORCE", "AUTO_INCREMENT", "ROW_FORMAT", "KEY_BLOCK_SIZE", "STATS_PERSISTENT",
		"STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES", "MAX_ROWS", "MIN_ROWS", "AVG_ROW_LENGTH", "CHECKSUM", "DELAY_KEY_WRITE", "PACK_KEYS",
		"PAGE_CHECKSUM", "PAGE_COMPRESSED", "PAGE_COMPRESSION_LEVEL", "TRANSACTIONAL", "ENCRYPTED", "ENCRYPTION", "ENCRYPTION_KEY_ID",
		"COMPRESSION", "ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE", "ENABLE", "DISABLE", "NOWAIT", "WAIT") &&
		!slices.ContainsFunc(part, func(t token) bool {
			return t.is("ENGINE", "TYPE", "UNION", "PARTITION", "CONVERT", "CHARACTER", "CHARSET", "COLLATE", "TABLESPACE")
		})
}

// unknown is a statement of which not even the subject is known: what it names is
// audited; when that is no known table, all tables of its default database.
func (s *Statement) unknown(r *reading, why string) (out []Change) {
	if why == "" {
		why = "the statement is not known"
	}
	names := s.named()
	if len(names) == 0 || r.broken {
		names = nil
		for _, n := range s.Tables() {
			if s.DB == "" || r.broken || n.DB == s.fold(s.DB) {
				names = append(names, n)
			}
		}
	}
	for _, n := range names {
		out = append(out, Change{Kind: Audit, Table: n, Due: why})
	}
	return out
}
