package schema

import (
	"sync"

	parsed "github.com/pingcap/tidb/pkg/parser/charset"

	"github.com/millrace/millrace/connectors/mysql/charset"
)

// teachCharsets makes the parser, which refuses statements with a charset that its own
// database lacks, know those of the servers. It keeps them for the whole process.
var teachCharsets = sync.OnceFunc(func() {
	for _, name := range charset.Names() {
		if _, known := parsed.CharacterSetInfos[name]; !known {
			s := charset.Named(name)
			parsed.AddCharset(&parsed.Charset{Name: name, Collations: map[string]*parsed.Collation{}, Maxlen: s.MaxLen()})
		}
	}
})
