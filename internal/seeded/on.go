//go:build seeded

package seeded

import "os"

// On reports whether the named bug is switched on.
func On(name string) bool { return os.Getenv("MILLRACE_SEEDED_BUG") == name }
