package changes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
	"github.com/millrace/millrace/sinks/letters"
	"github.com/millrace/millrace/sinks/objects"
)

// Letters lie in files beside changes/, a line each: a letter, or the numbers of those that are
// none any more. The commit that moves the marks past them names the files in a fact, so that
// they appear with the marks or not at all. Files with much that is gone are written anew.

// domainLetters is the fact.
const domainLetters = "millrace.letters"

// lettersFact says where what is put aside lies: docs/format/lake.md.
type lettersFact struct {
	Rows  int   `json:"rows"`
	Bytes int64 `json:"bytes"`
	// Files are their names below the table's directory, in the order in which they count;
	// Lines are those of all of them.
	Files []string `json:"files,omitempty"`
	Lines int      `json:"lines,omitempty"`
}

// letterLine is a line of a file: one or the other.
type letterLine struct {
	Letter *letters.Letter `json:"letter,omitempty"`
	Gone   []event.Seq     `json:"gone,omitempty"`
}

// Bounds of the files: what is read of one, how many there may be, and how many lines that
// no longer count.
const (
	maxLetterFile  = 4 << 30
	maxLetterFiles = 32
	spareLines     = 1000
)

// PutAside is what is put aside.
func (t *Table) PutAside() pipeline.PutAside { return t.letters.Aside() }

// readLetters reads back what is put aside.
func (t *Table) readLetters(ctx context.Context) error {
	t.letters, t.aside = letters.NewBook(), &lettersFact{}
	text, ok := t.log.Snapshot().Domains[domainLetters]
	if !ok {
		return nil
	}
	if err := json.Unmarshal([]byte(text), t.aside); err != nil {
		return fmt.Errorf("fact %s: %w", domainLetters, err)
	}
	err := t.eachLine(ctx, func(line *letterLine) {
		if l := line.Letter; l != nil {
			t.letters.Add(l.Seq, l.ID, l.Bytes)
		}
		for _, seq := range line.Gone {
			t.letters.Remove(seq)
		}
	})
	if err != nil {
		return fmt.Errorf("what is put aside of %s: %w; bring the file back from a copy, or remove the table's directory: "+
			"what the source has is then read anew", t.Dir, err)
	}
	return nil
}

// eachLine goes through the files in the order in which they count.
func (t *Table) eachLine(ctx context.Context, each func(*letterLine)) error {
	for _, name := range t.aside.Files {
		name = path.Join(t.At, name)
		body, err := objects.ReadAll(ctx, t.Store, name, maxLetterFile)
		if err != nil {
			return fmt.Errorf("file %s: %w", t.Show(name), err)
		}
		for text := range bytes.Lines(body) {
			var line letterLine
			if err := json.Unmarshal(text, &line); err != nil {
				return fmt.Errorf("file %s: %w", t.Show(name), err)
			}
			each(&line)
		}
	}
	return nil
}

// storeLetters puts what the batch puts aside where the commit can name it.
func (t *Table) storeLetters(ctx context.Context) error {
	d := t.batch.letters
	if !d.Changed() {
		return nil
	}
	put, gone := d.Changes()
	at := d.Book().Aside()
	fact := &lettersFact{Rows: at.Rows, Bytes: at.Bytes, Files: slices.Clone(t.aside.Files), Lines: t.aside.Lines + len(put)}
	t.batch.aside = fact
	if at.Rows == 0 {
		fact.Files, fact.Lines = nil, 0
		return nil
	}
	if fact.Lines > 2*at.Rows+spareLines || len(fact.Files) >= maxLetterFiles {
		kept, err := t.keptLetters(ctx, d.Book(), put)
		if err != nil {
			return err
		}
		put, gone, fact.Files = append(kept, put...), nil, nil
	}
	fact.Lines = len(put)
	if len(fact.Files) > 0 {
		fact.Lines += t.aside.Lines + 1
	}
	return t.putLetters(ctx, put, gone)
}

// keptLetters are those in the files that are letters still and are not among put.
func (t *Table) keptLetters(ctx context.Context, book *letters.Book, put []*letters.Letter) (kept []*letters.Letter, err error) {
	newest := map[event.Seq]*letters.Letter{}
	for _, l := range put {
		newest[l.Seq] = nil
	}
	err = t.eachLine(ctx, func(line *letterLine) {
		if l := line.Letter; l != nil && book.Has(l.Seq) {
			if again, there := newest[l.Seq]; !there || again != nil {
				newest[l.Seq] = l
			}
		}
	})
	for _, l := range newest {
		if l != nil {
			kept = append(kept, l)
		}
	}
	slices.SortFunc(kept, func(a, b *letters.Letter) int {
		if a.Seq < b.Seq {
			return -1
		}
		return 1
	})
	return kept, err
}

// putLetters writes one more file and has the batch's fact name it.
func (t *Table) putLetters(ctx context.Context, put []*letters.Letter, gone []letters.Gone) error {
	var body bytes.Buffer
	out := bufio.NewWriter(&body)
	lines := json.NewEncoder(out)
	if len(gone) > 0 {
		line := letterLine{}
		for _, g := range gone {
			line.Gone = append(line.Gone, g.Seq)
		}
		if err := lines.Encode(&line); err != nil {
			return err
		}
	}
	for _, l := range put {
		if err := lines.Encode(&letterLine{Letter: l}); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	name := path.Join("letters", fmt.Sprintf("%d-%d.jsonl", t.Claim.Generation, t.NextName()))
	t.batch.aside.Files = append(t.batch.aside.Files, name)
	name = path.Join(t.At, name)
	t.batch.names = append(t.batch.names, name)
	if err := t.Store.PutIfAbsent(ctx, name, bytes.NewReader(body.Bytes())); err != nil {
		return fmt.Errorf("file %s: %w", name, err)
	}
	return nil
}

// tidyLetters removes files of letters that no commit names any more.
func (t *Table) tidyLetters(ctx context.Context, before time.Time) error {
	for info, err := range t.Store.List(ctx, path.Join(t.At, "letters")+"/", "") {
		if err != nil {
			return fmt.Errorf("list what is put aside of %s: %w", t.Dir, err)
		}
		name := strings.TrimPrefix(info.Name, t.At+"/")
		if slices.Contains(t.aside.Files, name) || slices.Contains(t.batch.names, info.Name) || !info.Modified.Before(before) {
			continue
		}
		if err := t.Store.Delete(ctx, info.Name); err != nil {
			return err
		}
	}
	return nil
}

// WorkLetters does something with letters, behind a flush: of all where seqs is empty. flush
// makes it visible.
func (t *Table) WorkLetters(ctx context.Context, seqs []event.Seq, do func(context.Context, *letters.Letter) error,
	flush func(context.Context) error) (done pipeline.LettersDone, err error) {
	if t.Broken != nil {
		return done, t.Broken
	}
	if !t.batch.ledger.Empty() || t.batch.letters.Changed() {
		return done, errors.New("letters are replayed and dropped behind a flush")
	}
	chosen, err := t.lettersOf(ctx, t.letters.Choose(seqs))
	if err != nil {
		return done, err
	}
	if err := letters.Work(ctx, chosen, do, &done); err != nil {
		return done, t.undone(err)
	}
	if err := flush(ctx); err != nil {
		return pipeline.LettersDone{}, err
	}
	done.Left = t.PutAside()
	return done, nil
}

// lettersOf are the letters of these numbers, rising.
func (t *Table) lettersOf(ctx context.Context, seqs []event.Seq) ([]*letters.Letter, error) {
	list := make([]*letters.Letter, len(seqs))
	err := t.eachLine(ctx, func(line *letterLine) {
		if l := line.Letter; l != nil {
			if i, ok := slices.BinarySearch(seqs, l.Seq); ok {
				list[i] = l
			}
		}
	})
	if err == nil && slices.Contains(list, nil) {
		err = fmt.Errorf("what is put aside of %s: a file lacks a letter", t.Dir)
	}
	return list, err
}

// GiveUp ends a letter.
func (t *Table) GiveUp(_ context.Context, l *letters.Letter) error {
	t.batch.letters.Remove(l.Seq)
	return nil
}

// Replay writes a letter's row under its own number.
func (t *Table) Replay(ctx context.Context, l *letters.Letter) error {
	if l.Unsure {
		return letters.ErrUnsure(l)
	}
	if l.Alone && !t.Alone {
		return letters.ErrAlone(l)
	}
	s, err := l.Change()
	if err != nil {
		return err
	}
	schema, err := t.schemaOf(ctx, s)
	if err != nil {
		return err
	}
	p, err := t.planFor(schema)
	if err != nil {
		return err
	}
	w := rowWriter{t: t, q: l.Q, plan: p, slice: s, tx: -1}
	if err := w.row(ctx, &s.Rows[0]); err != nil {
		if why := (*letters.Refusal)(nil); errors.As(err, &why) {
			w.file.fw.Undo()
		}
		return err
	}
	t.batch.letters.Remove(l.Seq)
	return t.flushBatches()
}
