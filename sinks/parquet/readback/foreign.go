package readback

import (
	"encoding/json"
	"fmt"
	"slices"
)

// understood are the table features that a reader has to know and this one does. Whoever reads
// a table as if a feature were not there sees rows that are deleted, or other columns.
var understood = []string{"timestampNtz"}

// maxReader is the version of the protocol from which features are named one by one.
const maxReader = 3

// ownPartition is the column by which the sink itself may partition changes/: no row of the
// source is told by it.
const ownPartition = "_dt"

type protocol struct {
	MinReaderVersion int32    `json:"minReaderVersion" parquet:"minReaderVersion"`
	ReaderFeatures   []string `json:"readerFeatures" parquet:"readerFeatures,list"`
}

type deletionVector struct {
	StorageType string `json:"storageType" parquet:"storageType"`
}

// check refuses what another program may have made of a table.
func (p *protocol) check() error {
	if p.MinReaderVersion > maxReader {
		return fmt.Errorf("another program raised the table's protocol to reader version %d, of which %d is the last that can be read here; "+
			"have the table written anew", p.MinReaderVersion, maxReader)
	}
	for _, f := range p.ReaderFeatures {
		if !slices.Contains(understood, f) {
			return fmt.Errorf("another program gave the table the feature %q, which can't be read here; have that program drop it "+
				"(ALTER TABLE … DROP FEATURE), or have the table written anew", f)
		}
	}
	return nil
}

// checkLayout refuses columns that are not in the files under their names.
func checkLayout(configuration map[string]string, partitions []string, fields []field) error {
	if mode := configuration["delta.columnMapping.mode"]; mode != "" && mode != "none" {
		return fmt.Errorf("another program gave the table's columns other names in its files (delta.columnMapping.mode = %s), "+
			"which can't be read here; have the table written anew", mode)
	}
	if len(partitions) > 0 && !slices.Equal(partitions, []string{ownPartition}) {
		return fmt.Errorf("another program partitioned the table by %q, which can't be read here; have the table written anew", partitions)
	}
	for _, f := range fields {
		if _, plain := f.Type.(string); !plain {
			kind, _ := json.Marshal(f.Type)
			return fmt.Errorf("another program made the column %s of a type within types, %.100s, which can't be read here; "+
				"have the table written anew", f.Name, kind)
		}
	}
	return nil
}

// checkRows refuses a file of which not all rows count.
func (d *deletionVector) checkRows(file string) error {
	if d == nil {
		return nil
	}
	return fmt.Errorf("another program deleted rows of the file %s by a deletion vector, which can't be read here; "+
		"have that program write the file anew (REORG TABLE … APPLY (PURGE)) and a checkpoint, or have the table written anew", file)
}
