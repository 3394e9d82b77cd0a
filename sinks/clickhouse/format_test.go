package clickhouse

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/sinks/clickhouse/ddl"
)

var rewrite = flag.Bool("rewrite-page", false, "write the statements of docs/format/clickhouse.md anew")

const formatPage = "../../docs/format/clickhouse.md"

var (
	sqlBlock = regexp.MustCompile("(?s)```sql\n(.*?)```")
	tableKey = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
)

// TestFormatPage holds docs/format/clickhouse.md to what the sink keeps: its statements, the
// columns beside the source's, and each key of what it writes as JSON.
func TestFormatPage(t *testing.T) {
	b, err := os.ReadFile(formatPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	statements := strings.Join(append(ddl.Control("millrace"), ddl.CreateStatusView("millrace", false)), ";\n") + ";\n"
	if *rewrite {
		page = sqlBlock.ReplaceAllLiteralString(page, "```sql\n"+statements+"```")
		if err := os.WriteFile(formatPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := sqlBlock.FindStringSubmatch(page); got == nil || got[1] != statements {
		t.Error("the page does not have the statements as they are; write them anew with: " +
			"go test ./sinks/clickhouse -run FormatPage -rewrite-page")
	}
	for _, l := range []ddl.Layout{ddl.Versions, ddl.Signs, ddl.Changes, ddl.Halves} {
		for _, c := range ddl.Technical(l) {
			if !strings.Contains(page, fmt.Sprintf("| `%s` | `%s` |", c.Name, c.Type)) {
				t.Errorf("the page does not have the column %s %s", c.Name, c.Type)
			}
		}
	}
	for section, v := range map[string]any{
		"claim": claimRecord{}, "record": record{}, "queue": queueRecord{}, "end": endRecord{}, "again": again{},
		"store": store{}, "column": targetColumn{}, "log": logRecord{}, "kept": keptRecord{}, "shown": shownColumn{}, "signs": signsRecord{},
		"sweep": sweep{},
	} {
		_, text, found := strings.Cut(page, "\n### "+section+"\n")
		text, _, _ = strings.Cut(text, "\n### ")
		var has []string
		for _, m := range tableKey.FindAllStringSubmatch(text, -1) {
			has = append(has, m[1])
		}
		if want := jsonKeys(v); !found || !slices.Equal(has, want) {
			t.Errorf("%s: the page has the keys\n%q\nand the code\n%q", section, has, want)
		}
	}
}

// jsonKeys are the keys of a struct in JSON, in their order.
func jsonKeys(v any) (keys []string) {
	typ := reflect.TypeOf(v)
	for i := range typ.NumField() {
		if key, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}
