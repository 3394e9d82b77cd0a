package spec

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/millrace/millrace/internal/config"
)

func TestEachMistakeIsAFindingOfItsOwn(t *testing.T) {
	path := &config.KeyError{Key: "path", Text: "is missing", Remedy: "name a directory"}
	keep := &config.KeyError{Key: "keep.log", Text: "must not be below zero"}
	for name, c := range map[string]struct {
		err  error
		want []Finding
	}{
		"none":          {nil, nil},
		"one":           {keep, []Finding{{Key: "keep.log", Text: "must not be below zero"}}},
		"wrapped":       {fmt.Errorf("sink: %w", path), []Finding{{Key: "path", Text: "is missing", Suggestion: "name a directory"}}},
		"without a key": {errors.New("it is wrong"), []Finding{{Text: "it is wrong"}}},
		"several": {errors.Join(path, errors.Join(keep, errors.New("more"))), []Finding{
			{Key: "path", Text: "is missing", Suggestion: "name a directory"}, {Key: "keep.log", Text: "must not be below zero"}, {Text: "more"}}},
	} {
		if got := Findings(c.err); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, not %+v", name, got, c.want)
		}
	}
	if got := path.Error(); got != "path: is missing; name a directory" {
		t.Error(got)
	}
}
