package chserver_test

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cockroachdb/datadriven"

	"github.com/millrace/millrace/internal/testenv"
)

// The scripts of testdata are what a sink may count on, and hold on a real server too:
//
//	exec                    a statement
//	query                   a statement; its answer, a row a line
//	insert t (columns)      a batch in one block, a row a line
//
// An error is its code.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		d := testenv.ClickHouse(t)
		options, err := d.Options()
		must(t, err)
		options.Settings = clickhouse.Settings{"async_insert": 0, "mutations_sync": 1}
		conn, err := clickhouse.Open(options)
		must(t, err)
		defer conn.Close()
		datadriven.RunTest(t, path, func(t *testing.T, c *datadriven.TestData) string {
			sql := strings.ReplaceAll(c.Input, "$db", d.Name)
			switch c.Cmd {
			case "exec":
				return outcome(conn.Exec(t.Context(), sql))
			case "query":
				answer, err := ask(t, conn, sql)
				if err != nil {
					return outcome(err)
				}
				return answer
			case "insert":
				var into []string
				for _, a := range c.CmdArgs {
					into = append(into, a.String())
				}
				return outcome(insertLines(t, conn, strings.Join(into, " "), sql))
			}
			t.Fatalf("%s: %q is not known", c.Pos, c.Cmd)
			return ""
		})
	})
}

// outcome is "ok" or the code of an error.
func outcome(err error) string {
	var e *clickhouse.Exception
	switch {
	case err == nil:
		return "ok\n"
	case errors.As(err, &e):
		return fmt.Sprintf("error %d\n", e.Code)
	}
	return err.Error() + "\n"
}

// ask runs a query and writes its rows as lines.
func ask(t *testing.T, conn driver.Conn, sql string) (string, error) {
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		values := make([]any, len(rows.ColumnTypes()))
		for i, c := range rows.ColumnTypes() {
			values[i] = reflect.New(c.ScanType()).Interface()
		}
		if err := rows.Scan(values...); err != nil {
			return "", err
		}
		for i, v := range values {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(plainText(v))
		}
		b.WriteByte('\n')
	}
	return b.String(), rows.Err()
}

// insertLines sends a batch of numbers and texts, separated by spaces.
func insertLines(t *testing.T, conn driver.Conn, into, lines string) error {
	b, err := conn.PrepareBatch(t.Context(), "INSERT INTO "+into)
	if err != nil {
		return err
	}
	for line := range strings.Lines(lines) {
		var row []any
		for i, field := range strings.Fields(line) {
			row = append(row, valueOf(t, b.Columns()[i].ScanType(), field))
		}
		if err := b.Append(row...); err != nil {
			return err
		}
	}
	return b.Send()
}

func valueOf(t *testing.T, typ reflect.Type, field string) any {
	t.Helper()
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(field, 10, 64)
		must(t, err)
		v.SetInt(n)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(field, 10, 64)
		must(t, err)
		v.SetUint(n)
	default:
		return field
	}
	return v.Interface()
}
