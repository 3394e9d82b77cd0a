package held

import "github.com/millrace/millrace/connectors/mysql/stream"

// waiting is a prepared XA transaction.
type waiting struct {
	log   log
	gone  spans
	doubt bool
}

// endXA takes XA COMMIT or XA ROLLBACK: of a transaction that was prepared before, or, with
// servers that do not log the preparation, of the one that it stands in.
func (a *Assembler) endXA(e *stream.Event, f Frame, id string) error {
	if !a.begun && !a.rows {
		return a.end(e, f, id)
	}
	if f == XACommit {
		return a.end(e, Commit, "")
	}
	return a.end(e, Rollback, "")
}

// park takes the open transaction out, to wait.
func (a *Assembler) park() *waiting {
	w := &waiting{log: a.cur, gone: a.gone, doubt: a.doubt}
	w.log.park()
	a.cur, a.gone = log{store: a.store}, nil
	return w
}

func (a *Assembler) forget(id string) {
	if w := a.prepared[id]; w != nil {
		w.log.drop()
		delete(a.prepared, id)
	}
}

// Holds reports whether the rows of a prepared transaction are held.
func (a *Assembler) Holds(id string) bool { return a.prepared[id] != nil }

// Forget gives up a prepared transaction: its COMMIT comes as one that is not known.
func (a *Assembler) Forget(id string) { a.forget(id) }

// Adopt takes over what another Assembler of the same store holds of a prepared
// transaction.
func (a *Assembler) Adopt(from *Assembler, id string) {
	w := from.prepared[id]
	if w == nil {
		return
	}
	delete(from.prepared, id)
	a.forget(id)
	a.prepared[id] = w
}
