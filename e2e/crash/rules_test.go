package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/pipeline/pipelinetest"
	"github.com/millrace/millrace/pipeline/projection"
	"github.com/millrace/millrace/pipeline/projection/where"
	"github.com/millrace/millrace/pipeline/spec"
)

// rulesOf are what is kept back of both tables: other rows, and other values, by a condition
// and a mask or a hash.
func rulesOf(t testing.TB, condition string, hash bool) projection.Rules {
	t.Helper()
	e, err := where.Parse(condition)
	if err != nil {
		t.Fatal(err)
	}
	one := projection.Rule{Where: e, Mask: []string{"v"}}
	if hash {
		one.Mask, one.Hash = nil, []string{"v"}
	}
	return projection.Rules{Salt: "a salt of the tests", Tables: map[string]projection.Rule{"shop.orders": one, "shop.log": one}}
}

// whole is a script's reader that reads tables as a whole alone, and knows their types.
type whole struct{ pipeline.Reader }

func (w whole) Read(ctx context.Context, table event.TableName, columns func([]pipeline.ReadColumn) error,
	row func([]pipeline.Cell) error) error {
	return w.Reader.Read(ctx, table, func(found []pipeline.ReadColumn) error {
		found = slices.Clone(found)
		for i := range found {
			found[i].Type = map[string]string{"id": "int(11)", "v": "text"}[found[i].Name]
		}
		return columns(found)
	}, row)
}

func (whole) ReadAfter(context.Context, event.TableName, []pipeline.Cell, int, func([]pipeline.ReadColumn) error,
	func([]pipeline.Cell) error) error {
	return errors.ErrUnsupported
}

func (whole) ReadKeys(context.Context, event.TableName, [][]pipeline.Cell, func([]pipeline.ReadColumn) error,
	func([]pipeline.Cell) error) error {
	return errors.ErrUnsupported
}

func (whole) RowsAbout(context.Context, event.TableName) (int64, error) {
	return 0, errors.ErrUnsupported
}

func (whole) Spread(context.Context, event.TableName, int, func() float64) ([][]pipeline.Cell, error) {
	return nil, errors.ErrUnsupported
}

func (whole) Place(context.Context) (pipeline.Place, error) {
	return pipeline.Place{}, errors.ErrUnsupported
}
func (whole) Of(string) {}

// newRules is a world whose tables leave under a first rule until all of it is there, and then
// under a second one, with changes that were made in between.
func newRules(t testing.TB, seed uint64) *world {
	w := newWorld(t, seed)
	random := rand.New(rand.NewPCG(seed, 2))
	w.script = pipelinetest.NewScript()
	orders, log := w.script.Table("shop", "orders", 2, true), w.script.Table("shop", "log", 2, false)
	change := func() {
		var changes []pipelinetest.Change
		for range 1 + random.IntN(3) {
			changes = append(changes, orders.Put(random.IntN(80), fmt.Sprint("v", random.IntN(5))))
		}
		w.script.Commit(append(changes, log.Insert(random.IntN(80), "said"))...)
	}
	for range 20 {
		change()
	}
	var rules projection.Rules
	w.plan.Source = func(*spec.Pipeline) (pipeline.Source, error) {
		return projection.New(pipelinetest.NewSource(w.script, pipelinetest.SourceConfig{}), rules,
			func(context.Context, event.TableName) ([]pipeline.ReadColumn, error) {
				return nil, pipeline.ErrNoTable
			}, nil), nil
	}
	w.plan.Config = func(*spec.Pipeline) json.RawMessage {
		b, err := json.Marshal(rules.InForce())
		if err != nil {
			t.Error(err)
		}
		return b
	}
	w.wanted = func() pipeline.Reader { return projection.NewReader(whole{w.script.Reader()}, rules) }
	rules = rulesOf(t, "id < 60 AND NOT id = 7", false)
	if _, err := w.finish(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		change()
	}
	rules = rulesOf(t, "id >= 20 OR id = 7", true)
	return w
}

// TestAChangedRuleIsStoppedAnywhere stops the whole way at steps behind the start under
// another rule: what is there in the end is what that rule lets leave, each row once.
func TestAChangedRuleIsStoppedAnywhere(t *testing.T) {
	s := seed(t)
	for i, how := range stops[:3] {
		t.Run(how.name, func(t *testing.T) {
			total, err := how.count(newRules(t, s))
			if err != nil {
				t.Fatal(err)
			}
			var reached atomic.Int64
			t.Cleanup(func() { t.Logf("%d steps %s; stopped at %d of them", total, how.name, reached.Load()) })
			for _, k := range sampled(total, how.sample/2, rand.New(rand.NewPCG(s, uint64(i)))) {
				t.Run(fmt.Sprint(k), func(t *testing.T) {
					t.Parallel()
					w := newRules(t, s)
					got, err := how.run(w, k)
					if got {
						reached.Add(1)
					}
					if err = errors.Join(err, w.target.Err()); err == nil {
						err = errors.Join(w.pending(), w.compare())
					}
					if err != nil {
						t.Fatalf("MILLRACE_SEED=%d, stopped %s, step %d: %v", s, how.name, k, err)
					}
				})
			}
		})
	}
}
