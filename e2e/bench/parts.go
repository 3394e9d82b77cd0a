package main

import (
	"fmt"
	"slices"
	"strings"
)

// parts are what --only chooses from: a part as a whole, or some of what it measures.
var parts = []struct {
	name string
	of   []string
}{
	{"brokers", []string{"async", "batch", "sync", "transactions"}},
	{"pipeline", []string{"bulk", "single", "mixed", "freshness", "snapshot"}},
	{"clickhouse", []string{"ch-bulk", "ch-single", "ch-mixed", "ch-freshness", "ch-catchup", "ch-5m"}},
	{"s3", []string{"s3-bulk", "s3-single"}},
	{"memory", []string{"idle", "1m", "5m"}},
}

func partNames() (all []string) {
	for _, p := range parts {
		all = append(append(all, p.name), p.of...)
	}
	return all
}

// checkOnly refuses a part that there is not.
func checkOnly(only string) error {
	if only == "" {
		return nil
	}
	for name := range strings.SplitSeq(only, ",") {
		if !slices.Contains(partNames(), name) {
			return fmt.Errorf("--only names %q; the parts are %s", name, strings.Join(partNames(), ", "))
		}
	}
	return nil
}

// wants reports whether one of the names is to be measured.
func (o *options) wants(names ...string) bool {
	chosen := strings.Split(o.only, ",")
	return o.only == "" || slices.ContainsFunc(names, func(n string) bool { return slices.Contains(chosen, n) })
}
