package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// History compares a target with itself: its log of changes, replayed, with its table as it
// is. The log stands for the source in the outcome, the table for the target. The source is
// asked for its key alone.
func History(ctx context.Context, source, target pipeline.Reader, name event.TableName, dir string) (out Table, err error) {
	reader, ok := target.(pipeline.HistoryReader)
	if !ok {
		return out, errors.New("the target keeps no log of changes")
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "millrace-verify-"); err != nil {
			return out, fmt.Errorf("room for the comparison: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	h := &replay{out: Table{Name: name.String()}, join: joiner{dir: dir, most: maxPartBytes}}
	err = source.Read(ctx, name, h.keys, func([]pipeline.Cell) error { return errEnough })
	if err != nil && !errors.Is(err, errEnough) {
		return h.out, fmt.Errorf("read the columns of %s from the source: %w", name, err)
	}
	if h.changes, err = newSpill(filepath.Join(dir, "changes"), 0); err != nil {
		return h.out, err
	}
	defer func() { err = errors.Join(err, h.changes.remove()) }()
	if h.rowsNow, err = newSpill(filepath.Join(dir, "rows"), 0); err != nil {
		return h.out, err
	}
	defer func() { err = errors.Join(err, h.rowsNow.remove()) }()
	if err := reader.ReadHistory(ctx, name, h.columns, h.change, h.row); err != nil {
		return h.out, fmt.Errorf("read the history of %s: %w", name, err)
	}
	err = h.join.each([]*spill{h.changes, h.rowsNow}, func(at []*spill, part int) error { return h.part(at[0], at[1], part) })
	if err != nil {
		return h.out, err
	}
	slices.Sort(h.out.Examples)
	h.out.SourceChecksum, h.out.TargetChecksum = fmt.Sprintf("%016x", h.sums[0]), fmt.Sprintf("%016x", h.sums[1])
	return h.out, nil
}

type replay struct {
	out     Table
	join    joiner
	key     map[string]bool // of the source
	rows    rows
	skip    []bool // columns that are not checked
	below   uint64 // rows with lower numbers are gone
	changes *spill // number, operation, hash; then the key
	rowsNow *spill // hash; then the key
	sums    [2]uint64
	named   map[string]int
}

func (h *replay) keys(columns []pipeline.ReadColumn) error {
	h.key, h.named = map[string]bool{}, map[string]int{}
	for _, c := range columns {
		if c.Key {
			h.key[c.Name] = true
		}
	}
	return nil
}

func (h *replay) columns(columns []pipeline.ReadColumn, unchecked []string) error {
	columns = slices.Clone(columns)
	found := 0
	for i := range columns {
		if columns[i].Key = columns[i].RawOf == "" && h.key[columns[i].Name]; columns[i].Key {
			found++
		}
		h.skip = append(h.skip, slices.Contains(unchecked, columns[i].Name) && !columns[i].Key)
	}
	if found != len(h.key) {
		return fmt.Errorf("the target has %d of the key's %d columns", found, len(h.key))
	}
	h.out.Unchecked = unchecked
	return h.rows.source(columns)
}

// hash leaves out what is not checked.
func (h *replay) hash(cells []pipeline.Cell) (key, uint64) {
	for i := range cells {
		if h.skip[i] {
			cells[i] = pipeline.Cell{Null: true}
		}
	}
	return h.rows.hash(cells)
}

func (h *replay) change(c pipeline.Change, cells []pipeline.Cell) error {
	if c.Op == "x" {
		h.below = max(h.below, c.Below)
		return nil
	}
	if len(c.Op) != 1 || !strings.Contains("cudr", c.Op) {
		return fmt.Errorf("change %d has the operation %q", c.Seq, c.Op)
	}
	k, hash := h.hash(cells)
	var head [17]byte
	binary.LittleEndian.PutUint64(head[:], c.Seq)
	binary.LittleEndian.PutUint64(head[8:], hash)
	head[16] = c.Op[0]
	return h.changes.add(k, head[:], h.rows.keyCells(cells))
}

func (h *replay) row(cells []pipeline.Cell) error {
	k, hash := h.hash(cells)
	h.out.TargetRows++
	h.sums[1] += hash
	var head [8]byte
	binary.LittleEndian.PutUint64(head[:], hash)
	return h.rowsNow.add(k, head[:], h.rows.keyCells(cells))
}

// version is what the log says of a key: its newest change, or, without a key, how many
// rows there are.
type version struct {
	seq  uint64
	gone bool
	is   value
	now  value
}

func (h *replay) part(changes, rowsNow *spill, part int) error {
	keys := map[key]*version{}
	at := func(k key, depth int) (*version, error) {
		v := keys[k]
		if v == nil {
			if !h.join.fits(int64(len(keys)+1)*keyBytes, depth) {
				return nil, errLarge
			}
			v = &version{}
			keys[k] = v
		}
		return v, nil
	}
	err := changes.each(part, func(k key, payload []byte) error {
		v, err := at(k, changes.depth)
		if err == nil {
			h.apply(v, binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint64(payload[8:]), payload[16])
		}
		return err
	})
	if err != nil {
		return err
	}
	err = rowsNow.each(part, func(k key, payload []byte) error {
		v, err := at(k, rowsNow.depth)
		if err == nil {
			v.now = v.now.plus(binary.LittleEndian.Uint64(payload))
		}
		return err
	})
	if err != nil {
		return err
	}
	for k, v := range keys {
		if v.gone {
			v.is = value{}
		}
		h.out.SourceRows += v.is.n
		h.sums[0] += v.is.sum
		if v.is == v.now {
			delete(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	name := func(head int) func(k key, payload []byte) error {
		return func(k key, payload []byte) error {
			if v := keys[k]; v != nil {
				delete(keys, k)
				h.differs(v, payload[head:])
			}
			return nil
		}
	}
	return errors.Join(changes.each(part, name(17)), rowsNow.each(part, name(8)))
}

// apply is one change; those below the highest TRUNCATE or END count for nothing.
func (h *replay) apply(v *version, seq, hash uint64, op byte) {
	if seq < h.below {
		return
	}
	switch {
	case h.rows.keyed && seq >= v.seq:
		v.seq, v.gone, v.is = seq, op == 'd', value{1, hash}
	case !h.rows.keyed && op == 'd':
		v.is = value{v.is.n - 1, v.is.sum - hash}
	case !h.rows.keyed:
		v.is = v.is.plus(hash)
	}
}

func (h *replay) differs(v *version, blob []byte) {
	kind := differs
	switch d := v.is.n - v.now.n; {
	case !h.rows.keyed && d > 0 || v.now.n == 0:
		kind, h.out.Missing = "only in the log of changes: ", h.out.Missing+d
	case !h.rows.keyed || v.is.n == 0:
		kind, h.out.Extra = "only in the table: ", h.out.Extra-d
	case v.now.n > 1:
		kind, h.out.Duplicates = "twice in the table: ", h.out.Duplicates-d
	default:
		h.out.Different++
	}
	h.out.Proven++
	if h.named[kind]++; h.rows.keyed && h.named[kind] <= maxExamples {
		h.out.Examples = append(h.out.Examples, kind+h.rows.showKey(blob))
	}
}
