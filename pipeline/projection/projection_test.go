package projection

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

const salt = "a salt of the tests"

var (
	people = event.TableName{DB: "shop", Table: "people"}
	copies = event.TableName{DB: "shop", Table: "people_copy"}
	others = event.TableName{DB: "shop", Table: "others"}
)

func col(id uint32, name string, typ event.Type, native string) event.Column {
	return event.Column{ID: id, Name: name, Type: typ, Native: native, Nullable: id > 1, Charset: "utf8mb4"}
}

// everyType are columns of every type, with a value as it is and as cells show it masked and
// hashed; "" where it is refused.
var everyType = []struct {
	native string
	typ    event.Type
	value  func(*event.ImageBuilder)
	masked string
	hashed string // the text that is hashed
}{
	{"int(11)", event.TypeInt, func(b *event.ImageBuilder) { b.AppendInt(-42) }, "0", "-42"},
	{"bigint(20) unsigned", event.TypeUint, func(b *event.ImageBuilder) { b.AppendUint(1 << 63) }, "0", "9223372036854775808"},
	{"decimal(10,2)", event.TypeDecimal, func(b *event.ImageBuilder) { b.AppendText("12.50") }, "0.00", ""},
	{"decimal(10,0)", event.TypeDecimal, func(b *event.ImageBuilder) { b.AppendText("12") }, "0", ""},
	{"float", event.TypeFloat, func(b *event.ImageBuilder) { b.AppendFloat(1.5) }, "0", ""},
	{"double", event.TypeDouble, func(b *event.ImageBuilder) { b.AppendDouble(1.5) }, "0", ""},
	{"varchar(1)", event.TypeText, func(b *event.ImageBuilder) { b.AppendText("é") }, "*", "é"},
	{"longtext", event.TypeText, func(b *event.ImageBuilder) { b.AppendText("") }, "*", "\x00empty"},
	{"binary(3)", event.TypeBinary, func(b *event.ImageBuilder) { b.AppendBytes([]byte{1, 0xab, 0}) }, "\x00\x00\x00", "01ab00"},
	{"blob", event.TypeBinary, func(b *event.ImageBuilder) { b.AppendBytes([]byte{0xff}) }, "\x00empty", "ff"},
	{"date", event.TypeDate, func(b *event.ImageBuilder) { b.AppendDate(2026, 5, 4) }, "1970-01-01", ""},
	{"datetime(6)", event.TypeDateTime, func(b *event.ImageBuilder) { b.AppendDateTime(event.Civil{Year: 2026, Month: 5, Day: 4}) }, "1970-01-01 00:00:00.000000", ""},
	{"timestamp(6)", event.TypeTimestamp, func(b *event.ImageBuilder) { b.AppendTimestamp(1e15) }, "1970-01-01 00:00:00.000000", ""},
	{"time", event.TypeTime, func(b *event.ImageBuilder) { b.AppendTime(1e9) }, "00:00:00", ""},
	{"year(4)", event.TypeYear, func(b *event.ImageBuilder) { b.AppendUint(2026) }, "1970", ""},
	{"bit(4)", event.TypeBit, func(b *event.ImageBuilder) { b.AppendUint(9) }, "0", ""},
	{"json", event.TypeJSON, func(b *event.ImageBuilder) { b.AppendText("{}") }, "", ""},
	{"enum('a','b')", event.TypeEnum, func(b *event.ImageBuilder) { b.AppendUint(1) }, "", ""},
	{"set('a','b')", event.TypeSet, func(b *event.ImageBuilder) { b.AppendUint(1) }, "", ""},
	{"point", event.TypeGeometry, func(b *event.ImageBuilder) { b.AppendGeometry(0, []byte{1}) }, "", ""},
	{"uuid", event.TypeBinary, func(b *event.ImageBuilder) { b.AppendBytes(make([]byte, 16)) }, "", ""},
	{"longtext", event.TypeJSON, func(b *event.ImageBuilder) { b.AppendText("{}") }, "", ""}, // a type in another form than its text says
}

func hmacHex(text string) string {
	m := hmac.New(sha256.New, []byte(salt))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

func unmark(s string) string {
	if s == "\x00empty" {
		return ""
	}
	return s
}

func TestWhatBecomesOfEachType(t *testing.T) {
	for i, c := range everyType {
		for _, a := range []action{mask, hash} {
			want := map[action]string{mask: c.masked, hash: c.hashed}[a]
			rules := Rules{Salt: salt, Tables: map[string]Rule{"shop.people": {Mask: []string{"v"}}}}
			if a == hash {
				rules.Tables["shop.people"] = Rule{Hash: []string{"V"}}
			}
			column := col(2, "v", c.typ, c.native)
			column.Scale = kindOf(c.native).size
			ev := &event.Table{Name: people, Schema: event.NewSchema(people, []event.Column{col(1, "id", event.TypeInt, "int"), column}, []int{0}), KeyColumns: []int{0}}
			r := rules.of(people)
			why := r.faults(columnsOf(ev), never)
			if want == "" {
				if !strings.Contains(why, "the column v is") || strings.Contains(why, "'a'") {
					t.Errorf("%d %s %s is not refused by name, without values: %q", i, a, c.native, why)
				}
				continue
			}
			if why != "" {
				t.Errorf("%d %s %s: %s", i, a, c.native, why)
				continue
			}
			p := newPlan(r, ev.Schema)
			if err := p.out.Validate(); err != nil {
				t.Error(err)
			}
			b := event.NewImageBuilder(ev.Schema)
			b.Start(nil)
			b.AppendInt(1)
			c.value(b)
			_, img, err := b.Finish()
			if err != nil {
				t.Fatal(err)
			}
			if a == hash {
				want = hmacHex(unmark(want))
			}
			_, out, err := p.image(nil, img)
			if err != nil {
				t.Fatalf("%s %s: %v", a, c.native, err)
			}
			vals, err := event.Values(out, p.out, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := string(event.AppendValueText(nil, &p.out.Columns[1], vals[1]))
			if c.typ == event.TypeBinary && a == mask {
				got = string(vals[1].Bytes())
			}
			if c.typ == event.TypeDateTime || c.typ == event.TypeTimestamp {
				want = strings.TrimSuffix(want, ".000000")
			}
			if got != unmark(want) {
				t.Errorf("%s %s: %q, not %q", a, c.native, got, want)
			}
			b.Start(nil)
			b.AppendInt(1)
			b.AppendNull()
			if _, img, err = b.Finish(); err != nil {
				t.Fatal(err)
			}
			if _, out, err = p.image(nil, img); err != nil {
				t.Fatal(err)
			}
			if vals, err = event.Values(out, p.out, nil); err != nil || vals[1] != nil {
				t.Errorf("%s %s: NULL is %q, %v", a, c.native, vals, err)
			}
			if got := r.cell(a, c.native, pipeline.Cell{Null: true}); !got.Null {
				t.Errorf("%s %s: a reader's NULL is %q", a, c.native, got.Text)
			}
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	ev := &event.Table{Name: people, KeyColumns: []int{2}, Schema: event.NewSchema(people, []event.Column{
		col(1, "id", event.TypeInt, "int"), col(2, "Email", event.TypeText, "text"), col(3, "region", event.TypeText, "text"),
	}, []int{0})}
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Exclude: []string{"email"}}, ""},
		{Rule{Exclude: []string{"emial"}}, "there is no column emial, which tables.shop.people.columns.exclude names"},
		{Rule{Exclude: []string{"ID"}}, "the column id, which tables.shop.people.columns.exclude names, is of the table's key"},
		{Rule{Hash: []string{"id"}}, "is of the table's key"},
		{Rule{Mask: []string{"region"}}, "is of the table's key"}, // chooses the queue
		{Rule{}, ""},
	} {
		r := Rules{Salt: salt, Tables: map[string]Rule{"shop.people": c.rule}}.of(people)
		if got := r.faults(columnsOf(ev), never); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c.rule, got)
		}
	}
	keyless := &event.Table{Name: people, KeyColumns: []int{0, 1}, Keyless: true, Schema: event.NewSchema(people, ev.Schema.Columns[:2], nil)}
	r := Rules{Tables: map[string]Rule{"shop.people": {Exclude: []string{"id", "email"}}}}.of(people)
	if got := r.faults(columnsOf(keyless), never); got != "no column is left" {
		t.Errorf("of a table without a key: %q", got)
	}
}

// A default of a protected column is a value of it; the source goes on from what is stored.
func TestASchemaCarriesWhatItWasMadeOf(t *testing.T) {
	secret := col(2, "secret", event.TypeText, "varchar(20)")
	secret.HasDefault, secret.Default = true, []byte("hunter2")
	source := event.NewSchema(people, []event.Column{col(1, "id", event.TypeInt, "int"), secret, col(3, "note", event.TypeText, "text")},
		[]int{0})
	for _, rule := range []Rule{{Exclude: []string{"secret"}}, {Mask: []string{"secret"}}, {Hash: []string{"secret"}}} {
		rules := Rules{Salt: salt, Tables: map[string]Rule{"shop.people": rule}}
		out := newPlan(rules.of(people), source).out
		bytes := event.AppendSchema(nil, out)
		if strings.Contains(string(bytes), "hunter2") || strings.Contains(string(bytes), salt) {
			t.Errorf("%+v: the schema tells: %q", rule, bytes)
		}
		back, err := event.ParseSchema(bytes)
		if err != nil || back.ID != out.ID || back.Source.ID != out.Source.ID || back.Projection != out.Projection {
			t.Fatalf("%+v: %+v, %v", rule, back, err)
		}
		if len(back.Source.Columns) != 3 || back.Source.Columns[1].ID != 2 || back.Source.Columns[1].Type != event.TypeText {
			t.Errorf("%+v: the source's definition is %+v", rule, back.Source)
		}
		for n := range bytes {
			if _, err := event.ParseSchema(bytes[:n]); err == nil {
				t.Fatalf("%d of %d bytes are a schema", n, len(bytes))
			}
		}
	}
	a := Rules{Salt: salt, Tables: map[string]Rule{"shop.people": {Hash: []string{"secret"}}}}
	b := a
	b.Salt += "!"
	if newPlan(a.of(people), source).out.ID == newPlan(b.of(people), source).out.ID {
		t.Error("another salt makes the same schema")
	}
}

// TestRandomRows holds images and a reader's cells to a twin that knows neither.
func TestRandomRows(t *testing.T) {
	seed := uint64(rand.Uint32())
	if s := os.Getenv("MILLRACE_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("MILLRACE_TEST_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		var rule Rule
		columns := []event.Column{col(1, "id", event.TypeInt, "int")}
		want := []func(string) (string, bool){func(v string) (string, bool) { return v, true }}
		for i := range 1 + random.IntN(12) {
			name := fmt.Sprint("c", i)
			columns = append(columns, col(uint32(i+2), name, event.TypeText, "varchar(50)"))
			switch random.IntN(4) {
			case 0:
				rule.Exclude = append(rule.Exclude, strings.ToUpper(name))
				want = append(want, func(string) (string, bool) { return "", false })
			case 1:
				rule.Mask = append(rule.Mask, name)
				want = append(want, func(string) (string, bool) { return "*", true })
			case 2:
				rule.Hash = append(rule.Hash, name)
				want = append(want, func(v string) (string, bool) { return hmacHex(v), true })
			default:
				want = append(want, func(v string) (string, bool) { return v, true })
			}
		}
		s := event.NewSchema(people, columns, []int{0})
		rules := Rules{Salt: salt, Tables: map[string]Rule{"shop.people": rule}}
		p := newPlan(rules.of(people), s)
		b := event.NewImageBuilder(s)
		var buf []byte
		for row := range 5 {
			b.Start(nil)
			b.AppendInt(int64(row))
			expect := []string{strconv.Itoa(row)}
			cells := []pipeline.Cell{{Text: []byte(strconv.Itoa(row))}}
			for i := 1; i < len(columns); i++ {
				value := fmt.Sprint(random.Uint64())
				if null := random.IntN(5) == 0; null {
					b.AppendNull()
					cells = append(cells, pipeline.Cell{Null: true})
					if _, leaves := want[i](""); leaves {
						expect = append(expect, "NULL")
					}
					continue
				}
				b.AppendText(value)
				cells = append(cells, pipeline.Cell{Text: []byte(value)})
				if text, leaves := want[i](value); leaves {
					expect = append(expect, text)
				}
			}
			_, img, err := b.Finish()
			if err != nil {
				t.Fatal(err)
			}
			var out event.Image
			if buf, out, err = p.image(buf, img); err != nil {
				t.Fatal(err)
			}
			vals, err := event.Values(out, p.out, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, v := range vals {
				got = append(got, string(event.AppendValueText(nil, &p.out.Columns[i], v)))
			}
			if fmt.Sprint(got) != fmt.Sprint(expect) {
				t.Fatalf("%+v: row %v, not %v", rule, got, expect)
			}
			if got := readThrough(t, rules, columns, cells); fmt.Sprint(got) != fmt.Sprint(expect) {
				t.Fatalf("%+v: the reader shows %v, not %v", rule, got, expect)
			}
		}
	}
}

// oneRow is a reader of one row.
type oneRow struct {
	SourceReader
	columns []pipeline.ReadColumn
	cells   []pipeline.Cell
}

func (r oneRow) Read(_ context.Context, _ event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	if err := columns(r.columns); err != nil {
		return err
	}
	return row(r.cells)
}

func readThrough(t *testing.T, rules Rules, columns []event.Column, cells []pipeline.Cell) (got []string) {
	t.Helper()
	in := oneRow{cells: cells}
	for i, c := range columns {
		in.columns = append(in.columns, pipeline.ReadColumn{Name: c.Name, Key: i == 0, Type: c.Native})
	}
	n := 0
	err := NewReader(in, rules).Read(t.Context(), people, func(c []pipeline.ReadColumn) error { n = len(c); return nil },
		func(cells []pipeline.Cell) error {
			for _, c := range cells {
				if c.Null {
					got = append(got, "NULL")
				} else {
					got = append(got, string(c.Text))
				}
			}
			return nil
		})
	if err != nil || n != len(got) {
		t.Fatalf("%d columns, %d cells, %v", n, len(got), err)
	}
	return got
}
