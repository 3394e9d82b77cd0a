package engine

import "testing"

func TestErrorsAreTakenApart(t *testing.T) {
	for _, c := range []struct {
		in      string
		code    int32
		message string
	}{
		{"Code: 60. DB::Exception: Table d.t does not exist. (UNKNOWN_TABLE)", 60, "Table d.t does not exist"},
		{"Code: 469. DB::Exception: Code: 469. DB::Exception: Constraint `open` is violated. (VIOLATED_CONSTRAINT) (version 26.7.2.1) (VIOLATED_CONSTRAINT)", 469, "Constraint `open` is violated"},
		{"Error: Code: 241. DB::Exception: Memory limit exceeded:\nsecond line. (MEMORY_LIMIT_EXCEEDED)", 241, "Memory limit exceeded:\nsecond line"},
		{"Code: 1001. DB::Exception: the text says Code: 5. DB::Exception: inside", 1001, "the text says Code: 5. DB::Exception: inside"},
		{"Code: 210. DB::NetException: Connection refused (NETWORK_ERROR)", 210, "Connection refused"},
		{"Code: 6. DB::Exception: Cannot parse (at row 1). (CANNOT_PARSE_TEXT)", 6, "Cannot parse (at row 1)"},
		{"Connection is closed", codeUnknown, "Connection is closed"},
		{"", codeUnknown, ""},
	} {
		if e := parseError(c.in); e.Code != c.code || e.Message != c.message {
			t.Errorf("%q is %d %q", c.in, e.Code, e.Message)
		}
	}
}
