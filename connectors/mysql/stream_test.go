package mysql

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

func TestChangesComeInOrderWithRisingNumbers(t *testing.T) {
	onServers(t, func(t *testing.T, srv *testenv.Server, db *sql.DB) {
		exec(t, db, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v VARCHAR(20))",
			"CREATE TABLE shop.other (id INT PRIMARY KEY)",
			"CREATE TABLE shop.k (v INT)")
		s := newSource(t, testConfig(srv, "shop.*", "!shop.other"))
		openSource(t, s, pipeline.Resume{})
		exec(t, db, "INSERT INTO shop.a VALUES (1,'one'),(2,'two')", "INSERT INTO shop.other VALUES (1)",
			"UPDATE shop.a SET v='deux' WHERE id=2", "UPDATE shop.a SET id=3 WHERE id=2", "DELETE FROM shop.a WHERE id=1",
			"INSERT INTO shop.k VALUES (7)", "UPDATE shop.k SET v=8", "INSERT INTO shop.a VALUES (99,'end')")
		all := collect(t, s, upTo("99,end"))
		var lines []string
		var last event.Seq
		for _, it := range all {
			if it.Kind == event.KindHeartbeat {
				continue
			}
			lines = append(lines, it.text)
			if it.Seq <= last {
				t.Errorf("%s has number %d behind %d", it.text, it.Seq, last)
			}
			last = it.Seq
		}
		want := `c shop.a -> 1,one
c shop.a -> 2,two
commit
u shop.a 2,two -> 2,deux
commit
d shop.a 2,deux
c shop.a -> 3,deux
commit
d shop.a 1,one
commit
c shop.k -> 7
commit
d shop.k 7
c shop.k -> 8
commit
c shop.a -> 99,end
commit`
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	})
}
