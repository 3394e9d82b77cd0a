package readback

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// field is one column of a Delta schema.
type field struct {
	Name     string         `json:"name"`
	Type     any            `json:"type"`
	Metadata map[string]any `json:"metadata"`
}

// table is what a Delta log says at its newest version.
type table struct {
	version int64
	name    string
	fields  []field
	files   []string // paths relative to the table, in order
}

type action struct {
	Add *struct {
		Path string `json:"path" parquet:"path"`
	} `json:"add" parquet:"add,optional"`
	Remove *struct {
		Path string `json:"path" parquet:"path"`
	} `json:"remove" parquet:"remove,optional"`
	MetaData *struct {
		Name         string `json:"name" parquet:"name,optional"`
		SchemaString string `json:"schemaString" parquet:"schemaString"`
	} `json:"metaData" parquet:"metaData,optional"`
}

// openTable replays the log of a table. A log that is being written is fine: what is
// read is the newest version that was whole when its name was listed.
func openTable(dir string) (*table, error) {
	logDir := filepath.Join(dir, "_delta_log")
	entries, err := os.ReadDir(logDir)
	if err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", dir, err)
	}
	var versions []int64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if v, err := strconv.ParseInt(name, 10, 64); ok && err == nil && len(name) == 20 {
			versions = append(versions, v)
		}
	}
	sort.Slice(versions, func(i, j int) bool { return versions[i] < versions[j] })
	r := replay{live: map[string]bool{}, t: &table{version: -1}}
	if err := r.checkpoint(logDir); err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v <= r.t.version {
			continue
		}
		if v != r.t.version+1 {
			return nil, fmt.Errorf("the log of %s has no version %d before %d", dir, r.t.version+1, v)
		}
		if err := r.commit(filepath.Join(logDir, fmt.Sprintf("%020d.json", v))); err != nil {
			return nil, err
		}
		r.t.version = v
	}
	for path := range r.live {
		r.t.files = append(r.t.files, path)
	}
	sort.Strings(r.t.files)
	return r.t, nil
}

type replay struct {
	t    *table
	live map[string]bool
}

func (r *replay) checkpoint(logDir string) error {
	data, err := os.ReadFile(filepath.Join(logDir, "_last_checkpoint"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the last checkpoint: %w", err)
	}
	var last struct {
		Version int64 `json:"version"`
	}
	if err := json.Unmarshal(data, &last); err != nil {
		return fmt.Errorf("read %s/_last_checkpoint: %w", logDir, err)
	}
	path := filepath.Join(logDir, fmt.Sprintf("%020d.checkpoint.parquet", last.Version))
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open checkpoint: %w", err)
	}
	defer file.Close()
	reader := parquet.NewGenericReader[action](file)
	defer reader.Close()
	for {
		batch := make([]action, 128)
		n, err := reader.Read(batch)
		for _, a := range batch[:n] {
			if err := r.apply(a); err != nil {
				return fmt.Errorf("checkpoint %s: %w", path, err)
			}
		}
		if errors.Is(err, io.EOF) {
			r.t.version = last.Version
			return nil
		}
		if err != nil {
			return fmt.Errorf("read checkpoint %s: %w", path, err)
		}
	}
}

const maxLine = 16 << 20

func (r *replay) commit(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read commit: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var a action
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return fmt.Errorf("commit %s: %w", path, err)
		}
		if err := r.apply(a); err != nil {
			return fmt.Errorf("commit %s: %w", path, err)
		}
	}
	return lines.Err()
}

func (r *replay) apply(a action) error {
	switch {
	case a.Add != nil && a.Add.Path != "":
		path, err := url.PathUnescape(a.Add.Path)
		if err != nil {
			return fmt.Errorf("path %q: %w", a.Add.Path, err)
		}
		r.live[path] = true
	case a.Remove != nil && a.Remove.Path != "":
		path, err := url.PathUnescape(a.Remove.Path)
		if err != nil {
			return fmt.Errorf("path %q: %w", a.Remove.Path, err)
		}
		delete(r.live, path)
	case a.MetaData != nil && a.MetaData.SchemaString != "":
		var s struct {
			Fields []field `json:"fields"`
		}
		if err := json.Unmarshal([]byte(a.MetaData.SchemaString), &s); err != nil {
			return fmt.Errorf("schema: %w", err)
		}
		r.t.fields, r.t.name = s.Fields, a.MetaData.Name
	}
	return nil
}
