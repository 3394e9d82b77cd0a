package letters

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/pipeline/event"
)

// ID tells a row from others: the beginning of a hash of its key, or of all of it.
type ID [16]byte

// MarshalText writes it in hex.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("%q names no row", b)
	}
	_, err := hex.Decode(id[:], b)
	return err
}

// Letter is a change that is put aside, with what replaying it takes.
type Letter struct {
	pipeline.Letter
	ID ID `json:"id"`
	// Alone says that each change counted by itself when this one came: what was applied to its row
	// later has not ended it.
	Alone bool `json:"alone,omitempty"`
	// Q is the queue that brought it, by the ledger's number.
	Q int `json:"q"`
	// Slice is the change as a message of one row: docs/format/event.md.
	Slice []byte `json:"slice"`
}

// RuleOf is the rule for rows of a definition in a target that has rows as they are.
func RuleOf(s *event.Schema) Rule {
	if len(s.PrimaryKey) == 0 {
		return Counts
	}
	return Versions
}

// IDOf names the row that a change is of.
func IDOf(s *event.Schema, r *event.Row) (ID, error) { return idOf(s, image(r)) }

func image(r *event.Row) event.Image {
	if r.Op == event.OpDelete {
		return r.Before
	}
	return r.After
}

func idOf(s *event.Schema, img event.Image) (id ID, err error) {
	var text []byte
	if len(s.PrimaryKey) == 0 {
		text = append(append(text, s.ID[:]...), img...)
	} else if text, err = event.AppendKey(nil, img, s, s.PrimaryKey); err != nil {
		return id, err
	}
	sum := sha256.Sum256(text)
	copy(id[:], sum[:])
	return id, nil
}

// New makes the letter of a change out of the slice that brought it.
func New(schema *event.Schema, s *event.Slice, r *event.Row, q int, why *Refusal, unsure bool) (*Letter, error) {
	id, err := idOf(schema, image(r))
	if err != nil {
		return nil, err
	}
	row, err := cells(schema, image(r))
	if err != nil {
		return nil, err
	}
	tx := s.Txs[r.Tx]
	tx.End = false
	one := *r
	one.Tx = 0
	at := event.Identity{Tx: tx.ID, Index: r.Index, Part: r.Part}
	body, err := event.AppendSlice(nil, &event.Slice{Kind: event.KindRow, Table: s.Table, Schema: s.Schema, Lo: r.Seq, Hi: r.Seq,
		From: at, To: at, Txs: []event.SliceTx{tx}, Rows: []event.Row{one}})
	if err != nil {
		return nil, err
	}
	l := &Letter{ID: id, Q: q, Slice: body, Letter: pipeline.Letter{
		Seq: r.Seq, Op: string(rune(r.Op)), Row: row, Column: why.Column, Reason: why.Error(), Committed: tx.CommitTime, Tx: tx.ID,
		Unsure: unsure,
	}}
	l.Bytes = int64(len(body) + len(l.Reason) + perLetter)
	for _, c := range row {
		l.Bytes += int64(len(c.Column))
		if c.Value != nil {
			l.Bytes += int64(len(*c.Value))
		}
	}
	return l, nil
}

// perLetter is about what a letter takes beside its texts.
const perLetter = 200

// Change is the letter's slice, of one row. Its images are the letter's.
func (l *Letter) Change() (*event.Slice, error) {
	s := &event.Slice{}
	if err := event.ParseSlice(l.Slice, s); err != nil {
		return nil, fmt.Errorf("letter %d: %w", l.Seq, err)
	}
	if s.Kind != event.KindRow || len(s.Rows) != 1 || len(s.Txs) != 1 || s.Rows[0].Seq != l.Seq {
		return nil, fmt.Errorf("letter %d: it holds another change", l.Seq)
	}
	return s, nil
}

// Text is the letter as it is stored, and Parse its opposite.
func (l *Letter) Text() []byte {
	b, err := json.Marshal(l)
	if err != nil {
		panic("BUG: a letter that JSON can't hold: " + err.Error())
	}
	return b
}

// Parse reads what Text wrote.
func Parse(text []byte) (*Letter, error) {
	l := new(Letter)
	if err := json.Unmarshal(text, l); err != nil {
		return nil, fmt.Errorf("a letter: %w", err)
	}
	if l.Seq == 0 {
		return nil, fmt.Errorf("a letter without a number")
	}
	return l, nil
}

// cells are a row's key in the form of pipeline.Cell, or all of it where it has none.
func cells(s *event.Schema, img event.Image) (out []pipeline.LetterCell, err error) {
	vals, err := event.Values(img, s, nil)
	if err != nil {
		return nil, err
	}
	for i, v := range vals {
		c := &s.Columns[i]
		if len(s.PrimaryKey) > 0 && !slices.Contains(s.PrimaryKey, i) {
			continue
		}
		cell := pipeline.LetterCell{Column: c.Name}
		if v != nil {
			text := cellText(c, v)
			cell.Value = &text
		}
		out = append(out, cell)
	}
	return out, nil
}

// cellText is a value's text as pipeline.Cell says.
func cellText(c *event.Column, v event.Value) string {
	switch c.Type {
	case event.TypeYear:
		return strconv.FormatUint(v.Uint(), 10)
	case event.TypeTime:
		return strconv.FormatInt(v.Time(), 10)
	case event.TypeBinary, event.TypeGeometry:
		return hex.EncodeToString(v)
	case event.TypeDateTime, event.TypeTimestamp:
		micros := *c
		micros.Scale = 6
		return string(event.AppendValueText(nil, &micros, v))
	}
	return string(event.AppendValueText(nil, c, v))
}

// ErrAlone is why a letter can't be replayed where the newest change of a row counts, as a Refusal.
func ErrAlone(l *Letter) error {
	return &Refusal{Cause: fmt.Errorf("letter %d can't be replayed: it is of a time when each change counted by itself, and a newer change of "+
		"its row may have come since, which must not be undone; `millrace pipeline snapshot` has the table read anew", l.Seq)}
}

// ErrUnsure is why a letter can't be replayed, as a Refusal.
func ErrUnsure(l *Letter) error {
	return &Refusal{Cause: fmt.Errorf("letter %d can't be replayed: a newer change of its row may have come through another queue before it, "+
		"and what that one did must not be undone; `millrace pipeline snapshot` has the table read anew", l.Seq)}
}
