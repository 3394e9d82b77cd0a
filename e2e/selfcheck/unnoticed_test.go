package selfcheck

import (
	"testing"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/readback"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/spec"
)

// TestATableThatIsNotTakenInIsFoundOnAnIdleServer has the self-check count a database that the
// source leaves out.
func TestATableThatIsNotTakenInIsFoundOnAnIdleServer(t *testing.T) {
	r := newRig(t, testenv.MariaDB(t))
	r.plan.SourceReader = func(*spec.Pipeline) (pipeline.Reader, error) {
		return readback.New(readback.Config{
			Account:  account.Account{Address: r.server.Addr, User: "root"},
			Captured: func(n event.TableName) bool { return n.DB == "shop" || n.DB == "backroom" },
		})
	}
	r.exec("CREATE DATABASE shop", "CREATE DATABASE backroom", "CREATE TABLE shop.keyed (id INT PRIMARY KEY)",
		"INSERT INTO shop.keyed VALUES (1)",
		"CREATE TABLE backroom.files (id INT PRIMARY KEY)", "INSERT INTO backroom.files VALUES (1)")
	r.start()
	r.await("the table to be said", func() bool {
		table, known := r.daemon.Table("backroom.files")
		return known && table.State == pipeline.StateUnnoticed
	})
}
