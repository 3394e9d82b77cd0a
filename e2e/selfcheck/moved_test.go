package selfcheck

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/verify"
	lakereader "github.com/millrace/millrace/sinks/parquet/readback"
)

// move is what happens to a table in the middle of its comparison, when the source was read in
// part and the target not at all. T stands for the table's name.
type move struct {
	name       string
	statements []string
	verb       string // of the daemon, besides
	// never is an outcome that would not be so. One without a key is read in one statement,
	// before it moves: it may have been equal then.
	never []string
	// then is the name under which the table is to be equal in the end; "" is none.
	then string
}

var moves = []move{
	{name: "renamed", statements: []string{"RENAME TABLE T TO T_new"}, never: []string{verify.Equal, verify.Differs}, then: "T_new"},
	{name: "swapped", statements: []string{"RENAME TABLE T TO T_x, T_twin TO T, T_x TO T_twin"}, never: []string{verify.Differs}, then: "T"},
	{name: "dropped", statements: []string{"DROP TABLE T"}, never: []string{verify.Equal, verify.Differs}},
	{name: "made again", statements: []string{"DROP TABLE T", "CREATE TABLE T LIKE T_twin", "INSERT INTO T (a, v, w) SELECT a, v, w FROM T_twin WHERE a > 150"},
		never: []string{verify.Differs}, then: "T"},
	{name: "emptied", statements: []string{"TRUNCATE TABLE T"}, never: []string{verify.Differs}, then: "T"},
	{name: "with another column", statements: []string{"ALTER TABLE T ADD COLUMN n INT DEFAULT 7"}, never: []string{verify.Equal, verify.Differs}, then: "T"},
	{name: "with a column less", statements: []string{"ALTER TABLE T DROP COLUMN w"}, never: []string{verify.Equal, verify.Differs}, then: "T"},
	{name: "columns that change names", statements: []string{"ALTER TABLE T RENAME COLUMN v TO w, RENAME COLUMN w TO v"}, never: []string{verify.Differs}, then: "T"},
	{name: "read anew", verb: httpapi.Snapshot, never: []string{verify.Differs}, then: "T"},
	{name: "paused", verb: httpapi.Pause, statements: []string{"INSERT INTO T (a, v) VALUES (5000, 'while paused')", "UPDATE T SET v = 'while paused' WHERE a = 1"},
		never: []string{verify.Equal}},
}

// TestAComparisonOfATableThatMovesIsTrue moves tables in the middle of their comparison, while
// they are written: what is said of them is so, or says that it is not known.
func TestAComparisonOfATableThatMovesIsTrue(t *testing.T) {
	for kind, server := range map[string]*testenv.Server{"mariadb": testenv.MariaDB(t), "mysql": testenv.MySQL(t)} {
		t.Run(kind, func(t *testing.T) { moved(t, newRig(t, server), kind == "mysql") })
	}
}

// shapes are tables by what stands behind their columns a, v and w.
var shapes = map[string]string{
	"keyed":   "a INT PRIMARY KEY, v VARCHAR(40), w VARCHAR(40), g INT AS (a * 2) STORED, i INT DEFAULT 3 INVISIBLE",
	"keyless": "a INT, v VARCHAR(40), w VARCHAR(40)",
}

// ofMySQL are columns and a key that it alone has; they stand behind the keyed table's.
const ofMySQL = ", e VECTOR(3), UNIQUE KEY fx ((CONCAT(a, 'x')))"

func moved(t *testing.T, r *rig, mysql bool) {
	r.exec("CREATE DATABASE shop")
	var names []string
	for shape, columns := range shapes {
		vectors := mysql && shape == "keyed"
		if vectors {
			columns += ofMySQL
		}
		for i := range moves {
			for _, table := range []string{fmt.Sprintf("%s%d", shape, i), fmt.Sprintf("%s%d_twin", shape, i)} {
				r.exec("CREATE TABLE shop."+table+" ("+columns+")", "INSERT INTO shop."+table+" (a, v, w) WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 300) "+
					"SELECT n, CONCAT('"+table+" ', n), 'w' FROM s")
				if vectors {
					r.exec("UPDATE shop." + table + " SET e = STRING_TO_VECTOR(CONCAT('[1,2,', a, ']'))")
				}
				names = append(names, table)
			}
		}
	}
	r.every = "off" // the comparisons are the test's own
	r.write(false)
	r.start()
	for _, table := range names {
		r.await(table+" to be read", func() bool {
			one, ok := r.daemon.Table("shop." + table)
			return ok && one.Snapshot == 100 && len(one.Sinks) == 1 && !one.Sinks[0].CompleteTo.Current.IsZero()
		})
	}
	for shape := range shapes {
		for i, m := range moves {
			t.Run(shape+"/"+m.name, func(t *testing.T) { r.move(t, fmt.Sprintf("%s%d", shape, i), m) })
		}
	}
}

// move compares a table while it is written and moved, and once more when that is over.
func (r *rig) move(t *testing.T, table string, m move) {
	stop := r.touch(t, table)
	var once sync.Once
	got, err := r.check(t, table, func() {
		once.Do(func() {
			stop() // what is touched later would be another table
			if m.verb != "" {
				if _, err := r.daemon.Do(t.Context(), "shop", "shop."+table, m.verb); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range m.statements {
				r.exec(replaceTable(s, "shop."+table))
			}
		})
	})
	once.Do(func() { t.Error("the table was not moved") })
	said := got.State()
	if err != nil {
		said = err.Error()
	}
	t.Logf("%s %s", said, got.Problem+got.Behind+got.Orphaned)
	for _, never := range m.never {
		if err == nil && said == never && (never != verify.Equal || strings.HasPrefix(table, "keyed")) {
			t.Errorf("it is said to be %s: %+v", said, got)
		}
	}
	if m.then == "" {
		return
	}
	then := replaceTable(m.then, table)
	r.await(then+" to be equal", func() bool {
		got, err := r.check(t, then, func() {})
		return err == nil && got.Equal()
	})
}

// replaceTable puts a table's name in the place of T.
func replaceTable(text, table string) string { return placeholder.ReplaceAllString(text, table+"$1") }

var placeholder = regexp.MustCompile(`\bT(?:\b|(_))`)

// touch changes rows of a table until it is stopped.
func (r *rig) touch(t *testing.T, table string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_, err := r.db.ExecContext(ctx, "UPDATE shop."+table+" SET v = ? WHERE a = ?", fmt.Sprint("touched ", i), i%300)
			if err != nil && ctx.Err() == nil {
				t.Errorf("a writer: %v", err)
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// check compares a table; during is called when a part of the source was read.
func (r *rig) check(t *testing.T, table string, during func()) (verify.Table, error) {
	source, err := r.plan.SourceReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	got, err := verify.Check(t.Context(), source, lakereader.New(r.lake, "shop"), event.TableName{DB: "shop", Table: table}, verify.Options{
		ChunkRows: 100, Wait: 10 * time.Second, Pause: 100 * time.Millisecond,
		Pace: func(ctx context.Context, side string, _ int) error {
			during()
			return ctx.Err()
		},
		Complete: func() time.Time {
			one, _ := r.daemon.Table("shop." + table)
			if len(one.Sinks) != 1 || one.State != pipeline.StateRunning {
				return time.Time{}
			}
			return one.Sinks[0].CompleteTo.Current
		},
	})
	if errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	return got, err
}
