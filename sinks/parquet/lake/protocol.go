package lake

import (
	"slices"

	"github.com/millrace/millrace/sinks/delta"
)

// Protocol is what readers and writers of the sink's tables must understand. Columns that
// are never NULL need "invariants": Spark opens no table that has one without it.
func Protocol() *delta.Protocol {
	return &delta.Protocol{MinReaderVersion: 3, MinWriterVersion: 7,
		ReaderFeatures: []string{"timestampNtz"}, WriterFeatures: []string{"timestampNtz", "domainMetadata", "invariants"}}
}

// Upgrade adds the protocol to a commit to a table whose own lacks a feature.
func Upgrade(snap *delta.Snapshot, actions []delta.Action) []delta.Action {
	if snap.Protocol == nil {
		return actions
	}
	have, want := *snap.Protocol, Protocol()
	r, w := union(have.ReaderFeatures, want.ReaderFeatures), union(have.WriterFeatures, want.WriterFeatures)
	if len(r) == len(have.ReaderFeatures) && len(w) == len(have.WriterFeatures) {
		return actions
	}
	want.ReaderFeatures, want.WriterFeatures = r, w
	return append(actions, delta.Action{Protocol: want})
}

func union(have, want []string) []string {
	all := slices.Clone(have)
	for _, f := range want {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}
