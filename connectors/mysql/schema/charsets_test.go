package schema

import (
	"testing"

	"github.com/millrace/millrace/connectors/mysql/charset"
	"github.com/millrace/millrace/pipeline/event"
)

func TestStatementsNameEveryCharset(t *testing.T) {
	for _, name := range charset.Names() {
		for _, form := range []string{"CREATE TABLE d.t (v VARCHAR(5) CHARACTER SET " + name + ")", "CREATE TABLE d.t (v VARCHAR(5)) DEFAULT CHARSET=" + name,
			"CREATE TABLE d.t (v VARCHAR(5) COLLATE " + name + "_bin)"} {
			if name == "binary" || name == "utf8" {
				continue
			}
			changes := Apply(Statement{SQL: form, DB: "d", Temporary: &Temporary{}, Number: 1,
				Captures: func(event.TableName) bool { return true }, Table: func(event.TableName) *Current { return nil },
				Tables: func() []event.TableName { return nil }})
			if len(changes) != 1 || changes[0].Kind != Created || changes[0].New == nil || changes[0].New.Columns[0].Charset != name {
				t.Errorf("%s: %+v", form, changes)
			}
		}
	}
}
