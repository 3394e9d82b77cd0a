package event

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	sliceMagic   = 'M'
	sliceVersion = 1
)

// MaxSliceRows and maxSliceTxs bound what a slice may announce.
const (
	MaxSliceRows = 1 << 24
	maxSliceTxs  = 1 << 24
)

// Bits of a row's head byte.
const (
	rowOpMask  = 3 // 0 c, 1 u, 2 d, 3 r
	rowPartBit = 1 << 2
	rowNextTx  = 1 << 3 // a uvarint follows: by how much the transaction's index rises
	rowBits    = 1<<4 - 1
)

var rowOps = [...]Op{OpCreate, OpUpdate, OpDelete, OpRead}

// SliceBuilder collects the rows of one slice in their encoded form, so that a row is
// copied once. The zero value is ready; Reset makes it ready again and keeps its
// memory. One goroutine uses it.
type SliceBuilder struct {
	txs    []SliceTx
	rows   []byte
	txSize int
	n      int
	rowTx  int // transaction of the last row
	lo     Seq
	last   Seq
	image  int // length of the last row's last image
}

// Reset empties b.
func (b *SliceBuilder) Reset() {
	clear(b.txs)
	*b = SliceBuilder{txs: b.txs[:0], rows: b.rows[:0]}
}

// Tx begins a transaction (or chunk) and returns its index for Row and End.
func (b *SliceBuilder) Tx(id string, commit time.Time) int {
	b.txs = append(b.txs, SliceTx{ID: id, CommitTime: commit})
	b.txSize += len(id) + 24
	return len(b.txs) - 1
}

// Row appends a row of transaction tx. Numbers rise strictly, transactions do not fall;
// anything else is a bug of the caller. The images are copied.
func (b *SliceBuilder) Row(tx int, op Op, part uint8, index uint64, seq Seq, before, after Image) {
	if b.n > 0 && seq <= b.last || seq < b.lo || tx < b.rowTx || tx >= len(b.txs) || part > 1 {
		panic(fmt.Sprintf("BUG: row %d of transaction %d behind row %d of transaction %d", seq, tx, b.last, b.rowTx))
	}
	head := byte(0)
	switch op {
	case OpCreate:
	case OpUpdate:
		head = 1
	case OpDelete:
		head = 2
	case OpRead:
		head = 3
	default:
		panic(fmt.Sprintf("BUG: operation %q in a slice", op))
	}
	head |= part << 2
	if b.n == 0 {
		if b.lo == 0 {
			b.lo = seq
		}
		b.last = b.lo
	}
	if tx != b.rowTx {
		b.rows = append(b.rows, head|rowNextTx)
		b.rows = binary.AppendUvarint(b.rows, uint64(tx-b.rowTx))
		b.rowTx = tx
	} else {
		b.rows = append(b.rows, head)
	}
	b.rows = binary.AppendUvarint(b.rows, index)
	b.rows = binary.AppendUvarint(b.rows, uint64(seq-b.last))
	if op == OpUpdate || op == OpDelete {
		b.rows = appendString(b.rows, []byte(before))
	}
	b.image = len(before)
	if op != OpDelete {
		b.rows = appendString(b.rows, []byte(after))
		b.image = len(after)
	}
	b.last = seq
	b.n++
}

// End says that tx has its last row for this queue here or before, with its row counts.
func (b *SliceBuilder) End(tx int, seq Seq, queueRows, tableRows uint64) {
	t := &b.txs[tx]
	t.End, t.EndSeq, t.QueueRows, t.TableRows = true, seq, queueRows, tableRows
	if b.lo == 0 {
		b.lo = seq
	}
}

// Rows is the number of rows so far, Txs that of transactions.
func (b *SliceBuilder) Rows() int { return b.n }

// Txs is the number of transactions so far.
func (b *SliceBuilder) Txs() int { return len(b.txs) }

// LastImage is the row that the last Row left behind (after it, or before a deletion). It
// is valid until the next call of Row.
func (b *SliceBuilder) LastImage() Image { return Image(b.rows[len(b.rows)-b.image:]) }

// Empty reports whether nothing was added.
func (b *SliceBuilder) Empty() bool { return len(b.txs) == 0 }

// Size is about how long the encoded slice will be.
func (b *SliceBuilder) Size() int { return len(b.rows) + b.txSize + 128 }

// Append appends the encoded slice to dst. Of head it uses Table, Schema, Hi, Prev,
// From and To; head.Lo is set by it.
func (b *SliceBuilder) Append(dst []byte, head *Slice) ([]byte, error) {
	head.Kind, head.Lo = KindRow, b.lo
	dst, err := appendSliceHead(dst, head)
	if err != nil {
		return dst, err
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.txs)))
	var prev SliceTx
	prev.CommitTime = time.UnixMicro(0)
	for i := range b.txs {
		dst = appendSliceTx(dst, &b.txs[i], &prev, b.lo)
		prev = b.txs[i]
	}
	dst = binary.AppendUvarint(dst, uint64(b.n))
	return append(dst, b.rows...), nil
}

func appendSliceHead(dst []byte, s *Slice) ([]byte, error) {
	if s.Lo == 0 || s.Hi < s.Lo || s.Prev >= s.Lo {
		return dst, fmt.Errorf("slice of %s: numbers %d to %d behind %d do not rise", s.Table, s.Lo, s.Hi, s.Prev)
	}
	dst = append(dst, sliceMagic, sliceVersion, byte(s.Kind))
	dst = appendString(dst, s.Table.DB)
	dst = appendString(dst, s.Table.Table)
	dst = append(dst, s.Schema[:]...)
	dst = binary.AppendUvarint(dst, uint64(s.Lo))
	dst = binary.AppendUvarint(dst, uint64(s.Hi-s.Lo))
	dst = binary.AppendUvarint(dst, uint64(s.Prev))
	dst = appendIdentity(dst, s.From)
	return appendIdentity(dst, s.To), nil
}

func appendIdentity(dst []byte, id Identity) []byte {
	dst = appendString(dst, id.Tx)
	dst = binary.AppendUvarint(dst, id.Index)
	return append(dst, id.Part)
}

// appendSliceTx writes what t does not share with the transaction before it: GTIDs
// differ in their last digits only.
func appendSliceTx(dst []byte, t, prev *SliceTx, lo Seq) []byte {
	shared := sharedPrefix(prev.ID, t.ID)
	dst = binary.AppendUvarint(dst, uint64(shared))
	dst = appendString(dst, t.ID[shared:])
	dst = binary.AppendVarint(dst, t.CommitTime.UnixMicro()-prev.CommitTime.UnixMicro())
	if !t.End {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	dst = binary.AppendUvarint(dst, uint64(t.EndSeq-lo))
	dst = binary.AppendUvarint(dst, t.QueueRows)
	return binary.AppendUvarint(dst, t.TableRows)
}

func sharedPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// AppendSlice appends the canonical encoding of s to dst.
func AppendSlice(dst []byte, s *Slice) ([]byte, error) {
	switch s.Kind {
	case KindRow:
		var b SliceBuilder
		b.lo = s.Lo
		for i := range s.Txs {
			t := &s.Txs[i]
			b.Tx(t.ID, t.CommitTime)
			if t.End {
				b.End(i, t.EndSeq, t.QueueRows, t.TableRows)
			}
		}
		for i := range s.Rows {
			r := &s.Rows[i]
			b.Row(r.Tx, r.Op, r.Part, r.Index, r.Seq, r.Before, r.After)
		}
		head := *s
		return b.Append(dst, &head)
	case KindDDL, KindTruncate, KindBegin, KindEnd, KindHeartbeat:
		if s.Mark == nil {
			return dst, fmt.Errorf("slice of %s: kind %d without a mark", s.Table, s.Kind)
		}
		dst, err := appendSliceHead(dst, s)
		if err != nil {
			return dst, err
		}
		return appendMark(dst, s.Mark), nil
	}
	return dst, fmt.Errorf("slice of %s: kind %d is no message", s.Table, s.Kind)
}

func appendMark(dst []byte, m *Mark) []byte {
	dst = binary.AppendUvarint(dst, uint64(m.Seq))
	dst = appendIdentity(dst, m.ID)
	dst = binary.AppendVarint(dst, m.Time.UnixMicro())
	dst = appendString(dst, m.SQL)
	dst = append(dst, m.Old[:]...)
	dst = appendString(dst, m.Due)
	dst = binary.AppendUvarint(dst, uint64(m.Attempt))
	dst = binary.AppendUvarint(dst, uint64(m.Queues))
	return append(dst, m.Schema[:]...)
}
