package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace/connectors/mysql/account"
	"github.com/millrace/millrace/connectors/mysql/readback"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/verify"
)

// totals are what the comparison counted.
type totals struct {
	tables        int
	rows, changes int64
}

// history counts a table's changes in the target and those that are there twice.
type history func(context.Context, event.TableName) (changes, twice int64, err error)

// compare reads source and target row by row and prints what it found, and what a history
// that is not nil knows. It reports whether everything was right.
func compare(ctx context.Context, address string, target pipeline.Reader, changesOf history) (right bool, found totals, err error) {
	source, err := readback.New(readback.Config{
		Account:  account.Account{Address: address, User: "millrace", Password: password},
		Captured: func(n event.TableName) bool { return n.DB == "shop" },
	})
	if err != nil {
		return false, found, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	names, err := source.Tables(ctx)
	if err != nil {
		return false, found, err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TABLE\tSOURCE ROWS\tTARGET ROWS\tSOURCE SUM\tTARGET SUM\tMISSING\tEXTRA\tDIFFERENT\tCHANGES\tDUPLICATES\tRESULT")
	right = true
	for _, name := range names {
		t, err := verify.Compare(ctx, source, target, name)
		if err != nil {
			return false, found, err
		}
		var changes int64
		if changesOf != nil {
			if changes, t.Duplicates, err = changesOf(ctx, name); err != nil {
				return false, found, fmt.Errorf("changes of %s: %w", name, err)
			}
		}
		found.tables, found.rows, found.changes = found.tables+1, found.rows+int64(t.TargetRows), found.changes+changes
		result := "equal"
		if !t.Equal() {
			result, right = "DIFFERENT "+t.Problem, false
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", name, t.SourceRows, t.TargetRows,
			t.SourceChecksum, t.TargetChecksum, t.Missing, t.Extra, t.Different, changes, t.Duplicates, result)
		for _, example := range t.Examples {
			fmt.Fprintf(w, "\t%s\n", example)
		}
	}
	return right, found, w.Flush()
}

// duplicates counts the rows of changes/ and those whose identity was there before.
func (l lake) duplicates(ctx context.Context, name event.TableName) (rows, twice int64, err error) {
	files, _, _, err := live(l.table(name, "changes"), -1)
	if err != nil {
		return 0, 0, err
	}
	seen := map[[2]uint64]bool{}
	for _, path := range files {
		err := readParquet(ctx, path, []string{"_src"}, func(cells []pipeline.Cell) error {
			rows++
			id := cells[0].Text
			key := [2]uint64{xxhash.Sum64(id), xxhash.Sum64(append(id, 1))}
			if seen[key] {
				twice++
			}
			seen[key] = true
			return nil
		})
		if err != nil {
			return rows, twice, fmt.Errorf("%s: %w", path, err)
		}
	}
	return rows, twice, nil
}
