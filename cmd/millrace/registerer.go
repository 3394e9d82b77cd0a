package main

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// replacing registers in place of an equal collector: a source is made anew at each
// opening, and its figures are those that count.
type replacing struct{ prometheus.Registerer }

// Register implements prometheus.Registerer.
func (r replacing) Register(c prometheus.Collector) error {
	err := r.Registerer.Register(c)
	var taken prometheus.AlreadyRegisteredError
	if errors.As(err, &taken) {
		r.Unregister(taken.ExistingCollector)
		return r.Registerer.Register(c)
	}
	return err
}
