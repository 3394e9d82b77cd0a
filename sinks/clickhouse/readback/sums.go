package readback

import (
	"fmt"
	"strings"
)

// sums are what the ledger says of a table of halves beside the view: its name, and by which of
// its columns the view's are compared.
type sums struct {
	database, table string
	columns         map[string]string
}

// compared has the rows of the view and those that the signs add up to in one: a row is there as
// often as in both, and once more than in the one that has it more often where they do not agree,
// so that it is found whatever the source has.
func (s *sums) compared(view string, cols []viewColumn) (string, error) {
	var shown, summed, short, out []string
	for i, c := range cols {
		of, ok := s.columns[c.name]
		if !ok {
			return "", fmt.Errorf("column %s of %s is not compared with the sums of %s: the view has changed meanwhile", c.name, view, s.table)
		}
		name := fmt.Sprintf("_c%d", i)
		shown = append(shown, "_v."+quoted(c.name)+" AS "+name)
		summed = append(summed, fmt.Sprintf("CAST(_s.%s, '%s') AS %s", quoted(of), strings.ReplaceAll(c.typ, "'", "\\'"), name))
		short, out = append(short, name), append(out, name+" AS "+quoted(c.name))
	}
	cs := strings.Join(short, ", ")
	return fmt.Sprintf("(SELECT %s FROM (SELECT %s, sum(_a) AS _shown, sum(_b) AS _summed FROM "+
		"(SELECT %s, toInt64(1) AS _a, toInt64(0) AS _b FROM %s AS _v UNION ALL "+
		"SELECT %s, toInt64(0) AS _a, toInt64(_s._sign) AS _b FROM %s AS _s) GROUP BY %s) "+
		"ARRAY JOIN range(toUInt64(if(_shown = _summed, _shown, greatest(_shown, _summed, 0) + 1))) AS _i)",
		strings.Join(out, ", "), cs, strings.Join(shown, ", "), view, strings.Join(summed, ", "), name(s.database, s.table), cs), nil
}
