package mysql

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/millrace/millrace/connectors/mysql/charset"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// samples are texts of many scripts; a charset that lacks a character has "?" for it.
var samples = []string{"plain  ", "", " x ", "café ÄÖÜ ¥€", "Привет, Ж", "日本語表許髙", "備註默認", "한국어", "ελληνικά", "שלום", "ไทย",
	"Łódź", "a\\b'c\"", "😀𠀋"}

// unmapped is a sequence of the form of a character that is none, nil if there is none.
func unmapped(name string) []byte {
	s := charset.Named(name)
	if s.Name() == "ascii" || strings.HasPrefix(name, "ut") || name == "ucs2" {
		return nil
	}
	for a := range 256 {
		one := []byte{byte(a)}
		if text, bad := s.Append(nil, one); bad == 1 && string(text) == "\uFFFD" && s.MaxLen() == 1 {
			return one
		}
		for b := range 256 {
			two := []byte{byte(a), byte(b)}
			if text, bad := s.Append(nil, two); s.MaxLen() > 1 && bad == 1 && string(text) == "\uFFFD" {
				return two
			}
		}
	}
	return nil
}

// TestEveryCharset writes texts of many scripts into columns of every charset that the
// server has, keys too, and compares what the log and what a snapshot gives with the
// server's own conversion. Bytes without a character are U+FFFD either way, and counted.
func TestEveryCharset(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop CHARACTER SET utf8mb4", "SET GLOBAL sql_mode=''", "SET GLOBAL binlog_row_metadata=FULL")
		db.SetMaxIdleConns(0)
		var sets []string
		for _, name := range serverRows(t, db, "SELECT character_set_name FROM information_schema.character_sets WHERE character_set_name <> 'binary'") {
			sets = append(sets, name)
		}
		for _, cs := range sets {
			exec(t, db, fmt.Sprintf("CREATE TABLE shop.t_%[1]s (id INT PRIMARY KEY, c CHAR(9) CHARACTER SET %[1]s, v VARCHAR(40) CHARACTER SET %[1]s, e ENUM('a','z') CHARACTER SET %[1]s, x TEXT CHARACTER SET %[1]s)", cs),
				fmt.Sprintf("CREATE TABLE shop.k_%[1]s (k VARCHAR(20) CHARACTER SET %[1]s COLLATE %[1]s_bin PRIMARY KEY)", cs))
		}
		exec(t, db, "CREATE TABLE shop.last (id INT PRIMARY KEY)")
		cfg := testConfig(srv, "shop.*")
		cfg.Snapshot.ChunkRows = 3
		s := newSource(t, cfg)
		openSource(t, s, pipeline.Resume{})
		expected, lossy := map[event.TableName][]string{}, map[string]int{}
		for _, cs := range sets {
			var rows, keys []string
			for i, text := range samples {
				rows = append(rows, fmt.Sprintf("(%d,_utf8mb4 X'%x',_utf8mb4 X'%x','a',_utf8mb4 X'%x')", i, string([]rune(text)[:min(9, len([]rune(text)))]), text, text))
				keys = append(keys, fmt.Sprintf("(_utf8mb4 X'%x')", text))
			}
			exec(t, db, fmt.Sprintf("INSERT INTO shop.t_%s VALUES %s", cs, strings.Join(rows, ",")),
				fmt.Sprintf("INSERT IGNORE INTO shop.k_%s VALUES %s", cs, strings.Join(keys, ",")))
			expected[event.TableName{DB: "shop", Table: "t_" + cs}] = serverRows(t, db,
				fmt.Sprintf("SELECT id, CONVERT(c USING utf8mb4), CONVERT(v USING utf8mb4), e, CONVERT(x USING utf8mb4) FROM shop.t_%s", cs))
			expected[event.TableName{DB: "shop", Table: "k_" + cs}] = serverRows(t, db,
				fmt.Sprintf("SELECT CONVERT(k USING utf8mb4) FROM shop.k_%s", cs))
			if b := unmapped(cs); b != nil {
				lossy["shop.t_"+cs] = 1
				exec(t, db, fmt.Sprintf("INSERT INTO shop.t_%[1]s (id,v,e) VALUES (1000,CONVERT(CONCAT('<',X'%[2]x','>') USING %[1]s),'a')", cs, b))
				n := event.TableName{DB: "shop", Table: "t_" + cs}
				expected[n] = append(expected[n], "1000,NULL,<\uFFFD>,a,NULL")
			}
		}
		exec(t, db, "INSERT INTO shop.last VALUES (4711)")
		streamed := map[event.TableName]map[string]event.Image{}
		for _, it := range collect(t, s, upTo("4711")) {
			if it.Kind == event.KindPaused {
				t.Fatal(it.text)
			}
			if it.Kind == event.KindRow && it.Table.Name.Table != "last" {
				if streamed[it.Table.Name] == nil {
					streamed[it.Table.Name] = map[string]event.Image{}
				}
				streamed[it.Table.Name][imageText(it.After, it.Table.Schema)] = it.After
			}
		}
		var names []event.TableName
		for n, want := range expected {
			names = append(names, n)
			var got []string
			for text := range streamed[n] {
				got = append(got, text)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: the log gives\n%q, the server\n%q", n, got, want)
			}
		}
		for table, n := range lossy {
			if got := testutil.ToFloat64(s.metrics.unmappable.WithLabelValues(table)); int(got) != n {
				t.Errorf("%s: %v characters counted, %d have none", table, got, n)
			}
		}
		s.RequestSnapshot(names, "test")
		ends, rows := 0, map[event.TableName]int{}
		drive(t, s, newTarget(t), func(it *event.Item) bool {
			if it.Kind == event.KindEnd {
				ends++
			}
			if it.Op == event.OpRead {
				rows[it.Table.Name]++
				text := imageText(it.After, it.Table.Schema)
				if string(streamed[it.Table.Name][text]) != string(it.After) {
					t.Errorf("%s: the snapshot gives %q, the log does not", it.Table.Name, text)
				}
			}
			return ends == len(names)
		})
		for n, texts := range streamed {
			if rows[n] != len(texts) {
				t.Errorf("%s: the snapshot has %d rows, the log had %d", n, rows[n], len(texts))
			}
		}
	})
}

// encoded is a text as a client that speaks cs sends it.
func encoded(t *testing.T, db *sql.DB, text, cs string) string {
	t.Helper()
	var b []byte
	if err := db.QueryRow(fmt.Sprintf("SELECT CAST(CONVERT(_utf8mb4 X'%x' USING %s) AS BINARY)", text, cs)).Scan(&b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestStatementsAreReadInTheirClientsCharset adds columns and tables over sessions that
// speak other charsets, with second bytes that are quotes and backslashes elsewhere.
func TestStatementsAreReadInTheirClientsCharset(t *testing.T) {
	words := map[string]string{"gbk": "备注默认", "big5": "許功蓋", "sjis": "表示能力", "cp1251": "Заметка", "latin1": "été", "ujis": "備考", "euckr": "비고"}
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop CHARACTER SET utf8mb4", "CREATE TABLE shop.last (id INT PRIMARY KEY)")
		for cs := range words {
			exec(t, db, "CREATE TABLE shop.g_"+cs+" (id INT PRIMARY KEY)", "INSERT INTO shop.g_"+cs+" VALUES (1)")
		}
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		for cs, word := range words {
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range []string{"SET NAMES " + cs, "USE shop", "ALTER TABLE g_" + cs + " ADD COLUMN `W` VARCHAR(10) DEFAULT 'W'", "INSERT INTO g_" + cs + " (id) VALUES (2)",
				"CREATE TABLE `W` (id INT PRIMARY KEY, `W2` VARCHAR(10)) DEFAULT CHARSET utf8mb4", "INSERT INTO `W` VALUES (1, 'W')", "CREATE TABLE `W3` (PRIMARY KEY (id)) SELECT * FROM `W`", "INSERT INTO `W3` VALUES (2, 'W')"} {
				if _, err := conn.ExecContext(t.Context(), encoded(t, db, strings.ReplaceAll(q, "W", word), cs)); err != nil {
					t.Fatalf("%s: %s: %v", cs, q, err)
				}
			}
			conn.Close()
		}
		exec(t, db, "INSERT INTO shop.last VALUES (4711)")
		rows := map[string][]string{}
		for _, it := range collect(t, s, upTo("4711")) {
			switch it.Kind {
			case event.KindPaused:
				t.Error(it.text)
			case event.KindRow:
				rows[it.Table.Name.Table] = append(rows[it.Table.Name.Table], imageText(it.After, it.Table.Schema))
			case event.KindDDL:
				if !utf8.ValidString(it.DDL.SQL) || it.DDL.New != nil && !utf8.ValidString(it.DDL.New.Name.Table) {
					t.Errorf("%q is not UTF-8", it.DDL.SQL)
				}
				if cs, ok := strings.CutPrefix(it.Table.Name.Table, "g_"); ok && it.DDL.New != nil {
					c := it.DDL.New.Columns[1]
					if c.Name != words[cs] || string(c.Default) != words[cs] || it.DDL.Due != "" {
						t.Errorf("%s: column %q with the default %q, due %q", cs, c.Name, c.Default, it.DDL.Due)
					}
				}
			}
		}
		for cs, word := range words {
			if got := rows["g_"+cs]; !slices.Equal(got, []string{"2," + word}) {
				t.Errorf("%s: the altered table has %q", cs, got)
			}
			if got := rows[word]; !slices.Equal(got, []string{"1," + word}) {
				t.Errorf("%s: the new table has %q", cs, got)
			}
		}
		var names []event.TableName
		for _, word := range words {
			names = append(names, event.TableName{DB: "shop", Table: word + "3"})
		}
		s.RequestSnapshot(names, "test")
		wanted := map[string]bool{}
		for _, word := range words {
			wanted[fmt.Sprintf("shop.%s3: 1,%s", word, word)], wanted[fmt.Sprintf("shop.%s3: 2,%s", word, word)] = true, true
		}
		drive(t, s, newTarget(t), func(it *event.Item) bool {
			if it.Op == event.OpRead {
				delete(wanted, it.Table.Name.String()+": "+imageText(it.After, it.Table.Schema))
			}
			return len(wanted) == 0
		})
	})
}

// TestValuesThatAreOdd captures an empty geometry, which MariaDB stores for a value that
// it could not read, and columns behind a VECTOR, with full row metadata.
func TestValuesThatAreOdd(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop CHARACTER SET utf8mb4", "SET GLOBAL binlog_row_metadata=FULL",
			"CREATE TABLE shop.last (id INT PRIMARY KEY)")
		db.SetMaxIdleConns(0)
		columns, row, want := "g POINT NOT NULL, c CHAR(5) CHARACTER SET gbk, d VARCHAR(5) CHARACTER SET latin1", "(id,c,d) VALUES (%d,'备','é')", "0x,备,é"
		if srv.Kind == "mysql" {
			columns, row, want = "g VECTOR(2), c CHAR(5) CHARACTER SET gbk, d VARCHAR(5) CHARACTER SET latin1", "VALUES (%d,STRING_TO_VECTOR('[1,2]'),'备','é')", "0x0000803f00000040,备,é"
		}
		exec(t, db, "CREATE TABLE shop.g (id INT PRIMARY KEY, "+columns+")", "CREATE TABLE shop.h LIKE shop.g",
			"INSERT IGNORE INTO shop.g "+fmt.Sprintf(row, 1))
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		exec(t, db, "INSERT IGNORE INTO shop.g "+fmt.Sprintf(row, 2), "INSERT IGNORE INTO shop.h "+fmt.Sprintf(row, 3),
			"UPDATE shop.h SET d='ü'", "UPDATE shop.h SET d='é'", "INSERT INTO shop.last VALUES (4711)")
		rows := map[string]bool{}
		for _, it := range collect(t, s, upTo("4711")) {
			switch it.Kind {
			case event.KindPaused:
				t.Fatal(it.text)
			case event.KindRow:
				rows[imageText(it.After, it.Table.Schema)] = true
			}
		}
		if !rows["2,"+want] || !rows["3,"+want] {
			t.Errorf("the log gives %v", rows)
		}
		s.RequestSnapshot([]event.TableName{{DB: "shop", Table: "g"}}, "test")
		g := newTarget(t)
		drive(t, s, g, func(*event.Item) bool { return g.ends == 1 })
		sameRows(t, g.texts(), []string{"1," + want, "2," + want})
	})
}

// TestKeysThatWouldBecomeOne keeps two rows apart whose keys have one text.
func TestKeysThatWouldBecomeOne(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.last (id INT PRIMARY KEY)",
			"CREATE TABLE shop.k (k VARCHAR(9) CHARACTER SET cp932 COLLATE cp932_bin PRIMARY KEY)")
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		exec(t, db, "INSERT INTO shop.k VALUES (CONVERT(X'81ca' USING cp932))", "INSERT INTO shop.k VALUES (CONVERT(X'eef9' USING cp932))",
			"INSERT INTO shop.last VALUES (4711)")
		var rows []string
		reason := event.PauseReason{}
		for _, it := range collect(t, s, upTo("4711")) {
			switch it.Kind {
			case event.KindPaused:
				reason = *it.Reason
			case event.KindRow:
				rows = append(rows, imageText(it.After, it.Table.Schema))
			}
		}
		if !slices.Equal(rows, []string{"￢", "4711"}) || reason.Code != event.PauseCharset ||
			!strings.Contains(reason.Text, "column k varchar(9)") || !strings.Contains(reason.Text, "0xeef9 twice") {
			t.Errorf("rows %q, paused %s: %s", rows, reason.Code, reason.Text)
		}
	})
}
