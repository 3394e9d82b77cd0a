package column

// Mark is how much a Buffer holds at some time.
type Mark struct {
	rows, nulls, raw, names, ends int
	count                         uint64
}

// Mark is what the buffer holds now.
func (b *Buffer) Mark() Mark {
	return Mark{b.rows, len(b.nulls), len(b.raw), len(b.names), len(b.ends), b.count}
}

// Undo forgets what was appended behind a mark.
func (b *Buffer) Undo(m Mark) {
	b.rows, b.count = m.rows, m.count
	b.nulls, b.raw, b.names, b.ends = b.nulls[:m.nulls], b.raw[:m.raw], b.names[:m.names], b.ends[:m.ends]
}
