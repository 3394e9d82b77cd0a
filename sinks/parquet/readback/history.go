package readback

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

const metaID = "millrace.id"

// history is how the columns of current/ are found in changes/: by identity, for a renamed
// column goes on in a new one.
type history struct {
	changes        *table
	fields         []field               // of current/, without technical ones
	shown          []pipeline.ReadColumn // the same
	from           [][]int               // of each, columns of changes/ that may hold its value
	unchecked      []string
	seq, op, below int
}

// ReadHistory implements pipeline.HistoryReader.
func (r *Reader) ReadHistory(ctx context.Context, name event.TableName, columns func([]pipeline.ReadColumn, []string) error,
	change func(pipeline.Change, []pipeline.Cell) error, row func([]pipeline.Cell) error) error {
	dir, err := r.find(ctx, name)
	if err != nil {
		return err
	}
	current, err := r.lake.openTable(ctx, dir)
	if err != nil {
		return err
	}
	m, err := mergeOf(current)
	if err != nil {
		return err
	}
	if m == nil {
		return fmt.Errorf("%s does not say up to where it is merged", r.lake.show(dir))
	}
	changesDir := path.Join(path.Dir(dir), "changes")
	changes, err := r.lake.openTableAt(ctx, changesDir, m.Version)
	if err != nil {
		return err
	}
	h, err := newHistory(ctx, current, changes)
	if err != nil {
		return err
	}
	if err := columns(h.shown, h.unchecked); err != nil {
		return err
	}
	cells, kinds := make([]pipeline.Cell, len(h.fields)), renderings(changes.fields, shownOf(changes.fields))
	for _, file := range changes.files {
		err := r.lake.readFile(ctx, path.Join(changesDir, file), changes.fields, kinds, func(all []pipeline.Cell) error {
			c, err := h.change(all, cells)
			if err != nil {
				return err
			}
			return change(c, cells)
		})
		if err != nil {
			return fmt.Errorf("file changes/%s: %w", file, err)
		}
	}
	kinds = renderings(h.fields, h.shown)
	for _, file := range current.files {
		if err := r.lake.readFile(ctx, path.Join(dir, file), h.fields, kinds, row); err != nil {
			return fmt.Errorf("file current/%s: %w", file, err)
		}
	}
	return nil
}

// newHistory pairs the columns. One whose values stand in changes/ under another type, or
// whose older rows show a default that no file holds, is not checked.
func newHistory(ctx context.Context, current, changes *table) (*history, error) {
	h := &history{changes: changes}
	at := func(name string) int {
		return slices.IndexFunc(changes.fields, func(f field) bool { return f.Name == name })
	}
	if h.seq, h.op, h.below = at("_seq"), at("_op"), at("_below"); h.seq < 0 || h.op < 0 || h.below < 0 {
		return nil, fmt.Errorf("%s has no _seq, _op and _below", changes.lake.show(changes.dir))
	}
	filled, err := filled(changes)
	if err != nil {
		return nil, err
	}
	schemas, err := schemas(ctx, changes)
	if err != nil {
		return nil, err
	}
	all := shownOf(current.fields)
	for i, f := range current.fields {
		id, ok := f.Metadata[metaID].(string)
		if !ok { // _seq
			continue
		}
		var from []int
		same := true
		for k, c := range changes.fields {
			if c.Metadata[metaID] == id && (c.Metadata[metaRaw] == nil) == (f.Metadata[metaRaw] == nil) {
				from, same = append(from, k), same && fmt.Sprint(c.Type) == fmt.Sprint(f.Type)
			}
		}
		if !same || filled[id] && lacks(schemas, changes.fields, from) {
			h.unchecked = append(h.unchecked, all[i].Name)
		}
		h.fields, h.shown, h.from = append(h.fields, f), append(h.shown, all[i]), append(h.from, from)
	}
	return h, nil
}

// filled are the identities of columns that older rows show a default in.
func filled(changes *table) (map[string]bool, error) {
	var t struct {
		Columns []struct {
			ID   uint32 `json:"id"`
			Fill []byte `json:"fill"`
		} `json:"columns"`
	}
	if text, ok := changes.facts[factTable]; ok {
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			return nil, fmt.Errorf("fact %s: %w", factTable, err)
		}
	}
	out := map[string]bool{}
	for _, c := range t.Columns {
		out[strconv.FormatUint(uint64(c.ID), 10)] = out[strconv.FormatUint(uint64(c.ID), 10)] || len(c.Fill) > 0
	}
	return out, nil
}

// schemas are the sets of columns that files have.
func schemas(ctx context.Context, t *table) ([]map[string]bool, error) {
	known := map[string]bool{}
	var out []map[string]bool
	for _, file := range t.files {
		names, err := t.lake.columnsOf(ctx, path.Join(t.dir, file))
		if err != nil {
			return nil, fmt.Errorf("file changes/%s: %w", file, err)
		}
		if text := strings.Join(names, "\x00"); !known[text] {
			known[text] = true
			set := map[string]bool{}
			for _, n := range names {
				set[n] = true
			}
			out = append(out, set)
		}
	}
	return out, nil
}

func (l *lake) columnsOf(ctx context.Context, name string) ([]string, error) {
	file, err := l.store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var names []string
	err = contained(func() error {
		opened, err := parquet.OpenFile(file, file.Size(), parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true),
			parquet.SkipBloomFilters(true))
		if err != nil {
			return err
		}
		for _, column := range opened.Schema().Columns() {
			names = append(names, column[0])
		}
		return nil
	})
	return names, err
}

// lacks reports whether some files have none of the columns.
func lacks(schemas []map[string]bool, fields []field, from []int) bool {
	return slices.ContainsFunc(schemas, func(has map[string]bool) bool {
		return !slices.ContainsFunc(from, func(k int) bool { return has[fields[k].Name] })
	})
}

// change puts a row of changes/ into the columns of current/.
func (h *history) change(all, cells []pipeline.Cell) (c pipeline.Change, err error) {
	if c.Seq, err = strconv.ParseUint(string(all[h.seq].Text), 10, 64); err != nil {
		return c, fmt.Errorf("_seq: %w", err)
	}
	c.Op = string(all[h.op].Text)
	if !all[h.below].Null {
		if c.Below, err = strconv.ParseUint(string(all[h.below].Text), 10, 64); err != nil {
			return c, fmt.Errorf("_below: %w", err)
		}
	}
	for i, from := range h.from {
		cells[i] = pipeline.Cell{Null: true}
		for _, k := range from {
			if !all[k].Null {
				cells[i] = all[k]
			}
		}
	}
	return c, nil
}

// shownOf are fields as their source names them.
func shownOf(fields []field) []pipeline.ReadColumn {
	shown := make([]pipeline.ReadColumn, len(fields))
	for i, f := range fields {
		shown[i] = pipeline.ReadColumn{Name: f.Name, Own: f.identity() == ""}
		if original, ok := f.Metadata[metaName].(string); ok {
			shown[i].Name = original
		}
		if of, ok := f.Metadata[metaRaw].(string); ok {
			shown[i].RawOf = of
		}
	}
	return shown
}
