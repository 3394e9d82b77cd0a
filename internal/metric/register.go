package metric

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Register registers c and returns it, or returns the collector of its kind that stands there
// already. Without a registerer, nil, it is nobody's but the caller's.
func Register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	var taken prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &taken) {
		if old, ok := taken.ExistingCollector.(C); ok {
			return old
		}
	}
	return c
}
