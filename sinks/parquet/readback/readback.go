package readback

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/objects"
)

// Reader implements pipeline.Reader over <root>/<pipeline>/<db>.<table>/current.
type Reader struct {
	lake *lake
	dir  string // the pipeline's, in the store
}

// New makes a reader of one pipeline's tables in the directory root.
func New(root, pipelineName string) *Reader {
	return NewIn(objects.NewLocal(vfs.OS(), root), root, pipelineName)
}

// NewIn makes a reader of one pipeline's tables in a store that people call root. The reader
// closes the store.
func NewIn(store Store, root, pipelineName string) *Reader {
	return &Reader{lake: &lake{store: store, root: root}, dir: pipelineName}
}

// Close closes the store; files are open only while they are read.
func (r *Reader) Close() error {
	if c, ok := r.lake.store.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Tables lists the directories that hold a table.
func (r *Reader) Tables(ctx context.Context) ([]event.TableName, error) {
	dirs, err := r.lake.store.Dirs(ctx, r.dir)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	var names []event.TableName
	for _, d := range dirs {
		if name, ok := r.tableOf(ctx, d); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// find is the directory of a table.
func (r *Reader) find(ctx context.Context, name event.TableName) (string, error) {
	dirs, err := r.lake.store.Dirs(ctx, r.dir)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	for _, d := range dirs {
		if of, ok := r.tableOf(ctx, d); ok && of == name {
			return path.Join(r.dir, d, "current"), nil
		}
	}
	return "", fmt.Errorf("find %s in %s: %w", name, r.lake.show(r.dir), pipeline.ErrNoTable)
}

// cutName is a directory whose name does not tell all of the table's.
var cutName = regexp.MustCompile(`--[0-9a-f]{16}$`)

// tableOf is the table that a directory holds. Its name says it, in the lake's encoding of
// names, unless it was too long: then the log of current/ does.
func (r *Reader) tableOf(ctx context.Context, dir string) (event.TableName, bool) {
	if cutName.MatchString(dir) {
		t, err := r.lake.openTable(ctx, path.Join(r.dir, dir, "current"))
		if err != nil {
			return event.TableName{}, false
		}
		db, table, ok := strings.Cut(strings.TrimSuffix(t.name, "/current"), ".")
		return event.TableName{DB: db, Table: table}, ok
	}
	db, table, ok := strings.Cut(dir, ".")
	db, ok1 := decodeName(db)
	table, ok2 := decodeName(table)
	return event.TableName{DB: db, Table: table}, ok && ok1 && ok2
}

// decodeName turns -HH into the byte that it stands for.
func decodeName(s string) (string, bool) {
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "-")
		b.WriteString(plain)
		if !found {
			return b.String(), true
		}
		if len(rest) < 2 {
			return "", false
		}
		c, err := hex.DecodeString(rest[:2])
		if err != nil {
			return "", false
		}
		b.Write(c)
		s = rest[2:]
	}
}

// The keys of a field's metadata: docs/format/lake.md.
const (
	metaName = "millrace.name"
	metaRaw  = "millrace.rawOf"
)

// Read streams every row of the newest version of current/.
func (r *Reader) Read(ctx context.Context, name event.TableName,
	columns func([]pipeline.ReadColumn) error, row func([]pipeline.Cell) error) error {
	dir, err := r.find(ctx, name)
	if err != nil {
		return err
	}
	t, err := r.lake.openTable(ctx, dir)
	if err != nil {
		return err
	}
	if err := r.lake.checkNames(ctx, t); err != nil {
		return err
	}
	shown := shownOf(t.fields)
	if err := columns(shown); err != nil {
		return err
	}
	for _, file := range t.files {
		if err := r.lake.readFile(ctx, path.Join(dir, file), t.fields, renderings(t.fields, shown), row); err != nil {
			return fmt.Errorf("file %s: %w", file, err)
		}
	}
	return nil
}

// dateTimeText is the rendering of texts of dates with times. They have the fraction of the
// source's column, and dates with times are compared with six digits.
const dateTimeText = "date-time text"

// renderings says how each field's values are shown: as its type, or as the text of
// another field's type.
func renderings(fields []field, shown []pipeline.ReadColumn) []string {
	kinds := make([]string, len(fields))
	for i, f := range fields {
		kinds[i], _ = f.Type.(string)
	}
	for i, c := range shown {
		of := slices.IndexFunc(shown, func(b pipeline.ReadColumn) bool { return b.RawOf == "" && b.Name == c.RawOf })
		if c.RawOf != "" && of >= 0 && strings.HasPrefix(kinds[of], "timestamp") {
			kinds[i] = dateTimeText
		}
	}
	return kinds
}

// readFile reads one data file; a column that the file lacks is NULL in all its rows.
func (l *lake) readFile(ctx context.Context, name string, fields []field, kinds []string, row func([]pipeline.Cell) error) error {
	file, err := l.store.Open(ctx, name)
	if err != nil {
		return err
	}
	defer file.Close()
	var opened *parquet.File
	err = contained(func() (err error) {
		opened, err = parquet.OpenFile(file, file.Size())
		return err
	})
	if err != nil {
		return err
	}
	place := map[int]int{} // leaf column of the file → field
	for i, f := range fields {
		if leaf, ok := opened.Schema().Lookup(f.Name); ok {
			place[leaf.ColumnIndex] = i
		}
	}
	cells, buffer := make([]pipeline.Cell, len(fields)), make([]parquet.Row, 512)
	for _, group := range opened.RowGroups() {
		rows := group.Rows()
		for {
			n := 0
			err := contained(func() (err error) {
				n, err = rows.ReadRows(buffer)
				return err
			})
			for _, r := range buffer[:n] {
				for i := range cells {
					cells[i] = pipeline.Cell{Null: true}
				}
				for _, v := range r {
					if i, ok := place[v.Column()]; ok {
						cells[i] = render(kinds[i], v)
					}
				}
				if err := row(cells); err != nil {
					rows.Close()
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				rows.Close()
				return err
			}
		}
		if err := rows.Close(); err != nil {
			return err
		}
	}
	return nil
}

const civil = "2006-01-02 15:04:05.000000"

func render(kind string, v parquet.Value) pipeline.Cell {
	if v.IsNull() {
		return pipeline.Cell{Null: true}
	}
	var s string
	switch {
	case kind == "string":
		return pipeline.Cell{Text: v.ByteArray()}
	case kind == dateTimeText:
		whole, fraction, _ := strings.Cut(string(v.ByteArray()), ".")
		s = whole + "." + (fraction + "000000")[:6]
	case kind == "binary":
		s = hex.EncodeToString(v.ByteArray())
	case kind == "date":
		s = time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)
	case kind == "timestamp" || kind == "timestamp_ntz":
		s = time.UnixMicro(v.Int64()).UTC().Format(civil)
	case kind == "float":
		s = strconv.FormatFloat(float64(v.Float()), 'g', -1, 32)
	case kind == "double":
		s = strconv.FormatFloat(v.Double(), 'g', -1, 64)
	case strings.HasPrefix(kind, "decimal("):
		s = decimal(kind, v)
	case v.Kind() == parquet.Int32:
		s = strconv.FormatInt(int64(v.Int32()), 10)
	case v.Kind() == parquet.Int64:
		s = strconv.FormatInt(v.Int64(), 10)
	default:
		s = v.String()
	}
	return pipeline.Cell{Text: []byte(s)}
}

// decimal writes an unscaled value with the point at its place.
func decimal(kind string, v parquet.Value) string {
	var precision, scale int
	if _, err := fmt.Sscanf(kind, "decimal(%d,%d)", &precision, &scale); err != nil {
		return "unreadable type " + kind
	}
	unscaled := new(big.Int)
	switch v.Kind() {
	case parquet.Int32:
		unscaled.SetInt64(int64(v.Int32()))
	case parquet.Int64:
		unscaled.SetInt64(v.Int64())
	default:
		raw := v.ByteArray()
		unscaled.SetBytes(raw)
		if len(raw) > 0 && raw[0]&0x80 != 0 {
			unscaled.Sub(unscaled, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
		}
	}
	digits := new(big.Int).Abs(unscaled).String()
	if scale > 0 {
		digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if unscaled.Sign() < 0 {
		digits = "-" + digits
	}
	return digits
}
