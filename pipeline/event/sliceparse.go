package event

import "time"

// ParseSlice reads a slice from the body of a message into s. Rows alias b; the memory
// of s.Txs and s.Rows is used again. Images are not looked into: Values and Cursor
// check them, under the schema that the slice names.
func ParseSlice(b []byte, s *Slice) error {
	r := reader{b: b, what: "slice"}
	txs, rows := s.Txs[:0], s.Rows[:0]
	*s = Slice{}
	if m, v := r.byte(), r.byte(); r.err == nil && (m != sliceMagic || v != sliceVersion) {
		return malformed("slice: magic %#x version %d", m, v)
	}
	r.sliceHead(s)
	switch s.Kind {
	case KindRow:
		s.Txs = r.sliceTxs(s, txs)
		s.Rows = r.sliceRows(s, rows)
	case KindDDL, KindTruncate, KindBegin, KindEnd, KindHeartbeat:
		s.Txs, s.Rows = txs, rows
		s.Mark = r.mark()
	default:
		r.fail("kind %d is no message", s.Kind)
	}
	return r.end()
}

func (r *reader) sliceHead(s *Slice) {
	s.Kind = Kind(r.byte())
	s.Table.DB, s.Table.Table = r.string(), r.string()
	copy(s.Schema[:], r.take(len(s.Schema)))
	s.Lo = Seq(r.uvarint())
	s.Hi = s.Lo + Seq(r.uvarint())
	s.Prev = Seq(r.uvarint())
	s.From = r.identity()
	s.To = r.identity()
	if r.err == nil && (s.Lo == 0 || s.Hi < s.Lo || s.Prev >= s.Lo) {
		r.fail("numbers %d to %d behind %d do not rise", s.Lo, s.Hi, s.Prev)
	}
}

func (r *reader) identity() Identity {
	return Identity{Tx: r.string(), Index: r.uvarint(), Part: r.byte()}
}

// sliceTxs reads the transactions. Their names lie in one string: a slice of single-row
// transactions has as many as rows.
func (r *reader) sliceTxs(s *Slice, txs []SliceTx) []SliceTx {
	n := r.count(maxSliceTxs, 4)
	if cap(txs) < n {
		txs = make([]SliceTx, 0, n)
	}
	names, ends := make([]byte, 0, min(n*24, len(r.b))), make([]int, 0, n)
	prev, commit := 0, time.UnixMicro(0) // where the name before begins, and its commit
	for range n {
		if r.err != nil {
			break
		}
		at := len(names)
		names = r.sliceName(names, prev)
		if r.err != nil {
			break
		}
		ends, prev = append(ends, len(names)), at
		t := SliceTx{CommitTime: time.UnixMicro(commit.UnixMicro() + r.varint()).UTC()}
		switch r.byte() {
		case 0:
		case 1:
			t.End = true
			t.EndSeq = s.Lo + Seq(r.uvarint())
			t.QueueRows, t.TableRows = r.uvarint(), r.uvarint()
			if t.EndSeq < s.Lo || t.EndSeq > s.Hi {
				r.fail("transaction ends at %d, outside of %d to %d", t.EndSeq, s.Lo, s.Hi)
			}
		default:
			r.fail("neither END nor not")
		}
		txs, commit = append(txs, t), t.CommitTime
	}
	all, from := string(names), 0
	for i := range txs {
		txs[i].ID, from = all[from:ends[i]], ends[i]
	}
	return txs
}

// namesFactor bounds what the names of transactions, which share what they begin with, may
// take: so many times the slice. A GTID of 90 bytes costs its slice 5.
const namesFactor = 32

// sliceName appends the name of the next transaction to those before it, of which the last
// begins at prev.
func (r *reader) sliceName(names []byte, prev int) []byte {
	before := names[prev:]
	shared := r.uvarint()
	rest := r.bytes()
	switch {
	case r.err != nil:
	case shared > uint64(len(before)):
		r.fail("a name that shares %d bytes with one of %d", shared, len(before))
	case shared < uint64(len(before)) && len(rest) > 0 && before[shared] == rest[0]:
		r.fail("a name's shared part is not the longest")
	case len(names)+int(shared)+len(rest) > namesFactor*len(r.b)+4096:
		r.fail("the names of transactions take more than %d times the slice", namesFactor)
	default:
		return append(append(names, before[:shared]...), rest...)
	}
	return names
}

func (r *reader) sliceRows(s *Slice, rows []Row) []Row {
	n := r.count(MaxSliceRows, 4)
	if cap(rows) < n {
		rows = make([]Row, 0, n)
	}
	tx, last := 0, s.Lo
	for i := range n {
		if r.err != nil {
			break
		}
		row := Row{}
		head := r.byte()
		if head > rowBits {
			r.fail("a row that begins with %#x", head)
		}
		row.Op = rowOps[head&rowOpMask]
		row.Part = head >> 2 & 1
		if head&rowNextTx != 0 {
			step := r.uvarintMax(maxSliceTxs)
			if step == 0 {
				r.fail("a step of no transactions")
			}
			tx += int(step)
		}
		if tx >= len(s.Txs) {
			r.fail("a row of transaction %d of %d", tx, len(s.Txs))
			break
		}
		row.Tx, row.Index = tx, r.uvarint()
		step := Seq(r.uvarint())
		row.Seq = last + step
		if r.err == nil && (row.Seq < last || row.Seq > s.Hi || i > 0 && step == 0) {
			r.fail("row %d behind %d, up to %d", row.Seq, last, s.Hi)
		}
		last = row.Seq
		if row.Op == OpUpdate || row.Op == OpDelete {
			row.Before = r.bytes()
		}
		if row.Op != OpDelete {
			row.After = r.bytes()
		}
		rows = append(rows, row)
	}
	return rows
}

func (r *reader) mark() *Mark {
	m := &Mark{Seq: Seq(r.uvarint()), ID: r.identity()}
	m.Time = time.UnixMicro(r.varint()).UTC()
	m.SQL = r.string()
	copy(m.Old[:], r.take(len(m.Old)))
	m.Due = r.string()
	m.Attempt = Seq(r.uvarint())
	m.Queues = int(r.uvarintMax(1 << 30))
	copy(m.Schema[:], r.take(len(m.Schema)))
	return m
}
