package mysql

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// typeCases are columns and the values that are put into them; text is what the value
// must read as, "=" the literal itself without quotes.
var typeCases = []struct {
	typ    string
	only   string // mariadb, mysql, or both
	values [][2]string
}{
	{"TINYINT", "", [][2]string{{"-128", "="}, {"127", "="}, {"0", "="}}},
	{"TINYINT UNSIGNED", "", [][2]string{{"255", "="}, {"128", "="}, {"0", "="}}},
	{"SMALLINT", "", [][2]string{{"-32768", "="}, {"32767", "="}}},
	{"SMALLINT UNSIGNED", "", [][2]string{{"65535", "="}, {"32768", "="}}},
	{"MEDIUMINT", "", [][2]string{{"-8388608", "="}, {"8388607", "="}, {"-1", "="}}},
	{"MEDIUMINT UNSIGNED", "", [][2]string{{"16777215", "="}, {"8388608", "="}, {"0", "="}}},
	{"INT", "", [][2]string{{"-2147483648", "="}, {"2147483647", "="}}},
	{"INT UNSIGNED", "", [][2]string{{"4294967295", "="}, {"2147483648", "="}}},
	{"INT(8) ZEROFILL", "", [][2]string{{"42", "="}}},
	{"BIGINT", "", [][2]string{{"-9223372036854775808", "="}, {"9223372036854775807", "="}}},
	{"BIGINT UNSIGNED", "", [][2]string{{"18446744073709551615", "="}, {"9223372036854775808", "="}}},
	{"DECIMAL(1,0)", "", [][2]string{{"-9", "="}, {"9", "="}, {"0", "="}}},
	{"DECIMAL(5,2)", "", [][2]string{{"-999.99", "="}, {"0.01", "="}, {"-0.50", "="}, {"12.5", "12.50"}}},
	{"DECIMAL(10,2) ZEROFILL", "", [][2]string{{"12.5", "12.50"}, {"0", "0.00"}}},
	{"DECIMAL(65,30)", "", [][2]string{{"-99999999999999999999999999999999999.999999999999999999999999999999", "="}, {"0.000000000000000000000000000001", "="}, {"1000000000", "1000000000.000000000000000000000000000000"}}},
	{"DECIMAL(30,30)", "", [][2]string{{"-0.123456789012345678901234567890", "="}}},
	{"DECIMAL(18,9)", "", [][2]string{{"123456789.000000001", "="}, {"-1.5", "-1.500000000"}}},
	{"FLOAT", "", [][2]string{{"1.1", "="}, {"-3.4028235e38", "-3.4028235e+38"}, {"1.17549435e-38", "1.1754944e-38"}, {"16777217", "1.6777216e+07"}, {"0.3333333333", "0.33333334"}}},
	{"DOUBLE", "", [][2]string{{"1.1", "="}, {"-1.7976931348623157e308", "-1.7976931348623157e+308"}, {"2.2250738585072014e-308", "="}, {"0.1234567890123456789", "0.12345678901234568"}, {"-0e0", ""}}},
	{"DATE", "", [][2]string{{"'0000-00-00'", "="}, {"'2024-00-15'", "="}, {"'2024-02-29'", "="}, {"'9999-12-31'", "="}, {"'0001-01-01'", "="}}},
	{"DATETIME", "", [][2]string{{"'0000-00-00 00:00:00'", "="}, {"'9999-12-31 23:59:59'", "="}, {"'2024-00-00 10:11:12'", "="}}},
	{"DATETIME(1)", "", [][2]string{{"'2024-01-02 03:04:05.9'", "="}}},
	{"DATETIME(2)", "", [][2]string{{"'2024-01-02 03:04:05.98'", "="}}},
	{"DATETIME(3)", "", [][2]string{{"'2024-01-02 03:04:05.987'", "="}}},
	{"DATETIME(4)", "", [][2]string{{"'2024-01-02 03:04:05.9876'", "="}}},
	{"DATETIME(5)", "", [][2]string{{"'2024-01-02 03:04:05.98765'", "="}}},
	{"DATETIME(6)", "", [][2]string{{"'2024-01-02 03:04:05.987654'", "="}, {"'0000-00-00 00:00:00.000000'", "="}}},
	{"TIMESTAMP NULL", "", [][2]string{{"'0000-00-00 00:00:00'", "="}, {"'1970-01-01 00:00:01'", "="}, {"'2038-01-19 03:14:07'", "="}}},
	{"TIMESTAMP(3) NULL", "", [][2]string{{"'1970-01-01 00:00:01.001'", "="}, {"'0000-00-00 00:00:00.000'", "="}}},
	{"TIMESTAMP(6) NULL", "", [][2]string{{"'2024-07-01 12:30:00.123456'", "="}, {"'2024-07-01 12:30:00.000000'", "="}}},
	{"TIME", "", [][2]string{{"'-838:59:59'", "="}, {"'838:59:59'", "="}, {"'00:00:00'", "="}, {"'-00:00:01'", "="}}},
	{"TIME(1)", "", [][2]string{{"'-00:00:00.1'", "="}, {"'12:00:00.0'", "="}}},
	{"TIME(2)", "", [][2]string{{"'-12:34:56.78'", "="}, {"'12:34:56.78'", "="}}},
	{"TIME(3)", "", [][2]string{{"'-12:34:56.789'", "="}, {"'-00:00:00.001'", "="}}},
	{"TIME(4)", "", [][2]string{{"'-12:34:56.7891'", "="}, {"'12:34:56.0001'", "="}}},
	{"TIME(6)", "", [][2]string{{"'-12:34:56.789123'", "="}, {"'-838:59:58.999999'", "="}, {"'00:00:00.000001'", "="}}},
	{"YEAR", "", [][2]string{{"0", "0000"}, {"1901", "="}, {"2155", "="}}},
	{"CHAR(10)", "", [][2]string{{"''", ""}, {"'abc  '", "abc"}, {"'ünï€😀'", "="}}},
	{"CHAR(255)", "", [][2]string{{"REPEAT('😀',255)", strings.Repeat("😀", 255)}}},
	{"VARCHAR(10)", "", [][2]string{{"''", ""}, {"'abc  '", "="}, {"'日本語'", "="}}},
	{"VARCHAR(300)", "", [][2]string{{"REPEAT('x',300)", strings.Repeat("x", 300)}, {"'a'", "="}}},
	{"CHAR(10) CHARACTER SET latin1", "", [][2]string{{"'café €'", "="}, {"''", ""}}},
	{"VARCHAR(200) CHARACTER SET latin1", "", [][2]string{{"REPEAT('é',200)", strings.Repeat("é", 200)}, {"CONVERT(X'80819fff' USING latin1)", "\u20ac\u0081Ÿÿ"}}},
	{"TEXT CHARACTER SET latin1", "", [][2]string{{"'naïve'", "="}}},
	{"VARCHAR(20) CHARACTER SET ascii", "", [][2]string{{"'plain'", "="}}},
	{"VARCHAR(20) CHARACTER SET utf8mb3", "", [][2]string{{"'日本'", "="}}},
	{"TINYTEXT", "", [][2]string{{"''", ""}, {"'tiny'", "="}}},
	{"TEXT", "", [][2]string{{"REPEAT('y',60000)", strings.Repeat("y", 60000)}}},
	{"MEDIUMTEXT", "", [][2]string{{"'m'", "="}}},
	{"LONGTEXT", "", [][2]string{{"'l'", "="}}},
	{"BINARY(4)", "", [][2]string{{"X'00'", "0x00000000"}, {"X'01000200'", "0x01000200"}, {"''", "0x00000000"}, {"X'0a'", "0x0a000000"}}},
	{"BINARY(255)", "", [][2]string{{"REPEAT(X'ff',255)", "0x" + strings.Repeat("ff", 255)}}},
	{"VARBINARY(10)", "", [][2]string{{"X'00ff00'", "0x00ff00"}, {"''", "0x"}}},
	{"VARBINARY(300)", "", [][2]string{{"X'00'", "0x00"}}},
	{"TINYBLOB", "", [][2]string{{"X'00'", "0x00"}}},
	{"BLOB", "", [][2]string{{"X'deadbeef'", "0xdeadbeef"}, {"''", "0x"}}},
	{"MEDIUMBLOB", "", [][2]string{{"X'01'", "0x01"}}},
	{"LONGBLOB", "", [][2]string{{"X'02'", "0x02"}}},
	{"ENUM('a','b','it''s','')", "", [][2]string{{"'a'", "="}, {"'it''s'", "it's"}, {"4", ""}, {"0", ""}}},
	{"ENUM('x','é') CHARACTER SET latin1", "", [][2]string{{"'é'", "="}}},
	{"SET('a','b','c')", "", [][2]string{{"''", ""}, {"'a,c'", "="}}},
	{"SET(" + manyMembers(64) + ")", "", [][2]string{{"'m63'", "="}, {"18446744073709551615", ""}, {"'m0,m63'", "="}}},
	{"BIT(1)", "", [][2]string{{"1", "="}, {"0", "="}}},
	{"BIT(9)", "", [][2]string{{"b'100000001'", "257"}}},
	{"BIT(64)", "", [][2]string{{"18446744073709551615", "="}, {"9223372036854775808", "="}, {"0", "="}}},
	{"POINT", "", [][2]string{{"ST_GeomFromText('POINT(1 2)',4326)", ""}, {"ST_GeomFromText('POINT(0 0)')", ""}}},
	{"GEOMETRY", "", [][2]string{{"ST_GeomFromText('LINESTRING(0 0,1 1)')", ""}}},
	{"JSON", "mariadb", [][2]string{{`'{"b": 1, "a":[1,2,  {"x":null}]}'`, "="}, {"'1'", "="}}},
	{"JSON", "mysql", [][2]string{
		{`'{"bb": 1, "a": [1, 2, {"x": null}], "c": true}'`, ""}, {`'"x\\"y\\n\\u0001/é"'`, ""}, {"'[]'", "="}, {"'{}'", "="},
		{"'1.0'", "="}, {"'1e20'", "1e20"}, {"'0.1'", "="}, {"'-1.5e-20'", ""}, {"'123456789012345680'", "="}, {"'1e14'", ""}, {"'1e15'", ""}, {"'0.00001234'", ""},
		{"'1.7976931348623157e308'", ""}, {"'0.000000000000012345678901234567'", ""}, {"'-0.0'", ""},
		{"'18446744073709551615'", "="}, {"'-9223372036854775808'", "="}, {"'70000'", "="}, {"'4294967295'", "="},
		{"CAST(CAST(123.4500 AS DECIMAL(10,4)) AS JSON)", ""}, {"CAST(CAST('2024-02-29' AS DATE) AS JSON)", `"2024-02-29"`},
		{"CAST(CAST('-12:34:56.789' AS TIME(3)) AS JSON)", ""}, {"CAST(CAST('2024-02-29 01:02:03.4' AS DATETIME(1)) AS JSON)", ""},
		{"CAST(REPEAT(X'00ff',60) AS JSON)", ""}, {"CAST(X'41' AS JSON)", ""}, {"JSON_OBJECT('k', REPEAT('z', 70000))", ""},
		{"JSON_ARRAY(1, 2.5, 'é😀', NULL, true, JSON_OBJECT('n', JSON_ARRAY()))", ""},
	}},
	{"VECTOR(3)", "mysql", [][2]string{{"STRING_TO_VECTOR('[1,2,3]')", ""}}},
	{"UUID", "mariadb", [][2]string{{"'123e4567-e89b-12d3-a456-426655440000'", "0x123e4567e89b12d3a456426655440000"}, {"'00000000-0000-0000-0000-000000000000'", "0x00000000000000000000000000000000"},
		{"'ffffffff-ffff-4fff-8fff-ffffffffff00'", "0xffffffffffff4fff8fffffffffffff00"}, {"'018f4e3a-1b2c-7d3e-8f4a-5b6c7d8e9f00'", "0x018f4e3a1b2c7d3e8f4a5b6c7d8e9f00"}, {"'12345678-0000-0000-0000-000000000000'", ""}}},
	{"INET6", "mariadb", [][2]string{{"'::'", "0x00000000000000000000000000000000"}, {"'2001:db8::ff00'", ""}, {"'::ffff:1.2.3.4'", ""}, {"'::1.2.3.4'", ""}}},
	{"INET4", "mariadb", [][2]string{{"'10.1.0.0'", "0x0a010000"}, {"'0.0.0.0'", "0x00000000"}}},
}

func manyMembers(n int) string {
	var b []string
	for i := range n {
		b = append(b, fmt.Sprintf("'m%d'", i))
	}
	return strings.Join(b, ",")
}

// TestLogAndSelectGiveTheSameBytes writes every value, reads it from the log, and reads
// it again by a snapshot.
func TestLogAndSelectGiveTheSameBytes(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop CHARACTER SET utf8mb4", "SET GLOBAL sql_mode=''", "SET GLOBAL time_zone='+05:30'")
		db.SetMaxIdleConns(0)
		var names []event.TableName
		for i, c := range typeCases {
			if c.only != "" && c.only != srv.Kind {
				continue
			}
			n := event.TableName{DB: "shop", Table: fmt.Sprintf("t%d", i)}
			exec(t, db, fmt.Sprintf("CREATE TABLE %s (id INT PRIMARY KEY, v %s)", n, c.typ))
			names = append(names, n)
		}
		s := newSource(t, testConfig(srv, "shop.*"))
		openSource(t, s, pipeline.Resume{})
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.ExecContext(t.Context(), "SET time_zone='+00:00', sql_mode='ALLOW_INVALID_DATES'"); err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			c := typeCase(n)
			for k, v := range append([][2]string{{"NULL", "NULL"}}, c.values...) {
				if _, err := conn.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO %s VALUES (%d, %s)", n, k, v[0])); err != nil {
					t.Fatalf("%s %s: %v", c.typ, v[0], err)
				}
			}
		}
		exec(t, db, fmt.Sprintf("INSERT INTO %s (id) VALUES (1000)", names[0]))
		images := map[string]event.Image{}
		for _, it := range collect(t, s, upTo("1000,")) {
			if it.Kind == event.KindPaused {
				t.Fatal(it.text)
			}
			if it.Kind == event.KindRow {
				checkStreamed(t, &it, images)
			}
		}
		s.RequestSnapshot(names, "test")
		ends, rows := 0, 0
		drive(t, s, newTarget(t), func(it *event.Item) bool {
			if it.Kind == event.KindEnd {
				ends++
			}
			if it.Op == event.OpRead {
				rows++
				id := imageKey(t, it)
				if string(images[id]) != string(it.After) {
					t.Errorf("%s, %s: the log has\n%x %s, SELECT gives\n%x %s", typeCase(it.Table.Name).typ, id,
						images[id], imageText(images[id], it.Table.Schema), it.After, imageText(it.After, it.Table.Schema))
				}
			}
			return ends == len(names)
		})
		if rows != len(images) {
			t.Errorf("the snapshot has %d rows, the log had %d", rows, len(images))
		}
	})
}

func typeCase(n event.TableName) (c struct {
	typ    string
	only   string
	values [][2]string
}) {
	var i int
	fmt.Sscanf(n.Table, "t%d", &i)
	return typeCases[i]
}

func imageKey(t *testing.T, it *event.Item) string {
	vals, err := event.Values(it.After, it.Table.Schema, nil)
	if err != nil {
		t.Fatalf("%s: %v", it.Table.Name, err)
	}
	return fmt.Sprintf("%s/%d", it.Table.Name, vals[0].Int())
}

func checkStreamed(t *testing.T, it *seen, images map[string]event.Image) {
	id := imageKey(t, &it.Item)
	images[id] = it.After
	vals, err := event.Values(it.After, it.Table.Schema, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := vals[0].Int()
	c := typeCase(it.Table.Name)
	if k == 0 || k == 1000 {
		if vals[1] != nil {
			t.Errorf("%s: NULL came as %x", c.typ, vals[1])
		}
		return
	}
	lit, want := c.values[k-1][0], c.values[k-1][1]
	if want == "=" {
		want = strings.Trim(lit, "'")
	}
	got := string(event.AppendValueText(nil, &it.Table.Schema.Columns[1], vals[1]))
	if want != "" && got != want {
		t.Errorf("%s %s reads %.200s, want %.200s", c.typ, lit, got, want)
	}
	if vals[1] == nil {
		t.Errorf("%s %s came as NULL", c.typ, lit)
	}
}
