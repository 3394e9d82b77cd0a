package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseDelayLevels reads "1s 5s 10m 2h 1d": the first is level 1.
func parseDelayLevels(s string) ([]time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	var levels []time.Duration
	for _, w := range strings.Fields(s) {
		unit := units[w[len(w)-1]]
		n, err := strconv.Atoi(w[:len(w)-1])
		if err != nil || unit == 0 || n < 0 || n > 100_000 {
			return nil, fmt.Errorf("messageDelayLevel holds %q; a level is a number and s, m, h or d", w)
		}
		levels = append(levels, time.Duration(n)*unit)
	}
	return levels, nil
}
