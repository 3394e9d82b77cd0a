package parquet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testenv"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/delta"
	"github.com/millrace/millrace/sinks/parquet/current"
	"github.com/millrace/millrace/sinks/parquet/file"
)

var allReaders = flag.Bool("readers", false, "ask every reader of the lake, both versions of Spark among them")

// question is what readers are asked of one table; see testdata/read.py.
type question struct {
	Path    string           `json:"path"`
	Files   []string         `json:"files"`
	Columns []questionColumn `json:"columns"`
	Filters [][3]*string     `json:"filters"`
	Code    string           `json:"code,omitempty"`
	Lake    string           `json:"lake,omitempty"`
	SQL     []string         `json:"sql,omitempty"`
	Source  string           `json:"source,omitempty"`

	name string
	want []map[string]*string
}

type questionColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type answer struct {
	Error   string               `json:"error"`
	Rows    []map[string]*string `json:"rows"`
	Filters [][]int              `json:"filters"`
}

// readCase is a column of the table of readers: values as they are captured, what readers
// show of each, and what they are asked for.
type readCase struct {
	col     event.Column
	in      []any
	want    []any
	raw     []any // of the text column
	filters []string
}

// readCases are all types of docs/format/lake.md. Days before 1582-10-15 are in a table of
// their own: Spark refuses them unless it is told how to read them.
func readCases() []readCase {
	return []readCase{
		{col: event.Column{Name: "big", Type: event.TypeInt, Precision: 8}, in: []any{int64(-9223372036854775808), int64(-1), int64(9223372036854775807)},
			want: []any{"-9223372036854775808", "-1", "9223372036854775807"}, filters: []string{"-1", "9223372036854775807"}},
		{col: event.Column{Name: "ubig", Type: event.TypeUint, Precision: 8}, in: []any{uint64(18446744073709551615), uint64(0), uint64(9223372036854775808)},
			want: []any{"18446744073709551615", "0", "9223372036854775808"}, filters: []string{"18446744073709551615", "9223372036854775808", "0"}},
		{col: event.Column{Name: "d9", Type: event.TypeDecimal, Precision: 9, Scale: 2}, in: []any{"-9999999.99", "0.00", "12.50"},
			want: []any{"-9999999.99", "0.00", "12.50"}, filters: []string{"0.00", "12.50", "-9999999.99"}},
		{col: event.Column{Name: "d18", Type: event.TypeDecimal, Precision: 18, Scale: 4}, in: []any{"-12345678901234.5678", "0.0001", "99999999999999.9999"},
			want: []any{"-12345678901234.5678", "0.0001", "99999999999999.9999"}, filters: []string{"0.0001", "99999999999999.9999"}},
		{col: event.Column{Name: "d38", Type: event.TypeDecimal, Precision: 38, Scale: 10}, in: []any{"-9999999999999999999999999999.9999999999", "-0.0000000001", "1.0000000000"},
			want: []any{"-9999999999999999999999999999.9999999999", "-0.0000000001", "1.0000000000"}, filters: []string{"1.0000000000", "-0.0000000001"}},
		{col: event.Column{Name: "d65", Type: event.TypeDecimal, Precision: 65, Scale: 30}, in: []any{"12345678901234567890123456789012345.000000000000000000000000000001", "0.500000000000000000000000000000", "-1.000000000000000000000000000000"},
			want: []any{"12345678901234567890123456789012345.000000000000000000000000000001", "0.500000000000000000000000000000", "-1.000000000000000000000000000000"}},
		{col: event.Column{Name: "f", Type: event.TypeFloat}, in: []any{float32(1.5), float32(-3.4e38), float32(0.25)}, want: []any{"1.5", "-3.3999999521443642e+38", "0.25"}, filters: []string{"1.5"}},
		{col: event.Column{Name: "dd", Type: event.TypeDouble}, in: []any{0.1, -1e300, 2.5}, want: []any{"0.1", "-1e+300", "2.5"}, filters: []string{"2.5"}},
		{col: event.Column{Name: "day", Type: event.TypeDate}, in: []any{[3]int{2026, 8, 21}, [3]int{0, 0, 0}, [3]int{1999, 12, 31}},
			want: []any{"2026-08-21", nil, "1999-12-31"}, raw: []any{nil, "0000-00-00", nil}, filters: []string{"2026-08-21", "1999-12-31"}},
		{col: event.Column{Name: "dt6", Type: event.TypeDateTime, Scale: 6}, in: []any{event.Civil{Year: 1969, Month: 12, Day: 31, Hour: 23, Minute: 59, Second: 59, Micro: 999999}, event.Civil{Year: 2026, Month: 2, Day: 30, Hour: 3}, event.Civil{Year: 2026, Month: 1, Day: 1}},
			want: []any{"1969-12-31 23:59:59.999999", nil, "2026-01-01 00:00:00.000000"}, raw: []any{nil, "2026-02-30 03:00:00.000000", nil}, filters: []string{"2026-01-01 00:00:00.000000"}},
		{col: event.Column{Name: "ts", Type: event.TypeTimestamp}, in: []any{1, zeroTime{}, 2147483647000000}, want: []any{"1970-01-01 00:00:00.000001", nil, "2038-01-19 03:14:07.000000"},
			raw: []any{nil, "0000-00-00 00:00:00", nil}, filters: []string{"2038-01-19 03:14:07.000000"}},
		{col: event.Column{Name: "t", Type: event.TypeTime}, in: []any{-3020399000000, 0, 3020399999999}, want: []any{"-3020399000000", "0", "3020399999999"}, filters: []string{"0"}},
		{col: event.Column{Name: "y", Type: event.TypeYear}, in: []any{2026, 0, 2155}, want: []any{"2026", "0", "2155"}, filters: []string{"2155"}},
		{col: event.Column{Name: "text", Type: event.TypeText, Native: "varchar(200)"}, in: []any{"", "zażółć 𝄞 \"x\"\\", "\U0010ffff and a text that is longer than the sixty-four bytes that count for the bounds of a column"},
			want: []any{"", "zażółć 𝄞 \"x\"\\", "\U0010ffff and a text that is longer than the sixty-four bytes that count for the bounds of a column"}, filters: []string{"", "zażółć 𝄞 \"x\"\\"}},
		{col: event.Column{Name: "long", Type: event.TypeText, Native: "longtext"}, in: []any{"a", "", "it's"}, want: []any{"a", "", "it's"}, filters: []string{"it's", "a"}},
		{col: event.Column{Name: "e", Type: event.TypeEnum, Members: []string{"a", "b,c"}}, in: []any{1, 2, 0}, want: []any{"a", "b,c", ""}, filters: []string{"b,c"}},
		{col: event.Column{Name: "s", Type: event.TypeSet, Members: []string{"x", "y", "z"}}, in: []any{5, 0, 7}, want: []any{"x,z", "", "x,y,z"}, filters: []string{"x,z"}},
		{col: event.Column{Name: "bit8", Type: event.TypeBit, Length: 8}, in: []any{255, 0, 1}, want: []any{"255", "0", "1"}, filters: []string{"255"}},
		{col: event.Column{Name: "bit64", Type: event.TypeBit, Length: 64}, in: []any{uint64(1) << 63, 0, 1}, want: []any{"9223372036854775808", "0", "1"}, filters: []string{"9223372036854775808"}},
		{col: event.Column{Name: "j", Type: event.TypeJSON, Native: "json"}, in: []any{`{"a": [1, 2.50]}`, `null`, `[]`}, want: []any{`{"a": [1, 2.50]}`, `null`, `[]`}},
		{col: event.Column{Name: "_SEQ", Type: event.TypeInt, Precision: 4}, in: []any{1, 2, 3}, want: []any{"1", "2", "3"}, filters: []string{"2"}},
		{col: event.Column{Name: "a b;c", Type: event.TypeInt, Precision: 4}, in: []any{1, 2, 3}, want: []any{"1", "2", "3"}, filters: []string{"2"}},
		{col: event.Column{Name: "x.y", Type: event.TypeInt, Precision: 4}, in: []any{1, 2, 3}, want: []any{"1", "2", "3"}},
		{col: event.Column{Name: "größe", Type: event.TypeText, Native: "varchar(9)"}, in: []any{"q", "w", "e"}, want: []any{"q", "w", "e"}, filters: []string{"w"}},
	}
}

func bytesCases() []readCase {
	return []readCase{
		{col: event.Column{Name: "bin", Type: event.TypeBinary, Length: 4}, in: []any{[]byte{0, 1, 0, 0}, []byte{}, []byte{255}}, want: []any{"00010000", "", "ff"}},
		{col: event.Column{Name: "blob", Type: event.TypeBinary, Native: "longblob"}, in: []any{[]byte("x"), []byte{}, []byte{255, 255}}, want: []any{"78", "", "ffff"}},
		{col: event.Column{Name: "geo", Type: event.TypeGeometry, Native: "geometry"}, in: []any{point{4326, []byte{1, 2}}, point{0, nil}, point{1, []byte{3}}}, want: []any{"e61000000102", "00000000", "0100000003"}},
		{col: event.Column{Name: "text", Type: event.TypeText, Native: "varchar(9)"}, in: []any{"a", "", "c"}, want: []any{"a", "", "c"}, filters: []string{"c"}},
	}
}

// readTableOf writes a table of the cases through the sink: rows in sixty commits over three
// days, NULLs among them, some changed and some deleted later. It returns what current/ and
// changes/ are to show.
func readTableOf(t *testing.T, sink *Sink, table string, cases []readCase, steps int) []*question {
	t.Helper()
	m := schemas{}
	s := event.Schema{Name: event.TableName{DB: "shop", Table: table}, PrimaryKey: []int{0},
		Columns: []event.Column{{ID: 1, Name: "id", Type: event.TypeInt, Precision: 4}}}
	for i, c := range cases {
		c.col.ID, c.col.Nullable = uint32(i+2), true
		s.Columns = append(s.Columns, c.col)
	}
	schema := m.add(t, s)
	c := claim(m, 1)
	c.Table = s.Name
	target := open(t, sink, c)
	seq := event.Seq(10)
	write(t, target, 0, mark(event.KindBegin, schema, 0, event.Mark{Seq: seq, Attempt: seq, Queues: 1}))
	live, all := map[int]map[string]*string{}, []map[string]*string{}
	values := func(id, turn int) ([]any, map[string]*string) {
		vals, shows := []any{id}, map[string]*string{"id": show(fmt.Sprint(id))}
		for i, c := range cases {
			n := (id + i + turn) % 4
			var in, want, raw any
			if n < 3 {
				in, want = c.in[n], c.want[n]
				if c.raw != nil {
					raw = c.raw[n]
				}
			}
			vals = append(vals, in)
			shows[file.ColumnName(c.col.Name)] = show(want)
			if c.raw != nil {
				shows[file.ColumnName(c.col.Name)+file.RawSuffix] = show(raw)
			}
		}
		return vals, shows
	}
	put := func(n int, row event.Row, shows map[string]*string) {
		sl := rows(schema, seq, fmt.Sprint("tx", n), row)
		sl.Txs[0].CommitTime = day.AddDate(0, 0, n%3)
		sl.Txs[0].End = true
		write(t, target, 0, sl)
		seq = row.Seq
		kept := map[string]*string{"_op": show(string(row.Op)), "_seq": show(fmt.Sprint(uint64(row.Seq))),
			"_dt": show(day.AddDate(0, 0, n%3).Format("2006-01-02"))}
		for k, v := range shows {
			kept[k] = v
		}
		all = append(all, kept)
	}
	for n := range steps {
		id := n + 1
		vals, shows := values(id, 0)
		put(n, create(seq+2, 0, image(t, schema, vals...)), shows)
		live[id] = shows
		if n%5 == 4 {
			old := image(t, schema, vals...)
			vals, shows = values(id, 1)
			put(n, update(seq+2, 0, old, image(t, schema, vals...)), shows)
			live[id] = shows
		}
		if n%7 == 6 {
			put(n, remove(seq+2, 0, image(t, schema, vals...)), shows)
			delete(live, id)
		}
		flush(t, target)
		must[int](t)(0, target.Maintain(context.Background()))
	}
	if steps == 0 {
		write(t, target, 0, mark(event.KindEnd, schema, seq, event.Mark{Seq: seq + 2, Attempt: seq, Queues: 1}))
		flush(t, target)
	}
	must[int](t)(0, target.current.MergeNow())
	must[int](t)(0, target.changes.Checkpoint(context.Background(), keepOf(target)))
	must[int](t)(0, target.current.Log().Checkpoint(context.Background(), time.Time{}))

	columns := []questionColumn{{"id", "long"}}
	var filters [][3]*string
	for _, c := range cases {
		typ := must[file.Type](t)(file.TypeOf(&c.col))
		name := file.ColumnName(c.col.Name)
		columns = append(columns, questionColumn{name, typ.Delta()})
		if c.raw != nil && steps > 0 {
			columns = append(columns, questionColumn{name + file.RawSuffix, "string"})
		}
		filters = append(filters, [3]*string{&name, show("IS NULL"), nil})
		for _, f := range c.filters {
			filters = append(filters, [3]*string{&name, show("="), &f}, [3]*string{&name, show("<"), &f})
		}
	}
	current := &question{Path: target.Dir + "/current", Columns: columns, Filters: filters, name: table + "/current"}
	for _, id := range sortedKeys(live) {
		current.want = append(current.want, live[id])
	}
	changes := &question{Path: target.Dir + "/changes", name: table + "/changes", want: all,
		Columns: append([]questionColumn{{"_seq", "long"}, {"_op", "string"}, {"_dt", "date"}}, columns...)}
	changes.Filters = append(filters[:min(4, len(filters)):min(4, len(filters))], [3]*string{show("_dt"), show("="), show("2026-08-22")},
		[3]*string{show("_op"), show("="), show("d")})
	list := []*question{current, changes}
	if steps == 0 {
		list = list[:1]
	}
	for _, q := range list {
		q.Files = []string{}
		log := must[*delta.Log](t)(delta.Open(t.Context(), sink.Store, target.At+strings.TrimPrefix(q.Path, target.Dir)))
		for _, f := range log.Snapshot().Paths() {
			q.Files = append(q.Files, q.Path+"/"+f)
		}
	}
	return list
}

func show(v any) *string {
	if v == nil {
		return nil
	}
	s := v.(string)
	return &s
}

func sortedKeys(m map[int]map[string]*string) []int {
	var keys []int
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// matches are the ids of the rows that a filter takes, by Go's own arithmetic.
func (q *question) matches(f [3]*string) []int {
	ids := []int{}
	for _, r := range q.want {
		if q.takes(f, r) {
			ids = append(ids, idOf(r))
		}
	}
	slices.Sort(ids)
	return ids
}

func (q *question) takes(f [3]*string, row map[string]*string) bool {
	v := row[*f[0]]
	switch {
	case *f[1] == "IS NULL":
		return v == nil
	case *f[1] == "IS NOT NULL":
		return v != nil
	case v == nil:
		return false
	}
	d := compareShown(q.typeOf(*f[0]), *v, shownText(*f[2]))
	return *f[1] == "=" && d == 0 || *f[1] == "<" && d < 0
}

func (q *question) typeOf(column string) string {
	for _, c := range q.Columns {
		if c.Name == column {
			return c.Type
		}
	}
	panic("BUG: no column " + column)
}

func idOf(row map[string]*string) int {
	id, err := strconv.Atoi(*row["id"])
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return id
}

// shownText shows a text by its digest where it is long, as testdata/read.py does.
func shownText(s string) string {
	if len(s) <= 256 {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func compareShown(typ, a, b string) int {
	if typ == "long" || typ == "float" || typ == "double" || strings.HasPrefix(typ, "decimal") {
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		return x.Cmp(y)
	}
	return cmp.Compare(a, b)
}

// unread are what a reader is known not to do, by reader and the name of a question.
var unread = map[string]string{
	"duckdb empty/current": "it is asked for the files of a table, and this one has none",
}

// TestEveryReader asks readers that share nothing with the sink for every type, with filters
// that their own statistics, page indexes and partitions serve. The tests ask one version of
// Spark, `make readers` asks all.
func TestEveryReader(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.Current.Interval = current.Interval(time.Hour) // one merge at the end, and none between
	sink := testSink(t, vfs.OS(), cfg)
	var list []*question
	list = append(list, readTableOf(t, sink, "types", readCases(), 60)...)
	list = append(list, readTableOf(t, sink, "bytes", bytesCases(), 60)...)
	list = append(list, readTableOf(t, sink, "empty", bytesCases(), 0)...)
	list = append(list, readLargeTable(t, dir)...)
	t.Run("arrow-go", func(t *testing.T) {
		for _, q := range list {
			a, skipped := askArrowGo(t, q)
			checkAnswer(t, "arrow-go", q, a)
			if skipped == 0 && strings.HasPrefix(q.name, "large/") {
				t.Errorf("%s: no filter left out a row group or a page", q.name)
			}
		}
	})
	for _, name := range testenv.Readers(*allReaders) {
		t.Run(name, func(t *testing.T) {
			r := testenv.NewReader(t, name)
			asked := slices.Concat(list, viewsElsewhere(t, name, list))
			code := documentedLines(t, name)
			for _, c := range code {
				asked = append(asked, &question{Code: c, Lake: filepath.Join(dir, "p")})
			}
			answers := ask(t, r, t.TempDir(), name, asked)
			for i, q := range asked {
				if q.Code == "" {
					checkAnswer(t, name, q, &answers[i])
				} else {
					checkLines(t, q.Code, list[0], &answers[i])
				}
			}
		})
	}
}

// ask has a reader answer questions.
func ask(t *testing.T, r *testenv.Reader, work, name string, asked []*question) []answer {
	t.Helper()
	questions := filepath.Join(t.TempDir(), "questions.json")
	must[int](t)(0, os.WriteFile(questions, must[[]byte](t)(json.Marshal(asked)), 0o600))
	out, err := r.File(t.Context(), work, "testdata/read.py", name, questions)
	if err != nil {
		t.Fatal(err)
	}
	var answers []answer
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatalf("%v: %.2000s", err, out)
	}
	return answers
}

// TestReadersOfABucket asks readers for every type in a bucket, each through its own client of
// the store; DuckDB through one of pyarrow's. Spark's is a download of 300 MB, and not asked.
func TestReadersOfABucket(t *testing.T) {
	server := testenv.NewS3(t)
	b := newBucketLake(t, server)
	sink := b.sink(t, server.Endpoint)
	cfg := sink.cfg
	cfg.Current, cfg.Keep = DefaultConfig().Current, DefaultConfig().Keep
	cfg.Current.Interval = Interval(time.Hour) // one merge at the end, and none between
	configure(sink, cfg)
	var list []*question
	list = append(list, readTableOf(t, sink, "types", readCases(), 60)...)
	list = append(list, readTableOf(t, sink, "bytes", bytesCases(), 60)...)
	t.Setenv("LAKE_STORE", string(must[[]byte](t)(json.Marshal(map[string]string{"AWS_ENDPOINT_URL": server.Endpoint, "AWS_ALLOW_HTTP": "true",
		"AWS_ACCESS_KEY_ID": server.Access, "AWS_SECRET_ACCESS_KEY": server.Secret, "AWS_REGION": server.Region}))))
	for _, name := range []string{"deltalake", "pyarrow", "polars", "duckdb", "clickhouse"} {
		t.Run(name, func(t *testing.T) {
			answers := ask(t, testenv.NewReader(t, name), t.TempDir(), name, list)
			for i, q := range list {
				checkAnswer(t, name, q, &answers[i])
			}
		})
	}
}

// checkLines looks at how many rows of a table lines of docs/reading.md give.
func checkLines(t *testing.T, code string, of *question, a *answer) {
	t.Helper()
	want := len(of.want)
	if strings.Contains(code, "< 10") {
		want = len(slices.DeleteFunc(slices.Clone(of.want), func(r map[string]*string) bool { return len(*r["id"]) > 1 }))
	}
	if a.Error != "" || a.Filters[0][0] != want {
		t.Errorf("%s\ngives %v (%s), not %d rows", code, a.Filters, a.Error, want)
	}
}

func checkAnswer(t *testing.T, reader string, q *question, a *answer) {
	t.Helper()
	if why, ok := unread[reader+" "+q.name]; ok {
		if a.Error == "" {
			t.Errorf("%s: it reads the table now, though %s", q.name, why)
		}
		return
	}
	if a.Error != "" {
		t.Errorf("%s: %s", q.name, a.Error)
		return
	}
	line := func(r map[string]*string) string {
		var b strings.Builder
		for _, c := range q.Columns {
			if v := r[c.Name]; v == nil {
				b.WriteString(c.Name + "=NULL ")
			} else {
				fmt.Fprintf(&b, "%s=%q ", c.Name, *v)
			}
		}
		return b.String()
	}
	var got, want []string
	for _, r := range a.Rows {
		got = append(got, line(r))
	}
	for _, r := range q.want {
		want = append(want, line(r))
	}
	slices.Sort(got)
	slices.Sort(want)
	wrong := 0
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			if wrong++; wrong <= 2 {
				t.Errorf("%s: row %d\n  shows %v\n  not   %v", q.name, i, at(got, i), at(want, i))
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%s: %d rows of %d differ", q.name, wrong, len(want))
	}
	for i, f := range q.Filters {
		if want := q.matches(f); !slices.Equal(a.Filters[i], want) {
			value := ""
			if f[2] != nil {
				value = *f[2]
			}
			t.Errorf("%s: %s %s %.80q takes %d rows, %.200s, not %d, %.200s", q.name, *f[0], *f[1], value, len(a.Filters[i]),
				fmt.Sprint(a.Filters[i]), len(want), fmt.Sprint(want))
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "nothing"
}

// documentedLines are the lines of docs/reading.md that a reader's program runs.
func documentedLines(t *testing.T, reader string) []string {
	t.Helper()
	page := string(must[[]byte](t)(os.ReadFile("../../docs/reading.md")))
	by := map[string]string{"pandas": "duckdb", "polars": "polars", "DuckDB": "duckdb", "ClickHouse": "clickhouse", "Spark": "spark"}
	var list []string
	for heading, who := range by {
		_, part, ok := strings.Cut(page, "\n## "+heading+"\n")
		_, code, ok2 := strings.Cut(part, "```python\n")
		code, _, ok3 := strings.Cut(code, "\n```")
		if !ok || !ok2 || !ok3 {
			t.Fatalf("docs/reading.md has no lines under %s", heading)
		}
		if who == strings.TrimRight(reader, "34") {
			list = append(list, code)
		}
	}
	return list
}
