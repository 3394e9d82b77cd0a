//go:build seeded

package seeded

import (
	"os"
	"slices"
	"strings"
	"sync"
)

// On reports whether a bug is switched on: MILLRACE_SEEDED_BUG names it, among others where
// one alone is made good by what stands behind it.
func On(b Bug) bool {
	return slices.Contains(strings.Split(os.Getenv("MILLRACE_SEEDED_BUG"), ","), string(b))
}

var (
	mu    sync.Mutex
	asked = map[Bug]bool{}
)

// Once is On for the first time that it is asked.
func Once(b Bug) bool {
	mu.Lock()
	defer mu.Unlock()
	if !On(b) || asked[b] {
		return false
	}
	asked[b] = true
	return true
}
