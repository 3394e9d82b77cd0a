package parquet

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	arrowfile "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// arrowGo is the reader arrow-go: values as its arrays hold them, and filters that leave out
// what the bounds of row groups and of pages, as it decodes them, rule out.
type arrowGo struct {
	t    *testing.T
	q    *question
	rows []map[string]*string
	hits [][]int // of each filter, the rows that it takes, by id
	// skipped are row groups and pages that no row was looked for in.
	skipped int
}

// askArrowGo answers a question from its live files.
func askArrowGo(t *testing.T, q *question) (*answer, int) {
	a := &arrowGo{t: t, q: q, hits: make([][]int, len(q.Filters))}
	for _, name := range q.Files {
		a.file(name)
	}
	for i := range a.hits {
		slices.Sort(a.hits[i])
		if a.hits[i] == nil {
			a.hits[i] = []int{}
		}
	}
	return &answer{Rows: a.rows, Filters: a.hits}, a.skipped
}

func (a *arrowGo) file(name string) {
	t := a.t
	t.Helper()
	r := must[*arrowfile.Reader](t)(arrowfile.OpenParquetFile(name, false))
	defer r.Close()
	reader := must[*pqarrow.FileReader](t)(pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator))
	partition := map[string]*string{}
	for part := range strings.SplitSeq(name, "/") {
		if k, v, ok := strings.Cut(part, "="); ok {
			partition[k] = show(must[string](t)(url.PathUnescape(v)))
		}
	}
	for g := range r.NumRowGroups() {
		rows := a.group(reader, g)
		for _, row := range rows {
			for k, v := range partition {
				row[k] = v
			}
		}
		a.rows = append(a.rows, rows...)
		for i, f := range a.q.Filters {
			for _, row := range a.candidates(r, g, f, rows) {
				if a.q.takes(f, row) {
					a.hits[i] = append(a.hits[i], idOf(row))
				}
			}
		}
	}
}

// group are the rows of a row group.
func (a *arrowGo) group(r *pqarrow.FileReader, g int) []map[string]*string {
	t := a.t
	t.Helper()
	tbl := must[arrow.Table](t)(r.ReadRowGroups(context.Background(), allColumns(r), []int{g}))
	defer tbl.Release()
	rows := make([]map[string]*string, tbl.NumRows())
	for i := range rows {
		rows[i] = map[string]*string{}
	}
	for c := range int(tbl.NumCols()) {
		col, n := tbl.Column(c), 0
		for _, chunk := range col.Data().Chunks() {
			for i := range chunk.Len() {
				if chunk.IsValid(i) {
					rows[n][col.Name()] = show(arrowValue(chunk, i))
				}
				n++
			}
		}
	}
	return rows
}

func allColumns(r *pqarrow.FileReader) []int {
	all := make([]int, r.ParquetReader().MetaData().Schema.NumColumns())
	for i := range all {
		all[i] = i
	}
	return all
}

// arrowValue shows a value in the form of all readers.
func arrowValue(list arrow.Array, i int) string {
	switch v := list.(type) {
	case *array.Binary:
		return hex.EncodeToString(v.Value(i))
	case *array.String:
		return shownText(strings.Clone(v.Value(i)))
	case *array.Decimal128:
		return unscaled(v.Value(i).BigInt(), v.DataType().(*arrow.Decimal128Type).Scale)
	case *array.Float32:
		return shownFloat(float64(v.Value(i)))
	case *array.Float64:
		return shownFloat(v.Value(i))
	case *array.Timestamp:
		return shownMicros(int64(v.Value(i)))
	case *array.Date32:
		return shownDay(int32(v.Value(i)))
	}
	return list.ValueStr(i)
}

func shownFloat(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
func shownMicros(v int64) string  { return time.UnixMicro(v).UTC().Format("2006-01-02 15:04:05.000000") }
func shownDay(v int32) string     { return time.Unix(int64(v)*86400, 0).UTC().Format("2006-01-02") }

// unscaled shows a decimal by its digits.
func unscaled(n *big.Int, scale int32) string {
	if scale == 0 {
		return n.String()
	}
	digits := new(big.Int).Abs(n).String()
	digits = strings.Repeat("0", max(0, int(scale)+1-len(digits))) + digits
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	return sign + digits[:len(digits)-int(scale)] + "." + digits[len(digits)-int(scale):]
}

// candidates are the rows of a row group that its bounds, and those of its pages, leave to
// be looked at.
func (a *arrowGo) candidates(r *arrowfile.Reader, g int, f [3]*string, rows []map[string]*string) []map[string]*string {
	t := a.t
	t.Helper()
	at := r.MetaData().Schema.ColumnIndexByName(*f[0])
	if at < 0 || len(rows) == 0 {
		return rows
	}
	typ := a.q.typeOf(*f[0])
	leaf := r.MetaData().Schema.Column(at)
	chunk := must[*metadata.ColumnChunkMetaData](t)(r.MetaData().RowGroup(g).ColumnChunk(at))
	if stats, err := chunk.Statistics(); err == nil && stats != nil {
		if *f[1] == "IS NULL" {
			if stats.HasNullCount() && stats.NullCount() == 0 {
				a.skipped++
				return nil
			}
		} else if stats.HasMinMax() && !mayHold(typ, f, bound(t, leaf.PhysicalType(), typ, stats.EncodeMin()),
			bound(t, leaf.PhysicalType(), typ, stats.EncodeMax())) {
			a.skipped++
			return nil
		}
	}
	group, err := r.GetPageIndexReader().RowGroup(g)
	if err != nil || group == nil {
		return rows
	}
	index, err := group.GetColumnIndex(at)
	if err != nil || index == nil {
		return rows
	}
	offsets := must[metadata.OffsetIndex](t)(group.GetOffsetIndex(at))
	places := offsets.GetPageLocations()
	var left []map[string]*string
	for p := range places {
		end := int64(len(rows))
		if p+1 < len(places) {
			end = places[p+1].FirstRowIndex
		}
		skip := false
		switch nulls := index.GetNullPages()[p]; {
		case *f[1] == "IS NULL":
			skip = index.IsSetNullCounts() && index.GetNullCounts()[p] == 0
		case nulls:
			skip = true
		default:
			skip = !mayHold(typ, f, bound(t, leaf.PhysicalType(), typ, index.GetMinValues()[p]),
				bound(t, leaf.PhysicalType(), typ, index.GetMaxValues()[p]))
		}
		if skip {
			a.skipped++
			continue
		}
		left = append(left, rows[places[p].FirstRowIndex:end]...)
	}
	return left
}

// mayHold reports whether values from low to high may hold one that the filter takes.
func mayHold(typ string, f [3]*string, low, high string) bool {
	if *f[1] == "<" {
		return compareShown(typ, low, *f[2]) < 0
	}
	return compareShown(typ, low, *f[2]) <= 0 && compareShown(typ, high, *f[2]) >= 0
}

// bound shows a bound as it is encoded in a file.
func bound(t *testing.T, physical parquet.Type, typ string, b []byte) string {
	t.Helper()
	n := new(big.Int)
	switch physical {
	case parquet.Types.Int32:
		n.SetInt64(int64(int32(binary.LittleEndian.Uint32(b))))
	case parquet.Types.Int64:
		n.SetInt64(int64(binary.LittleEndian.Uint64(b)))
	case parquet.Types.Float:
		return shownFloat(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
	case parquet.Types.Double:
		return shownFloat(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case parquet.Types.FixedLenByteArray:
		n = signed(b)
	default:
		return string(b)
	}
	switch {
	case typ == "date":
		return shownDay(int32(n.Int64()))
	case strings.HasPrefix(typ, "timestamp"):
		return shownMicros(n.Int64())
	case strings.HasPrefix(typ, "decimal"):
		var precision, scale int32
		if _, err := fmt.Sscanf(typ, "decimal(%d,%d)", &precision, &scale); err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		return unscaled(n, scale)
	}
	return n.String()
}
