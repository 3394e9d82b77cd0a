package readback

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// factLetters says where what is put aside lies: docs/format/lake.md.
const factLetters = "millrace.letters"

// letterTries is how often what is put aside is read: files that are replaced go after a while.
const letterTries = 3

// Letters implements pipeline.LetterReader.
func (r *Reader) Letters(ctx context.Context, name event.TableName, letter func(pipeline.Letter) error) error {
	dir, err := r.find(ctx, name)
	if err != nil {
		return err
	}
	var found map[event.Seq]pipeline.Letter
	for range letterTries {
		if found, err = r.letters(ctx, path.Dir(dir)); err == nil || errors.Is(err, pipeline.ErrNoTable) {
			break
		}
	}
	if err != nil {
		return err
	}
	for _, seq := range slices.Sorted(maps.Keys(found)) {
		if err := letter(found[seq]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) letters(ctx context.Context, dir string) (map[event.Seq]pipeline.Letter, error) {
	changes, err := r.lake.openTable(ctx, path.Join(dir, "changes"))
	if err != nil {
		return nil, err
	}
	found := map[event.Seq]pipeline.Letter{}
	text, ok := changes.facts[factLetters]
	if !ok {
		return found, nil
	}
	var fact struct {
		Files []string `json:"files"`
	}
	if err := json.Unmarshal([]byte(text), &fact); err != nil {
		return nil, fmt.Errorf("fact %s: %w", factLetters, err)
	}
	for _, name := range fact.Files {
		name = path.Join(dir, name)
		body, err := r.lake.read(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", r.lake.show(name), err)
		}
		for line := range bytes.Lines(body) {
			var one struct {
				Letter *pipeline.Letter `json:"letter"`
				Gone   []event.Seq      `json:"gone"`
			}
			if err := json.Unmarshal(line, &one); err != nil {
				return nil, fmt.Errorf("read %s: %w", r.lake.show(name), err)
			}
			if one.Letter != nil {
				found[one.Letter.Seq] = *one.Letter
			}
			for _, seq := range one.Gone {
				delete(found, seq)
			}
		}
	}
	return found, nil
}
