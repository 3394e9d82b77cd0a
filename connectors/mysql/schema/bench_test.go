package schema

import (
	"strings"
	"testing"
)

func BenchmarkApply(b *testing.B) {
	for name, sql := range map[string]string{
		"trigger": "CREATE DEFINER=`root`@`%` TRIGGER tg BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 5",
		"alter":   "/* tool */ ALTER TABLE t ADD COLUMN x INT DEFAULT 5 AFTER id, MODIFY v VARCHAR(30)",
		"refused": "ALTER TABLE t ADD COLUMN x UUID",
		"insert":  "INSERT INTO t VALUES " + strings.Repeat("(1, 'x'), ", 10000) + "(2, 'y')",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(sql)))
			for b.Loop() {
				statement(sql)
			}
		})
	}
}
