package ddl

import (
	"strings"
	"testing"
)

// unquote reads a quoted name or text as the server does.
func unquote(t *testing.T, s string, quote byte) string {
	t.Helper()
	if len(s) < 2 || s[0] != quote || s[len(s)-1] != quote {
		t.Fatalf("%q is not quoted", s)
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		switch {
		case s[i] == quote:
			t.Fatalf("%q ends at byte %d", s, i)
		case s[i] != '\\':
			b.WriteByte(s[i])
		default:
			if i++; i == len(s)-1 {
				t.Fatalf("%q: its end is escaped", s)
			}
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case '0':
				b.WriteByte(0)
			default:
				b.WriteByte(s[i])
			}
		}
	}
	return b.String()
}

func FuzzNoNameLeavesItsQuotes(f *testing.F) {
	for _, s := range []string{"orders", "a`b", `a\`, "a'b", "\x00\n", `\n`, "größe", "`; DROP TABLE x; --"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := unquote(t, Ident(s), '`'); got != s {
			t.Errorf("name %q is read as %q", s, got)
		}
		if got := unquote(t, String(s), '\''); got != s {
			t.Errorf("text %q is read as %q", s, got)
		}
	})
}

func TestStatements(t *testing.T) {
	keyed := &Table{Name: Name{"shop", "orders__cdc"}, Control: "millrace", Target: "shop.orders", Key: []string{"id"},
		Columns: []Column{{Name: "id", Type: "Int64", Comment: "int"}, {Name: "v", Type: "Nullable(String)", Default: "'x'"}}, Settings: map[string]string{"b": "2", "a": "1"}}
	keyless := &Table{Layout: Signs, Name: Name{"shop", "log__cdc"}, Control: "millrace", Target: "shop.log", Columns: []Column{{Name: "v", Type: "String"}}}
	view := &View{Name: Name{"shop", "orders"}, Of: keyed.Name, Floor: 7, Columns: []ViewColumn{{Name: "id", Type: "Int64", Comment: "int", From: "id"}, {Name: "w", Type: "Nullable(String)", From: "v"}}}
	alive := &View{Name: view.Name, Of: view.Of, Floor: view.Floor, Columns: view.Columns, Alive: true}
	signed := &View{Name: Name{"shop", "log"}, Of: keyless.Name, Layout: Signs, Columns: []ViewColumn{{Name: "v", Type: "String", From: "v"}}}
	changes := &Table{Layout: Changes, Name: keyless.Name, Control: "millrace", Target: "shop.log", Columns: []Column{{Name: "v", Type: "String"}, {Name: "v__before", Type: "Nullable(String)"}},
		PartitionBy: "toYYYYMM(_ts)", TTL: "toDateTime(_ts) + INTERVAL 1 YEAR", Settings: map[string]string{"a": "1"}}
	halves := &Table{Layout: Halves, Name: Name{"shop", "log__signed"}, Control: "millrace", Target: "shop.log",
		Columns: []Column{{Name: "v", Type: "String"}}, Settings: map[string]string{"fsync_after_insert": "1"}}
	sums := &Sums{Shown: signed, Of: halves.Name, Columns: []SumColumn{{Name: "v", Type: "String", From: ShownColumn("v")}}}
	story := &View{Layout: Changes, Name: signed.Name, Of: keyless.Name, Floor: 7, Columns: []ViewColumn{{Name: "v", Type: "String", From: "v"}, {Name: Seq, Type: "UInt64", From: Seq}}}
	const fence = "CONSTRAINT millrace_fence CHECK joinGet('millrace.fence', 'closed', 'shop.orders', _gen) = 0, CONSTRAINT millrace_life CHECK joinGet('millrace.life', 'token', 'shop.orders', _gen) != 0"
	for _, c := range []struct{ what, got, want string }{
		{"keyed", keyed.Create(), "CREATE TABLE IF NOT EXISTS `shop`.`orders__cdc` (`id` Int64 COMMENT 'int', `v` Nullable(String) DEFAULT 'x', " +
			"`_seq` UInt64, `_del` UInt8, `_q` UInt16, `_gen` UInt64, `_ts` DateTime64(6, 'UTC'), INDEX _seq_range `_seq` TYPE minmax GRANULARITY 1, " + fence +
			") ENGINE = ReplacingMergeTree(`_seq`, `_del`) ORDER BY (`id`) SETTINGS a = 1, b = 2"},
		{"keyless", keyless.Create(), "CREATE TABLE IF NOT EXISTS `shop`.`log__cdc` (`v` String, `_seq` UInt64, `_sign` Int8, `_q` UInt16, `_gen` UInt64, `_ts` DateTime64(6, 'UTC'), " +
			"INDEX _seq_range `_seq` TYPE minmax GRANULARITY 1, " + strings.ReplaceAll(fence, "shop.orders", "shop.log") + ") ENGINE = ReplacingMergeTree(`_seq`) ORDER BY (`_seq`)"},
		{"changelog", changes.Create(), "CREATE TABLE IF NOT EXISTS `shop`.`log__cdc` (`v` String, `v__before` Nullable(String), `_seq` UInt64, `_op` Enum8('c' = 1, 'u' = 2, 'd' = 3, 'r' = 4, 'x' = 5), " +
			"`_q` UInt16, `_gen` UInt64, `_ts` DateTime64(6, 'UTC'), `_tx` String, `_below` UInt64, INDEX _seq_range `_seq` TYPE minmax GRANULARITY 1, " +
			strings.ReplaceAll(fence, "shop.orders", "shop.log") + ") ENGINE = MergeTree PARTITION BY toYYYYMM(_ts) ORDER BY (`_seq`) TTL toDateTime(_ts) + INTERVAL 1 YEAR SETTINGS a = 1"},
		{"halves", halves.Create(), "CREATE TABLE IF NOT EXISTS `shop`.`log__signed` (`v` String, `_seq` UInt64, `_sign` Int8, `_q` UInt16, `_gen` UInt64, " +
			"`_ts` DateTime64(6, 'UTC'), INDEX _seq_range `_seq` TYPE minmax GRANULARITY 1, " + strings.ReplaceAll(fence, "shop.orders", "shop.log") +
			") ENGINE = MergeTree ORDER BY (`_seq`) SETTINGS fsync_after_insert = 1"},
		{"do the sums differ", sums.Differ(), "SELECT toUInt8(sum(_d) != 0 OR sum(_d * reinterpretAsInt64(cityHash64(tuple(_c0)))) != 0) FROM (" +
			"SELECT CAST(_v.`v`, 'String') AS _c0, toInt64(1) AS _d FROM (" + signed.query() + ") AS _v UNION ALL " +
			"SELECT _s.`v` AS _c0, -toInt64(_s.`_sign`) AS _d FROM `shop`.`log__signed` AS _s)"},
		{"view of a changelog", story.Replace(), "CREATE OR REPLACE VIEW `shop`.`log` (`v` String, `_seq` UInt64) AS SELECT _t.`v` AS `v`, _t.`_seq` AS `_seq` FROM `shop`.`log__cdc` AS _t"},
		{"view", view.Replace(), "CREATE OR REPLACE VIEW `shop`.`orders` (`id` Int64 COMMENT 'int', `w` Nullable(String)) AS SELECT _t.`id` AS `id`, _t.`v` AS `w` FROM `shop`.`orders__cdc` AS _t FINAL WHERE _t.`_seq` >= 7"},
		{"view of what is left", alive.Replace(), "CREATE OR REPLACE VIEW `shop`.`orders` (`id` Int64 COMMENT 'int', `w` Nullable(String)) AS SELECT _t.`id` AS `id`, _t.`v` AS `w` FROM `shop`.`orders__cdc` AS _t FINAL WHERE _t.`_seq` >= 7 AND _t.`_deleted_at` IS NULL"},
		{"signed", signed.Replace(), "CREATE OR REPLACE VIEW `shop`.`log` (`v` String) AS SELECT _r._c0 AS `v` FROM (SELECT _t.`v` AS _c0, toInt64(sum(_t.`_sign`)) AS _n FROM `shop`.`log__cdc` AS _t FINAL GROUP BY _c0 HAVING _n > 0) AS _r ARRAY JOIN range(_r._n) AS _i"},
		{"add", Add(keyed.Name, Column{Name: "a`b", Type: "Int32", Default: "1"}), "ALTER TABLE `shop`.`orders__cdc` ADD COLUMN IF NOT EXISTS `a\\`b` Int32 DEFAULT 1"},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n%s\nwanted\n%s", c.what, c.got, c.want)
		}
	}
}
