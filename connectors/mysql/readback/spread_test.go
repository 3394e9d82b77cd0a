package readback

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// spreadTypes are types of keys with an expression of n (1 to 1000) for a thousand values.
var spreadTypes = map[string]string{
	"INT":                               "n * 7 - 3000",
	"BIGINT UNSIGNED":                   "18446744073709551615 - n",
	"DECIMAL(20,4)":                     "n / 16 - 10",
	"VARCHAR(20) CHARACTER SET utf8mb4": "CONCAT('user-', LPAD(n * 37, 6, '0'))",
	"VARCHAR(40) CHARACTER SET latin1":  "LEFT(SHA2(n, 256), 32)",
	"VARCHAR(20) CHARACTER SET gbk":     "CONCAT('订', n)",
	"VARBINARY(16)":                     "UNHEX(LEFT(SHA2(n, 256), 32))",
	"BINARY(3)":                         "UNHEX(LPAD(HEX(n), 6, '0'))",
	"DATE":                              "DATE '2020-01-01' + INTERVAL n DAY",
	"DATETIME(6)":                       "TIMESTAMP '2020-01-01 00:00:00' + INTERVAL n * 1000 SECOND",
	"TIMESTAMP(3)":                      "TIMESTAMP '2020-01-01 00:00:00' + INTERVAL n * 1000 SECOND",
	"TIME(2)":                           "SEC_TO_TIME(n * 100 - 50000)",
	"BIT(12)":                           "n * 4",
}

var mariaSpreads = map[string]string{
	"UUID":  "CONCAT(LEFT(SHA2(n, 256), 8), '-e5c0-11f1-9645-', RIGHT(SHA2(n, 256), 12))",
	"INET6": "CONCAT('2001:db8::', HEX(n))",
	"INET4": "CONCAT('10.', n DIV 100, '.', n MOD 100, '.7')",
}

// TestPlacesAreAllOverATable reads ranges behind a hundred places of a thousand rows: the rows
// are of every quarter of the table, for every type and for keys of two columns.
func TestPlacesAreAllOverATable(t *testing.T) {
	for kind, server := range map[string]*testenv.Server{"mariadb": testenv.MariaDB(t), "mysql": testenv.MySQL(t)} {
		t.Run(kind, func(t *testing.T) {
			db, r := open(t, server), reader(t, server)
			exec(t, db, "SET SESSION sql_mode='', time_zone='+00:00'", "CREATE DATABASE shop", "CREATE TABLE shop.n (n INT PRIMARY KEY)",
				"INSERT INTO shop.n WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 1000) SELECT n FROM s")
			types := maps.Clone(spreadTypes)
			if kind == "mariadb" {
				maps.Copy(types, mariaSpreads)
			}
			for typ, value := range types {
				exec(t, db, "DROP TABLE IF EXISTS shop.one, shop.two", "CREATE TABLE shop.one (n INT, k "+typ+" PRIMARY KEY)",
					"INSERT INTO shop.one SELECT n, "+value+" FROM shop.n",
					"CREATE TABLE shop.two (n INT, k "+typ+", a INT, PRIMARY KEY (a, k))", "INSERT INTO shop.two SELECT n, k, n MOD 3 FROM shop.one")
				for _, table := range []string{"one", "two"} {
					t.Run(typ+" "+table, func(t *testing.T) { quarters(t, r, event.TableName{DB: "shop", Table: table}) })
				}
			}
		})
	}
}

func quarters(t *testing.T, r *Reader, name event.TableName) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 1))
	if n, err := r.RowsAbout(t.Context(), name); n != 1000 || err != nil {
		t.Errorf("about %d rows, %v", n, err)
	}
	places, err := r.Spread(t.Context(), name, 100, rng.Float64)
	if err != nil || len(places) != 100 {
		t.Fatalf("%d places, %v", len(places), err)
	}
	order := map[string]int{} // of the rows in the key's order
	none := func([]pipeline.ReadColumn) error { return nil }
	if err := r.ReadAfter(t.Context(), name, nil, 1000, none, func(cells []pipeline.Cell) error {
		order[string(cells[0].Text)] = len(order)
		return nil
	}); err != nil || len(order) != 1000 {
		t.Fatalf("%d rows, %v", len(order), err)
	}
	var met [4]int
	for _, after := range places {
		err := r.ReadAfter(t.Context(), name, after, 1, none, func(cells []pipeline.Cell) error {
			met[order[string(cells[0].Text)]/250]++
			return nil
		})
		if err != nil {
			t.Fatalf("behind %s: %v", show(after), err)
		}
	}
	for quarter, n := range met {
		if n < 3 {
			t.Errorf("quarter %d was met %d times: %v", quarter, n, met)
		}
	}
}

func show(cells []pipeline.Cell) (out string) {
	for _, c := range cells {
		out += fmt.Sprintf("%q ", c.Text)
	}
	return out
}

func TestRowsAreCountedOrEstimated(t *testing.T) {
	for kind, server := range map[string]*testenv.Server{"mariadb": testenv.MariaDB(t), "mysql": testenv.MySQL(t)} {
		t.Run(kind, func(t *testing.T) {
			db, r := open(t, server), reader(t, server)
			exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.ten (n INT PRIMARY KEY)",
				"INSERT INTO shop.ten VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
				"CREATE TABLE shop.many (n INT)", "INSERT INTO shop.many SELECT a.n FROM shop.ten a, shop.ten b, shop.ten c, shop.ten d, shop.ten e WHERE e.n < 3",
				"CREATE TABLE shop.none (n INT PRIMARY KEY)", "CREATE TABLE shop.prefix (k TEXT NOT NULL, UNIQUE KEY (k(3)))", "ANALYZE TABLE shop.many")
			for table, want := range map[string][2]int64{"ten": {10, 10}, "none": {0, 0}, "many": {15_000, 60_000}} {
				n, err := r.RowsAbout(t.Context(), event.TableName{DB: "shop", Table: table})
				if err != nil || n < want[0] || n > want[1] {
					t.Errorf("%s: about %d rows, %v", table, n, err)
				}
			}
			for table, unsupported := range map[string]bool{"many": true, "prefix": true, "none": false} {
				places, err := r.Spread(t.Context(), event.TableName{DB: "shop", Table: table}, 3, rand.Float64)
				if len(places) != 0 || errors.Is(err, errors.ErrUnsupported) != unsupported || err != nil && !unsupported {
					t.Errorf("%s: %v, %v", table, places, err)
				}
			}
		})
	}
}

// TestAKeyThatIsNoCharacterIsNotLookedFor: the literal would be another key.
func TestAKeyThatIsNoCharacterIsNotLookedFor(t *testing.T) {
	server := testenv.MariaDB(t)
	exec(t, open(t, server), "CREATE DATABASE shop",
		"CREATE TABLE shop.g (k VARCHAR(9) CHARACTER SET cp1251 COLLATE cp1251_bin PRIMARY KEY, v INT)",
		"INSERT INTO shop.g VALUES ('A', 1), (CONVERT(X'98' USING cp1251), 2), (CONVERT(X'9841' USING cp1251), 3), ('ж', 4)")
	r, name := reader(t, server), event.TableName{DB: "shop", Table: "g"}
	var last []pipeline.Cell
	var keys int
	none := func([]pipeline.ReadColumn) error { return nil }
	take := func(cells []pipeline.Cell) error {
		keys++
		last = []pipeline.Cell{{Text: append([]byte(nil), cells[0].Text...)}}
		return nil
	}
	if err := r.ReadAfter(t.Context(), name, nil, 2, none, take); err != nil || keys != 2 || string(last[0].Text) != "\uFFFD" {
		t.Fatalf("%s, %v", show(last), err)
	}
	if err := r.ReadAfter(t.Context(), name, last, 2, none, take); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a range: %v", err)
	}
	if err := r.ReadKeys(t.Context(), name, [][]pipeline.Cell{last}, none, take); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("keys: %v", err)
	}
}
