package delta

import (
	"fmt"
	"maps"
	"slices"
)

// Snapshot is the table at one version. It belongs to the Log that returned it and
// changes with the Log's next Commit or Refresh.
type Snapshot struct {
	// Version is -1 when the table does not exist.
	Version  int64
	Protocol *Protocol
	Metadata *Metadata
	Files    map[string]*Add
	// Removed are the files that are no longer part of the table, as far back as log
	// checkpoints keep them.
	Removed map[string]*Remove
	Txns    map[string]Txn
	Domains map[string]string
	// Checkpoint is the newest log checkpoint's version, -1 when there is none.
	Checkpoint int64
	// Aged says that this checkpoint holds text in an encoding that some readers misread, so
	// that a new one is due.
	Aged bool
}

func newSnapshot() *Snapshot {
	return &Snapshot{
		Version: -1, Checkpoint: -1,
		Files: map[string]*Add{}, Removed: map[string]*Remove{},
		Txns: map[string]Txn{}, Domains: map[string]string{},
	}
}

// Paths are the live files' paths, sorted.
func (s *Snapshot) Paths() []string { return slices.Sorted(maps.Keys(s.Files)) }

// known are the table features that this package keeps to.
var known = []string{"timestampNtz", "domainMetadata", "appendOnly", "invariants"}

func (p *Protocol) check() error {
	if p.MinReaderVersion > 3 || p.MinWriterVersion > 7 {
		return fmt.Errorf("%w: protocol reader %d writer %d", ErrUnsupported, p.MinReaderVersion, p.MinWriterVersion)
	}
	for _, f := range append(slices.Clone(p.ReaderFeatures), p.WriterFeatures...) {
		if !slices.Contains(known, f) {
			return fmt.Errorf("%w: table feature %q", ErrUnsupported, f)
		}
	}
	return nil
}

// apply folds the actions of the version behind s into s.
func (s *Snapshot) apply(version int64, actions []Action) error {
	for i := range actions {
		a := &actions[i]
		switch {
		case a.Protocol != nil:
			if err := a.Protocol.check(); err != nil {
				return err
			}
			s.Protocol = a.Protocol
		case a.Metadata != nil:
			s.Metadata = a.Metadata
		case a.Txn != nil:
			s.Txns[a.Txn.AppID] = *a.Txn
		case a.Domain != nil && a.Domain.Removed:
			delete(s.Domains, a.Domain.Domain)
		case a.Domain != nil:
			s.Domains[a.Domain.Domain] = a.Domain.Configuration
		case a.Remove != nil:
			delete(s.Files, a.Remove.Path)
			s.Removed[a.Remove.Path] = a.Remove
		case a.Add != nil:
			delete(s.Removed, a.Add.Path)
			s.Files[a.Add.Path] = a.Add
		}
	}
	s.Version = version
	return nil
}

// actions is the snapshot as the list that a log checkpoint holds: what was removed
// before the given time (milliseconds) is left out.
func (s *Snapshot) actions(removedBefore int64) []Action {
	list := []Action{{Protocol: s.Protocol}, {Metadata: s.Metadata}}
	for _, id := range slices.Sorted(maps.Keys(s.Txns)) {
		t := s.Txns[id]
		list = append(list, Action{Txn: &t})
	}
	for _, d := range slices.Sorted(maps.Keys(s.Domains)) {
		list = append(list, Action{Domain: &Domain{Domain: d, Configuration: s.Domains[d]}})
	}
	for _, p := range s.Paths() {
		list = append(list, Action{Add: s.Files[p]})
	}
	for _, p := range slices.Sorted(maps.Keys(s.Removed)) {
		if r := s.Removed[p]; r.DeletionTimestamp >= removedBefore {
			list = append(list, Action{Remove: r})
		}
	}
	return list
}
