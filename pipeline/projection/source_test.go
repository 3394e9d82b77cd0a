package projection

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

func definition(name event.TableName, columns ...string) *event.Schema {
	var all []event.Column
	for _, c := range columns { // "name" or "name#id"
		var id uint32
		text, _, ok := strings.Cut(c, "#")
		if _, err := fmt.Sscanf(c[len(text):], "#%d", &id); !ok || err != nil {
			id = uint32(len(all) + 1)
		}
		all = append(all, col(id, text, event.TypeText, "varchar(20)"))
	}
	return event.NewSchema(name, all, []int{0})
}

func TestAColumnDoesNotEscapeByItsName(t *testing.T) {
	r := Rules{Tables: map[string]Rule{"shop.people": {Exclude: []string{"email"}, Mask: []string{"phone"}}}}.of(people)
	was := []string{"id#1", "email#2", "phone#3", "city#4"}
	for name, c := range map[string]struct {
		now  []string
		want string
	}{
		"the same":                     {was, ""},
		"one more":                     {append(slices.Clone(was), "x#9"), ""},
		"one under a protected name":   {[]string{"id#1", "email#9", "phone#3", "city#4"}, ""},
		"dropped":                      {[]string{"id#1", "phone#3", "city#4"}, ""},
		"renamed":                      {[]string{"id#1", "mail#2", "phone#3", "city#4"}, "may be mail now"},
		"renamed under a new identity": {[]string{"id#1", "mail#9", "phone#3", "city#4"}, "may be mail now"},
		"renamed to other letters":     {[]string{"id#1", "EMAIL#2", "phone#3", "city#4"}, ""},
		"names exchanged":              {[]string{"id#1", "city#2", "phone#3", "email#4"}, "may be city now"},
		"exchanged among protected":    {[]string{"id#1", "phone#2", "email#3", "city#4"}, ""},
		"another one renamed":          {[]string{"id#1", "email#2", "phone#3", "town#4"}, ""},
		"a masked one renamed":         {[]string{"id#1", "email#2", "tel#3", "city#4"}, "the column phone"},
	} {
		got := r.escapes(definition(people, was...), definition(people, c.now...))
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestACopyIsKnownByItsColumns(t *testing.T) {
	rules := Rules{Tables: map[string]Rule{"shop.people": {Exclude: []string{"email"}}, "shop.others": {}}}
	for name, c := range map[string]struct {
		known   bool
		table   event.TableName
		columns []string
		copy    bool
	}{
		"all columns":                {true, copies, []string{"id", "email", "a", "b", "c"}, true},
		"most of them":               {true, copies, []string{"id", "EMAIL", "a", "new"}, true},
		"without what is protected":  {true, copies, []string{"id", "a", "b", "c"}, false},
		"few of them":                {true, copies, []string{"id", "email"}, false},
		"few, the first not known":   {false, copies, []string{"id", "email"}, true},
		"said to be what it is":      {true, others, []string{"id", "email", "a", "b", "c"}, false},
		"in another database":        {true, event.TableName{DB: "old", Table: "people"}, []string{"id", "email", "a", "b", "c"}, false},
		"the same in other letters":  {true, event.TableName{DB: "shop", Table: "People"}, []string{"id", "email", "a", "b", "c"}, false},
		"in a database so in others": {true, event.TableName{DB: "SHOP", Table: "p2"}, []string{"id", "email", "a", "b", "c"}, true},
	} {
		s := New(nil, rules, nil, nil)
		s.tables = map[event.TableName]*table{}
		if c.known {
			s.at(people).last = definition(people, "id", "email", "a", "b", "c")
		}
		got := s.copied(&event.Table{Name: c.table, Schema: definition(c.table, c.columns...)})
		if (got != "") != c.copy {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// opening keeps what a source is opened with, and shows the tables of it.
type opening struct {
	pipeline.Source
	resume pipeline.Resume
	paused []event.TableName
}

func (o *opening) Open(_ context.Context, r pipeline.Resume) (out pipeline.Opened, err error) {
	o.resume = r
	for name, s := range r.Schemas {
		out.Tables = append(out.Tables, &event.Table{Name: name, Schema: s, KeyColumns: []int{0}, Queues: 2})
	}
	return out, nil
}

func (o *opening) SetPaused(t event.TableName, paused bool) {
	if paused {
		o.paused = append(o.paused, t)
	}
}

func (o *opening) Close() error { return nil }

func TestASourceGoesOnUnderItsOwnDefinition(t *testing.T) {
	full := definition(people, "id", "email", "phone", "city")
	old := Rules{Tables: map[string]Rule{"shop.people": {Exclude: []string{"email"}}}}
	stored := newPlan(old.of(people), full).out
	none := func(context.Context, event.TableName) ([]pipeline.ReadColumn, error) { return nil, pipeline.ErrNoTable }
	server := func(names ...string) Look {
		return func(context.Context, event.TableName) (out []pipeline.ReadColumn, err error) {
			for _, n := range names {
				out = append(out, pipeline.ReadColumn{Name: n, Type: "varchar(20)"})
			}
			return out, nil
		}
	}
	for name, c := range map[string]struct {
		rules   Rules
		look    Look
		columns string // that leave
		anew    bool
		pause   string
	}{
		"the same rule":             {old, none, "id phone city", false, ""},
		"another rule":              {Rules{Tables: map[string]Rule{"shop.people": {Exclude: []string{"city"}}}}, none, "id email phone", true, ""},
		"no rule":                   {Rules{}, none, "id email phone city", true, ""},
		"a column that is not":      {Rules{Tables: map[string]Rule{"shop.people": {Exclude: []string{"email", "emial"}}}}, server("id", "email"), "", true, "no column emial"},
		"a column still ahead":      {Rules{Tables: map[string]Rule{"shop.people": {Exclude: []string{"email", "ssn"}}}}, server("id", "email", "ssn"), "id phone city", true, ""},
		"renamed while nobody read": {Rules{Tables: map[string]Rule{"shop.people": {Exclude: []string{"mail"}}}}, server("id", "mail"), "", true, "may have been renamed"},
		"a column of the key":       {Rules{Tables: map[string]Rule{"shop.people": {Exclude: []string{"id"}}}}, none, "", true, "of the table's key"},
	} {
		in := &opening{}
		s := New(in, c.rules, c.look, nil)
		opened, err := s.Open(t.Context(), pipeline.Resume{
			Schemas:  map[event.TableName]*event.Schema{people: stored},
			Attempts: []event.Attempt{{Table: people, Begin: 7, Chunk: 2, Cursor: []byte{1}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := in.resume.Schemas[people]; got.ID != full.ID {
			t.Errorf("%s: the source goes on under %+v", name, got)
		}
		if begun := in.resume.Attempts[0].Begin == 0; begun != c.anew {
			t.Errorf("%s: the attempt is %+v", name, in.resume.Attempts[0])
		}
		var leave []string
		if schema := opened.Tables[0].Schema; schema != nil {
			for _, x := range schema.Columns {
				leave = append(leave, x.Name)
			}
		}
		if got := strings.Join(leave, " "); got != c.columns {
			t.Errorf("%s: the columns that leave are %s", name, got)
		}
		if c.pause == "" {
			if len(in.paused) != 0 {
				t.Errorf("%s: paused", name)
			}
			continue
		}
		items, err := s.Next(t.Context())
		if err != nil || len(items) != 1 || items[0].Kind != event.KindPaused || items[0].Reason.Code != event.PauseColumns ||
			!strings.Contains(items[0].Reason.Text, c.pause) || len(in.paused) != 1 {
			t.Errorf("%s: %+v, %v", name, items, err)
		}
	}
}
