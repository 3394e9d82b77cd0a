package serve

import (
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/testenv/chserver"
)

// roleOf is the role with the grants of a user: the engine's sessions are all of one user,
// and take its role.
func roleOf(user string) string { return "user_" + user }

// everything is the role of whoever has no grants of his own.
const everything = "everything"

// WriteConfig writes the engine's configuration into dir and returns the name of its file.
func WriteConfig(dir string, options chserver.Options) (string, error) {
	users, config := filepath.Join(dir, "users.xml"), filepath.Join(dir, "config.xml")
	settings := map[string]string{"async_insert": "0"}
	maps.Copy(settings, options.Settings)
	var b strings.Builder
	b.WriteString("<clickhouse>\n<profiles><default>\n")
	elements(&b, settings)
	b.WriteString("</default></profiles>\n<roles>\n")
	fmt.Fprintf(&b, "<%s><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></%s>\n", everything, everything)
	granted := []string{everything}
	for _, u := range options.Users {
		if len(u.Grants) == 0 {
			continue
		}
		role := roleOf(u.Name)
		granted = append(granted, role)
		fmt.Fprintf(&b, "<%s><grants>", role)
		for _, g := range u.Grants {
			fmt.Fprintf(&b, "<query>GRANT %s</query>", escape(g))
		}
		fmt.Fprintf(&b, "</grants></%s>\n", role)
	}
	b.WriteString("</roles>\n<users><default><password></password><networks><ip>::/0</ip></networks>" +
		"<profile>default</profile><quota>default</quota><grants>")
	for _, role := range granted {
		fmt.Fprintf(&b, "<query>GRANT %s</query>", escape(backtick(role)))
	}
	b.WriteString("</grants></default></users>\n<quotas><default/></quotas>\n</clickhouse>\n")
	main := &strings.Builder{}
	fmt.Fprintf(main, "<clickhouse>\n<logger><level>none</level></logger>\n<users_config>%s</users_config>\n<merge_tree>\n", escape(users))
	elements(main, options.MergeTree)
	main.WriteString("</merge_tree>\n</clickhouse>\n")
	return config, errors.Join(os.WriteFile(users, []byte(b.String()), 0o644), os.WriteFile(config, []byte(main.String()), 0o644))
}

func elements(b *strings.Builder, values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(b, "<%s>%s</%s>\n", key, escape(values[key]), key)
	}
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}
