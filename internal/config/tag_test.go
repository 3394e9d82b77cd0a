package config

import (
	"errors"
	"strings"
	"testing"
)

// TestAnExclamationMarkIsQuoted: YAML reads an unquoted one as a tag and drops the word.
func TestAnExclamationMarkIsQuoted(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"tables: [!erp.secret_cards, erp.*]\n", `f.yaml:1:10: tables[0]: !erp.secret_cards, is read as a tag of YAML and not as a value; put it into quotes: "!erp.secret_cards"`},
		{"tables:\n- erp.*\n- !erp.audit\n", `f.yaml:3:3: tables[1]: !erp.audit is read as a tag of YAML and not as a value; put it into quotes: "!erp.audit"`},
		{"tables:\n- !erp.audit erp.orders\n", `put it into quotes: "!erp.audit"`},
		{"name: !x\n", `put it into quotes: "!x"`},
		{"tables: [erp.*, !erp.audit]\n", `put it into quotes: "!erp.audit"`},
		{"tables: [erp.*, \"!erp.audit\"]\nname: a!b\n", ""},
	} {
		doc, err := Parse("f.yaml", []byte(c.text), nil)
		if err == nil {
			err = doc.Issues.Err()
		}
		var issues Issues
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.text, err)
		case c.want != "" && (!errors.As(err, &issues) || len(issues) != 1 || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}
