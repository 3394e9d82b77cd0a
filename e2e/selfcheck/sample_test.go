package selfcheck

import (
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/verify"
	lakereader "github.com/millrace/millrace/sinks/parquet/readback"
)

// sample compares a part of a table, as the command does. It is told up to where the lake is
// complete by whoever follows its log: on disk that is said by merges only, and far apart.
func (r *rig) sample(table string, s verify.Sample) verify.Table {
	r.t.Helper()
	source, err := r.plan.SourceReader(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer source.Close()
	complete := func() time.Time {
		if of, known := r.daemon.Table("shop." + table); known && len(of.Sinks) == 1 {
			return of.Sinks[0].CompleteTo.Current
		}
		return time.Time{}
	}
	got, err := verify.Check(r.t.Context(), source, lakereader.New(r.lake, "shop"), event.TableName{DB: "shop", Table: table},
		verify.Options{Sample: &s, Wait: 2 * time.Minute, Pause: 200 * time.Millisecond, Complete: complete})
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// TestASampleOfARunningPipeline takes parts of tables while one of them is written, and
// again when rows of the lake are wrong.
func TestASampleOfARunningPipeline(t *testing.T) {
	for kind, server := range map[string]*testenv.Server{"mariadb": testenv.MariaDB(t), "mysql": testenv.MySQL(t)} {
		t.Run(kind, func(t *testing.T) { sampled(t, newRig(t, server)) })
	}
}

func sampled(t *testing.T, r *rig) {
	const digits = "(SELECT 0 n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
	const rows = "FROM " + digits + " a, " + digits + " b, " + digits + " c"
	r.exec("CREATE DATABASE shop", "CREATE TABLE shop.keyed (shop VARCHAR(20), id INT, v VARCHAR(20), PRIMARY KEY (shop, id))",
		"INSERT INTO shop.keyed SELECT CONCAT('shop ', a.n), a.n + 10 * b.n + 100 * c.n, 'row' "+rows,
		"CREATE TABLE shop.live (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(40))", "INSERT INTO shop.live SELECT a.n + 10 * b.n + 100 * c.n + 1, 'first' "+rows,
		"CREATE TABLE shop.livelog (a INT, b INT)", "INSERT INTO shop.livelog SELECT a.n, b.n "+rows)
	r.start()
	for _, table := range []string{"keyed", "live", "livelog"} {
		r.await(table+" to be verified", func() bool { return r.verified(table).State == verify.Equal })
	}
	stop := r.writers()
	defer stop()
	part := verify.Sample{Fraction: 0.1, Seed: 1}
	for _, table := range []string{"keyed", "live"} {
		got := r.sample(table, part)
		if got.State() != verify.Agrees || got.Sample.Keys < 50 || got.Sample.Keys > 400 {
			t.Errorf("%s: %+v %s", got.State(), got, got.Sample)
		}
	}
	if got := r.sample("livelog", part); got.State() != verify.Skipped || !strings.Contains(got.Skipped, "gives no ranges") {
		t.Errorf("%+v", got)
	}
	if got := r.sample("keyed", verify.Sample{Rows: 5000}); got.State() != verify.Equal || got.SourceRows != 1000 {
		t.Errorf("%+v", got)
	}
	r.alter("keyed", func(row map[string]parquet.Value) []map[string]parquet.Value {
		switch row["id"].Int64() / 10 % 10 {
		case 1:
			return nil
		case 2:
			row["v"] = parquet.ByteArrayValue([]byte("altered"))
		case 3:
			row["id"] = parquet.Int64Value(row["id"].Int64() + 1000)
		}
		return []map[string]parquet.Value{row}
	})
	got := r.sample("keyed", verify.Sample{Rows: 300, Seed: 1})
	if got.State() != verify.Differs || got.Missing == 0 || got.Extra == 0 || got.Different == 0 || got.Proven == 0 {
		t.Errorf("%s: %+v %s", got.State(), got, got.Sample)
	}
}
