package selfcheck

import (
	"maps"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/verify"
)

// TestAPipelineFindsWhatIsWrongInItsTarget gives a running pipeline rows that are wrong, too
// many and too few, in a table with a key and one without, while others are written all the
// time; restarts it, and has it repair what it found.
func TestAPipelineFindsWhatIsWrongInItsTarget(t *testing.T) {
	r := newRig(t, testenv.MariaDB(t))
	r.exec("CREATE DATABASE shop",
		"CREATE TABLE shop.keyed (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO shop.keyed SELECT seq, CONCAT('row ', seq) FROM shop.seq_1_to_300",
		"CREATE TABLE shop.log (a INT, v VARCHAR(20))", "INSERT INTO shop.log SELECT seq % 10, CONCAT('line ', seq % 50) FROM shop.seq_1_to_300",
		"CREATE TABLE shop.live (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(40))", "INSERT INTO shop.live SELECT seq, 'first' FROM shop.seq_1_to_800",
		"CREATE TABLE shop.livelog (a INT, b INT)", "INSERT INTO shop.livelog SELECT seq % 10, seq FROM shop.seq_1_to_100")
	stop := r.writers()
	defer stop()
	r.start()
	equal := func(tables ...string) func() bool {
		return func() bool {
			for _, table := range tables {
				if v := r.verified(table); v.State != verify.Equal || v.Through.IsZero() {
					return false
				}
			}
			return true
		}
	}
	for _, table := range []string{"keyed", "log"} {
		r.await(table+" to be verified", equal(table))
	}
	for _, table := range []string{"live", "livelog"} { // each of them once: the next round may be on its way
		r.await(table+" to be verified while it is written", func() bool { return !r.verified(table).Through.IsZero() })
	}
	for _, table := range []string{"keyed", "log", "live", "livelog"} {
		if got := r.history(table); !got.Equal() || got.SourceRows == 0 || len(got.Unchecked) > 0 {
			t.Errorf("the changes of %s, replayed, are not what it is: %+v", table, got)
		}
	}
	r.stop()
	r.start()
	if r.await("the status", func() bool { _, ok := r.daemon.Table("shop.keyed"); return ok }); r.verified("keyed").Through.IsZero() {
		t.Errorf("a restart forgets what was verified: %+v", r.verified("keyed"))
	}
	through := r.verified("keyed").Through

	r.alter("keyed", func(row map[string]parquet.Value) []map[string]parquet.Value {
		switch row["id"].Int64() {
		case 3:
			row["v"] = parquet.ByteArrayValue([]byte("altered"))
		case 4:
			return nil
		case 5:
			extra := maps.Clone(row)
			extra["id"] = parquet.Int64Value(999)
			return []map[string]parquet.Value{row, extra}
		}
		return []map[string]parquet.Value{row}
	})
	first, twice := "", false
	r.alter("log", func(row map[string]parquet.Value) []map[string]parquet.Value {
		switch v := row["v"].String(); {
		case first == "":
			first = v
			row["v"] = parquet.ByteArrayValue([]byte("altered"))
		case v != first && !twice:
			twice = true
			return []map[string]parquet.Value{row, row}
		}
		return []map[string]parquet.Value{row}
	})
	for _, table := range []string{"keyed", "log"} {
		r.await("the finding in "+table, func() bool { return r.verified(table).State == verify.Differs })
	}
	for table, want := range map[string]int64{"keyed": 3, "log": 3} {
		if got := r.history(table); got.Differences() != want {
			t.Errorf("the changes of %s are compared with %d differences: %+v", table, got.Differences(), got)
		}
	}
	keyed, log := r.verified("keyed"), r.verified("log")
	for _, want := range []string{"3 rows: ", "differs: id=3: v is row 3 in the source, altered in the target", "only in the source: id=4", "only in the target: id=999"} {
		if !strings.Contains(keyed.Reason, want) {
			t.Errorf("no %q in %q", want, keyed.Reason)
		}
	}
	if keyed.Differences != 3 || keyed.Through.Before(through) {
		t.Errorf("%+v, before that verified through %s", keyed, through)
	}
	// One row became another, and one is there once too often.
	if log.Differences != 3 || !strings.Contains(log.Reason, "only in the target: ") || !strings.Contains(log.Reason, "v=altered") ||
		!strings.Contains(log.Reason, "only in the source: ") {
		t.Errorf("%+v", log)
	}
	for _, want := range []string{
		`millrace_verify_differences{pipeline="shop",sink="lake",table="shop.keyed"} 3`, `millrace_verify_rows_total{pipeline="shop"} `,
		`millrace_table_verified_timestamp_seconds{pipeline="shop",sink="lake",table="shop.keyed"} 1.`,
	} {
		if text := r.metrics(); !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if v := r.verified("live"); v.State == verify.Differs {
		t.Errorf("a table that is written is accused: %+v", v)
	}

	r.stop()
	r.write(true)
	r.start()
	r.await("the repair", func() bool { return !r.verified("keyed").Repaired.IsZero() || equal("keyed")() })
	r.await("what was repaired to be verified", equal("keyed", "log"))
}
