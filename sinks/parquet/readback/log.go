package readback

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// field is one column of a Delta schema.
type field struct {
	Name     string         `json:"name"`
	Type     any            `json:"type"`
	Metadata map[string]any `json:"metadata"`
}

// table is what a Delta log says at its newest version.
type table struct {
	lake    *lake
	dir     string // in the store
	version int64
	// checkpoint is the version that the log was read from, -1 where all entries were.
	checkpoint int64
	name       string
	id         string
	fields     []field
	files      []string // paths relative to the table, in order
	// facts are the table's domain metadata, and from which version on each says what it
	// says; lastData is the newest version that brought rows. Both are those of the last
	// checkpoint where the log begins with one.
	facts    map[string]string
	factsAt  map[string]int64
	lastData int64
}

type action struct {
	Add *struct {
		Path       string `json:"path" parquet:"path"`
		DataChange bool   `json:"dataChange" parquet:"dataChange,optional"`
		// Deleted says which rows of the file do not count.
		Deleted *deletionVector `json:"deletionVector" parquet:"deletionVector,optional"`
	} `json:"add" parquet:"add,optional"`
	Remove *struct {
		Path string `json:"path" parquet:"path"`
	} `json:"remove" parquet:"remove,optional"`
	MetaData *struct {
		ID           string `json:"id" parquet:"id,optional"`
		Name         string `json:"name" parquet:"name,optional"`
		SchemaString string `json:"schemaString" parquet:"schemaString"`

		Partitions    []string          `json:"partitionColumns" parquet:"partitionColumns,list"`
		Configuration map[string]string `json:"configuration" parquet:"configuration,optional"`
	} `json:"metaData" parquet:"metaData,optional"`
	Protocol *protocol `json:"protocol" parquet:"protocol,optional"`
	Domain   *struct {
		Domain        string `json:"domain" parquet:"domain"`
		Configuration string `json:"configuration" parquet:"configuration,optional"`
		Removed       bool   `json:"removed" parquet:"removed,optional"`
	} `json:"domainMetadata" parquet:"domainMetadata,optional"`
}

// openTable replays the log of a table. A log that is being written is fine: what is
// read is the newest version that was whole when its name was listed.
func (l *lake) openTable(ctx context.Context, dir string) (*table, error) {
	return l.openTableAt(ctx, dir, math.MaxInt64)
}

// errNoLog says that the log does not reach back to a version that was asked for.
var errNoLog = errors.New("the log does not reach back so far")

// openTableAt is openTable for a version that may not be the newest.
func (l *lake) openTableAt(ctx context.Context, dir string, upTo int64) (*table, error) {
	names, err := l.logNames(ctx, dir)
	if err != nil {
		return nil, err
	}
	versions := versionsIn(names)
	r := l.newReplay(dir, -1)
	if from, ok := checkpointIn(names, upTo); ok {
		if err := r.checkpoint(ctx, from); err != nil {
			return nil, err
		}
	}
	for _, v := range versions {
		if v <= r.t.version || v > upTo {
			continue
		}
		if v != r.t.version+1 && upTo != math.MaxInt64 {
			return nil, fmt.Errorf("version %d of %s: %w", upTo, l.show(dir), errNoLog)
		}
		if v != r.t.version+1 {
			return nil, fmt.Errorf("the log of %s has no version %d before %d", l.show(dir), r.t.version+1, v)
		}
		r.t.version = v
		if err := r.commit(ctx, fmt.Sprintf("%020d.json", v)); err != nil {
			return nil, err
		}
	}
	if upTo != math.MaxInt64 && r.t.version != upTo {
		return nil, fmt.Errorf("version %d of %s: %w", upTo, l.show(dir), errNoLog)
	}
	for path := range r.live {
		r.t.files = append(r.t.files, path)
	}
	slices.Sort(r.t.files)
	return r.t, nil
}

// entriesBehind replays what came behind a version, without what was before it: what is
// missing of it is an error that wraps fs.ErrNotExist.
func (l *lake) entriesBehind(ctx context.Context, dir string, version int64) (*table, error) {
	r := l.newReplay(dir, version)
	names, err := l.logNames(ctx, dir)
	if err != nil {
		return nil, err
	}
	newest := version
	for _, v := range versionsIn(names) {
		newest = max(newest, v)
	}
	for r.t.version < newest {
		r.t.version++
		if err := r.commit(ctx, fmt.Sprintf("%020d.json", r.t.version)); err != nil {
			return nil, err
		}
	}
	return r.t, nil
}

// versionsIn are those of a log's entries, in order.
func versionsIn(names []string) (versions []int64) {
	for _, n := range names {
		name, ok := strings.CutSuffix(n, ".json")
		if v, err := strconv.ParseInt(name, 10, 64); ok && err == nil && len(name) == 20 {
			versions = append(versions, v)
		}
	}
	slices.Sort(versions)
	return versions
}

type replay struct {
	t    *table
	live map[string]bool
}

// newReplay begins behind a version.
func (l *lake) newReplay(dir string, version int64) replay {
	t := &table{lake: l, dir: dir, version: version, checkpoint: -1, lastData: -1, facts: map[string]string{}, factsAt: map[string]int64{}}
	return replay{t: t, live: map[string]bool{}}
}

const maxLine = 16 << 20

func (r *replay) commit(ctx context.Context, entry string) error {
	l, name := r.t.lake, path.Join(logDir(r.t.dir), entry)
	data, err := l.read(ctx, name)
	if err != nil {
		return fmt.Errorf("read commit: %w", err)
	}
	if err := r.lines(data); err != nil {
		return fmt.Errorf("commit %s: %w", l.show(name), err)
	}
	return nil
}

// lines takes an entry of the log.
func (r *replay) lines(data []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var a action
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return err
		}
		if err := r.apply(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (r *replay) apply(a action) error {
	switch {
	case a.Protocol != nil && a.Protocol.MinReaderVersion > 0:
		return a.Protocol.check()
	case a.Add != nil && a.Add.Path != "":
		path, err := url.PathUnescape(a.Add.Path)
		if err != nil {
			return fmt.Errorf("path %q: %w", a.Add.Path, err)
		}
		if err := a.Add.Deleted.checkRows(path); err != nil {
			return err
		}
		r.live[path] = true
		if a.Add.DataChange {
			r.t.lastData = r.t.version
		}
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
		if err := checkLayout(a.MetaData.Configuration, a.MetaData.Partitions, s.Fields); err != nil {
			return err
		}
		r.t.fields, r.t.name, r.t.id = s.Fields, a.MetaData.Name, a.MetaData.ID
	case a.Domain != nil && a.Domain.Domain != "":
		if r.t.factsAt[a.Domain.Domain] = r.t.version; a.Domain.Removed {
			delete(r.t.facts, a.Domain.Domain)
		} else {
			r.t.facts[a.Domain.Domain] = a.Domain.Configuration
		}
	}
	return nil
}
