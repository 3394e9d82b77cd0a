//go:build seeded

package selfcheck

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/seeded"
	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/httpapi"
	"github.com/millrace/millrace/pipeline/verify"
)

// TestATableOfAnUnreadStatementIsFoundSeeded has a statement that makes a table not be read as
// one: the table is said, and pausing and resuming has it read, as the message says.
func TestATableOfAnUnreadStatementIsFoundSeeded(t *testing.T) {
	t.Run(string(seeded.LogTakenAtItsWord), func(t *testing.T) {
		t.Setenv("MILLRACE_SEEDED_BUG", string(seeded.LogTakenAtItsWord))
		r := newRig(t, testenv.MariaDB(t))
		r.exec("CREATE DATABASE shop", "CREATE TABLE shop.keyed (id INT PRIMARY KEY)", "INSERT INTO shop.keyed VALUES (1)")
		r.start()
		r.await("the first look", func() bool { return r.verified("keyed").State == verify.Equal })
		unread := func(n int) string { return fmt.Sprint("unread", n) }
		n := 0
		r.await("a table to be said", func() bool {
			table, known := r.daemon.Table("shop." + unread(n))
			if n == 0 || known && table.State != pipeline.StateUnnoticed { // the source was opened anew meanwhile
				n++
				r.exec("/* a tool */ CREATE TABLE shop."+unread(n)+" (id INT PRIMARY KEY)", "INSERT INTO shop."+unread(n)+" VALUES (1)")
				return false
			}
			return known
		})
		for _, verb := range []string{httpapi.Pause, httpapi.Resume} {
			if _, err := r.daemon.Do(t.Context(), "shop", "", verb); err != nil {
				t.Fatal(err)
			}
		}
		r.await("the table to be read", func() bool { return r.verified(unread(n)).State == verify.Equal })
	})
}
