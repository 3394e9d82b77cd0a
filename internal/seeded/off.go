//go:build !seeded

package seeded

// On reports whether the named bug is switched on. It never is without the build tag.
func On(string) bool { return false }
