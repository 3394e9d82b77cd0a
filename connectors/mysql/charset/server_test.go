package charset

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testenv"
)

// sequences are the bytes that every set made of a table is asked about.
func sequences(s *Set) (all [][]byte) {
	for a := range 256 {
		all = append(all, []byte{byte(a)})
	}
	if s.maxLen == 1 {
		return all
	}
	for a := range 256 {
		for b := range 256 {
			all = append(all, []byte{byte(a), byte(b)})
		}
	}
	if s.maxLen == 3 {
		for a := range 256 {
			for b := range 256 {
				all = append(all, []byte{0x8f, byte(a), byte(b)})
			}
		}
	}
	if s.maxLen == 4 {
		for i := range 126 * 12600 {
			all = append(all, []byte{byte(0x81 + i/12600), byte(0x30 + i/1260%10), byte(0x81 + i/10%126), byte(0x30 + i%10)})
		}
	}
	return all
}

// bytewise keeps the servers from cutting what they do not like.
func openStrict(t testing.TB, srv *testenv.Server) *sql.Conn {
	t.Helper()
	db, err := srv.Open("")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); db.Close() })
	for _, q := range []string{"SET SESSION sql_mode='STRICT_ALL_TABLES'", "CREATE DATABASE IF NOT EXISTS charsets", "USE charsets",
		"CREATE TABLE IF NOT EXISTS sequences (id INT PRIMARY KEY, b VARBINARY(2048)) ENGINE=MyISAM"} {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	return conn
}

// ask lets a server convert texts from one set to another; what it refuses is invalid.
func ask(t testing.TB, conn *sql.Conn, texts [][]byte, from, to string) []sql.NullString {
	t.Helper()
	ctx := t.Context()
	must := func(query string) {
		if _, err := conn.ExecContext(ctx, query); err != nil {
			t.Fatalf("%.100s: %v", query, err)
		}
	}
	must("TRUNCATE TABLE sequences")
	id := 0
	for part := range slices.Chunk(texts, 8192) {
		var q strings.Builder
		q.WriteString("INSERT INTO sequences VALUES ")
		for i, b := range part {
			if i > 0 {
				q.WriteByte(',')
			}
			fmt.Fprintf(&q, "(%d,X'%x')", id, b)
			id++
		}
		must(q.String())
	}
	answers := make([]sql.NullString, len(texts))
	rows, err := conn.QueryContext(context.WithoutCancel(ctx),
		fmt.Sprintf("SELECT id, CAST(CONVERT(CONVERT(b USING %s) USING %s) AS BINARY) FROM sequences", from, to))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var i int
		var text sql.NullString
		if err := rows.Scan(&i, &text); err != nil {
			t.Fatal(err)
		}
		answers[i] = text
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return answers
}
