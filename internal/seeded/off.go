//go:build !seeded

package seeded

// On reports whether a bug is switched on. It never is without the build tag.
func On(Bug) bool { return false }

// Once is On for the first time that it is asked.
func Once(Bug) bool { return false }
