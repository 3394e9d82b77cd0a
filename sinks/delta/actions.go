package delta

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Action is one line of a commit: exactly one field is set.
type Action struct {
	CommitInfo map[string]any `json:"commitInfo,omitempty"`
	Protocol   *Protocol      `json:"protocol,omitempty"`
	Metadata   *Metadata      `json:"metaData,omitempty"`
	Txn        *Txn           `json:"txn,omitempty"`
	Domain     *Domain        `json:"domainMetadata,omitempty"`
	Remove     *Remove        `json:"remove,omitempty"`
	Add        *Add           `json:"add,omitempty"`
}

// Protocol says what readers and writers must understand.
type Protocol struct {
	MinReaderVersion int      `json:"minReaderVersion"`
	MinWriterVersion int      `json:"minWriterVersion"`
	ReaderFeatures   []string `json:"readerFeatures,omitempty"`
	WriterFeatures   []string `json:"writerFeatures,omitempty"`
}

// Format names the data files' format.
type Format struct {
	Provider string            `json:"provider"`
	Options  map[string]string `json:"options"`
}

// Metadata is the table's schema and settings. SchemaString is JSON; see Schema.
type Metadata struct {
	ID               string            `json:"id"`
	Name             string            `json:"name,omitempty"`
	Description      string            `json:"description,omitempty"`
	Format           Format            `json:"format"`
	SchemaString     string            `json:"schemaString"`
	PartitionColumns []string          `json:"partitionColumns"`
	Configuration    map[string]string `json:"configuration"`
	CreatedTime      int64             `json:"createdTime,omitempty"`
}

// Txn is an application's position; a later one of the same application replaces it.
type Txn struct {
	AppID       string `json:"appId"`
	Version     int64  `json:"version"`
	LastUpdated int64  `json:"lastUpdated,omitempty"`
}

// Domain is a named configuration; a later one of the same name replaces it.
type Domain struct {
	Domain        string `json:"domain"`
	Configuration string `json:"configuration"`
	Removed       bool   `json:"removed"`
}

// Add makes a data file part of the table. Path is relative to the table and
// percent-encoded as in a URL.
type Add struct {
	Path             string            `json:"path"`
	PartitionValues  map[string]string `json:"partitionValues"`
	Size             int64             `json:"size"`
	ModificationTime int64             `json:"modificationTime"`
	DataChange       bool              `json:"dataChange"`
	Stats            string            `json:"stats,omitempty"`
	Tags             map[string]string `json:"tags,omitempty"`
	// DeletionVector is never written; a table that has one is refused.
	DeletionVector json.RawMessage `json:"deletionVector,omitempty"`
}

// Remove takes a data file out of the table; the file itself stays until vacuum.
type Remove struct {
	Path                 string            `json:"path"`
	DeletionTimestamp    int64             `json:"deletionTimestamp,omitempty"`
	DataChange           bool              `json:"dataChange"`
	ExtendedFileMetadata bool              `json:"extendedFileMetadata,omitempty"`
	PartitionValues      map[string]string `json:"partitionValues,omitempty"`
	Size                 int64             `json:"size,omitempty"`
}

// encode writes actions as a commit: one JSON object a line, UTF-8 as it is.
func encode(actions []Action) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for i := range actions {
		if err := e.Encode(&actions[i]); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// decode reads a commit. Actions of kinds that are not known here are skipped, as the
// protocol demands of those that are not announced as features.
func decode(data []byte) ([]Action, error) {
	var actions []Action
	for n := 1; len(data) > 0; n++ {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var a Action
		if err := json.Unmarshal(line, &a); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		actions = append(actions, a)
	}
	return actions, nil
}

func (a *Action) check() error {
	switch {
	case a.Add != nil && a.Add.Path == "", a.Remove != nil && a.Remove.Path == "":
		return fmt.Errorf("%w: a file without a path", ErrCorrupt)
	case a.Add != nil && len(a.Add.DeletionVector) > 0 && string(a.Add.DeletionVector) != "null":
		return fmt.Errorf("%w: file %s has a deletion vector", ErrUnsupported, a.Add.Path)
	case a.Metadata != nil && a.Metadata.Configuration["delta.columnMapping.mode"] != "" &&
		a.Metadata.Configuration["delta.columnMapping.mode"] != "none":
		return fmt.Errorf("%w: column mapping", ErrUnsupported)
	case a.Txn != nil && a.Txn.AppID == "", a.Domain != nil && a.Domain.Domain == "":
		return fmt.Errorf("%w: a txn or domain without a name", ErrCorrupt)
	}
	return nil
}
