package clickhouse

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/pipeline/event"
)

const docsPage = "../../docs/clickhouse.md"

var codeBlock = regexp.MustCompile("(?s)\n```(\\w*)\n(.*?)\n```")

// TestTheDocumentedStatements: the server understands each statement of docs/clickhouse.md, and
// the first query shows what the page says.
func TestTheDocumentedStatements(t *testing.T) {
	b, err := os.ReadFile(docsPage)
	if err != nil {
		t.Fatal(err)
	}
	d := testenv.ClickHouse(t)
	conn, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	blocks := codeBlock.FindAllStringSubmatch(string(b), -1)
	statements := 0
	for _, m := range blocks {
		if m[1] != "sql" {
			continue
		}
		for statement := range strings.SplitSeq(strings.TrimSuffix(strings.TrimSpace(m[2]), ";"), ";\n") {
			statements++
			if err := conn.Exec(t.Context(), "SELECT formatQuery(?)", statement); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
	}
	if statements < 8 {
		t.Errorf("only %d statements were found", statements)
	}

	// The rows that the page has MySQL insert, as they are captured.
	c, m := targetOn(t, d), schemas{}
	name := event.Column{ID: 2, Name: "customer", Type: event.TypeText, Native: "varchar(40)", Nullable: true}
	amount := event.Column{ID: 3, Name: "amount", Type: event.TypeDecimal, Native: "decimal(10,2)", Precision: 10, Scale: 2, Nullable: true}
	s := m.add([]event.Column{number(1, "id", 4), name, amount}, 0)
	own(t, c, m, 1, false).write(0, rows(s, 0, create(10, image(t, s, 1, "Ada", "12.50")), create(12, image(t, s, 2, "Grace", "99.00")))).flush()
	for i, m := range blocks {
		if m[1] != "sql" || m[2] != "SELECT * FROM shop.orders ORDER BY id;" {
			continue
		}
		query := strings.TrimSuffix(strings.Replace(m[2], "shop.", d.Name+".", 1), ";")
		got := lines(t, conn, "SELECT concat(toString(id), '\t', customer, '\t', toString(amount)) FROM ("+query+")")
		if want := blocks[i+1][2]; got != want {
			t.Errorf("the page says\n%s\nand the server\n%s", want, got)
		}
		return
	}
	t.Error("the page has no first query")
}

// lines is what a query with one column answers.
func lines(t *testing.T, conn driver.Conn, query string) string {
	t.Helper()
	answer, err := conn.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	var out []string
	for answer.Next() {
		var line *string
		if err := answer.Scan(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, *line)
	}
	if err := answer.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}
